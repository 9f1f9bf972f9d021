use polars_arrow::array::{
    Array, BinaryViewArray, BooleanArray, Int32Array, Int64Array, MutableBinaryViewArray, NullArray,
    PrimitiveArray, UInt8Array, Utf8ViewArray,
};
use polars_arrow::datatypes::{ArrowSchema, TimeUnit};
use polars_arrow::record_batch::RecordBatchT;
use polars_parquet::write::{
    CompressionOptions, Encoding, FileWriter, RowGroupIterator, StatisticsOptions, Version, WriteOptions,
};

use super::super::pieces::Pieces as AnyPieces;
use super::*;

type Columns = Vec<(&'static str, Box<dyn Array>)>;

/// Row groups of these columns, in small pages.
fn written(path: &Path, groups: &[Columns], compression: CompressionOptions) {
    let field = |(name, array): &(&str, Box<dyn Array>)| {
        let name = PlSmallStr::from_str(name);
        (name.clone(), Field::new(name, array.dtype().clone(), true))
    };
    let schema: ArrowSchema = groups[0].iter().map(field).collect();
    let options = WriteOptions {
        statistics: StatisticsOptions::empty(),
        version: Version::V1,
        compression,
        data_page_size: Some(64),
    };
    let encodings: Vec<Vec<Encoding>> = schema.iter_values().map(|_| vec![Encoding::Plain]).collect();
    let shared = std::sync::Arc::new(schema.clone());
    let batches = groups.iter().map(|group| {
        let arrays = group.iter().map(|(_, array)| array.clone()).collect();
        RecordBatchT::try_new(group[0].1.len(), shared.clone(), arrays)
    });
    let row_groups = RowGroupIterator::try_new(batches, &schema, options, encodings.into()).unwrap();
    let mut writer = FileWriter::try_new(File::create(path).unwrap(), schema, options).unwrap();
    for (group, rows) in row_groups.zip(groups) {
        writer.write(rows[0].1.len() as u64, group.unwrap()).unwrap();
    }
    writer.end(None).unwrap();
}

fn json(table: &Table) -> impl Iterator<Item = String> {
    (0..table.rows()).map(|row| String::from_utf8(table.json(row)).unwrap())
}

fn rows(path: &Path, cells: usize) -> Vec<String> {
    let mut pieces = Pieces::open(path).unwrap();
    let mut found = Vec::new();
    while let Some(table) = pieces.piece_of(cells).unwrap() {
        found.extend(json(&table));
    }
    let (bytes, read) = pieces.progress();
    assert_eq!(read, bytes);
    found
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    (folder, path)
}

/// Values of every type, and what a row says of them.
#[test]
fn a_value_is_what_its_text_in_a_csv_would_be() {
    let (_folder, path) = folder();
    let times = |values: &[Option<i64>], unit, zone: Option<&str>| -> Box<dyn Array> {
        let kind = ArrowDataType::Timestamp(unit, zone.map(PlSmallStr::from_str));
        Box::new(Int64Array::from(values.to_vec()).to(kind))
    };
    let at_ms = 1_767_225_600_250;
    let columns: Columns = vec![
        ("ms", times(&[Some(at_ms), None], TimeUnit::Millisecond, None)),
        ("us", times(&[Some(at_ms * 1000 + 7), None], TimeUnit::Microsecond, Some("UTC"))),
        ("ns", times(&[Some(at_ms * 1_000_000), None], TimeUnit::Nanosecond, Some("Europe/Berlin"))),
        ("day", Box::new(Int32Array::from(vec![Some(20_454), None]).to(ArrowDataType::Date32))),
        ("id", Box::new(Utf8ViewArray::from_slice([Some("007"), None]))),
        ("text", Box::new(Utf8ViewArray::from_slice([Some("a \"b\"\n"), Some("")]))),
        ("long", Box::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None]))),
        ("short", Box::new(UInt8Array::from(vec![Some(255), None]))),
        ("double", Box::new(PrimitiveArray::<f64>::from(vec![Some(-1.5e300), Some(f64::NAN)]))),
        ("single", Box::new(PrimitiveArray::<f32>::from(vec![Some(0.1), None]))),
        ("end", Box::new(PrimitiveArray::<f64>::from(vec![Some(f64::INFINITY), Some(2.0)]))),
        ("on", Box::new(BooleanArray::from(vec![Some(true), None]))),
        ("nothing", Box::new(NullArray::new(ArrowDataType::Null, 2))),
    ];
    written(&path, &[columns], CompressionOptions::Uncompressed);
    let first = r#"{"ms":"2026-01-01T00:00:00.25Z","us":"2026-01-01T00:00:00.250007Z","ns":"2026-01-01T00:00:00.25Z","day":"2026-01-01T00:00:00Z","id":"007","text":"a \"b\"\n","long":9007199254740993,"short":255,"double":-1.5e300,"single":0.1,"end":"inf","on":"true","nothing":null}"#;
    let second = r#"{"ms":null,"us":null,"ns":null,"day":null,"id":null,"text":null,"long":null,"short":null,"double":null,"single":null,"end":2.0,"on":null,"nothing":null}"#;
    assert_eq!(rows(&path, 1 << 20), [first, second]);
}

/// Three row groups of unlike lengths, one of them without rows.
fn groups() -> Vec<Columns> {
    let group = |range: std::ops::Range<i64>| -> Columns {
        let key = |n: i64| Some(["pump 0", "pump 1", "pump 2"][n as usize % 3]);
        let value = |n: i64| (n % 7 != 3).then_some(n as f64 / 8.0);
        vec![
            ("n", Box::new(Int64Array::from_vec(range.clone().collect()))),
            ("key", Box::new(Utf8ViewArray::from_slice(range.clone().map(key).collect::<Vec<_>>()))),
            ("x", Box::new(range.map(value).collect::<PrimitiveArray<f64>>())),
        ]
    };
    vec![group(0..100), group(100..100), group(100..133), group(133..134)]
}

#[test]
fn pieces_of_any_size_hold_the_rows_of_all_row_groups() {
    let (_folder, path) = folder();
    let expected: Vec<String> = (0..134)
        .map(|n| {
            let x = if n % 7 == 3 { "null".to_owned() } else { format!("{:?}", f64::from(n) / 8.0) };
            format!("{{\"n\":{n},\"key\":\"pump {}\",\"x\":{x}}}", n % 3)
        })
        .collect();
    for compression in
        [CompressionOptions::Uncompressed, CompressionOptions::Snappy, CompressionOptions::Zstd(None)]
    {
        written(&path, &groups(), compression);
        for cells in [1, 3, 10, 21, 99, 300, 1 << 20] {
            assert_eq!(rows(&path, cells), expected, "{cells} cells, {compression:?}");
        }
    }
    assert_eq!(json(&Table::read(&path).unwrap()).collect::<Vec<_>>(), expected);
}

#[test]
fn a_file_without_rows_has_a_header() {
    let (_folder, path) = folder();
    written(&path, &[groups().remove(1)], CompressionOptions::Uncompressed);
    let table = Table::read(&path).unwrap();
    assert_eq!((table.rows(), table.column(&path, "key").unwrap()), (0, 1));
    assert!(AnyPieces::open(&path).unwrap().piece().unwrap().is_some());
}

#[test]
fn a_type_that_no_row_holds_is_named_with_its_column() {
    let (_folder, path) = folder();
    let bytes: BinaryViewArray = MutableBinaryViewArray::<[u8]>::from_iter([Some(b"ab".as_slice())]).into();
    let columns: Columns = vec![("n", Box::new(Int64Array::from_slice([1]))), ("blob", Box::new(bytes))];
    written(&path, &[columns], CompressionOptions::Uncompressed);
    let error = Pieces::open(&path).err().expect("no such type").to_string();
    assert!(
        error.contains("\"blob\"") && error.contains("of type bytes") && error.contains("EXCLUDE (blob)"),
        "{error}"
    );
}

/// Cut anywhere, or with any byte bent of what it says of itself: an error that names the file, or all rows.
#[test]
fn a_broken_file_is_an_error() {
    let (_folder, path) = folder();
    written(&path, &groups(), CompressionOptions::Snappy);
    let whole = std::fs::read(&path).unwrap();
    let all = |path: &Path| -> Result<usize, SourceError> {
        let mut pieces = Pieces::open(path)?;
        let mut rows = 0;
        while let Some(table) = pieces.piece()? {
            rows += table.rows();
        }
        Ok(rows)
    };
    for length in (4..whole.len()).step_by(13) {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = all(&path).expect_err("it is cut").to_string();
        assert!(error.contains("is not a whole Parquet file"), "{error}");
    }
    let (length, _) = whole[whole.len() - 8..].split_first_chunk().unwrap();
    let says = whole.len() - 8 - u32::from_le_bytes(*length) as usize;
    let mut refused = 0;
    for at in says..whole.len() {
        let mut bent = whole.clone();
        bent[at] ^= 0x55;
        std::fs::write(&path, &bent).unwrap();
        match all(&path) {
            Ok(rows) => assert_eq!(rows, 134, "byte {at}"),
            Err(error) => refused += usize::from(error.to_string().contains("rows.parquet")),
        }
    }
    assert!(refused > (whole.len() - says) / 4, "{refused} of {}", whole.len() - says);
}
