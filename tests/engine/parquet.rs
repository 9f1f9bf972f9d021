//! A table is the same rows, whether it comes as CSV or as Parquet: the program itself, on files.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output};

use polars::prelude::{AnyValue, CsvReadOptions, DataType, ParquetWriter, SerReader};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn eddy(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eddy"));
    // Cards say when they were made.
    command
        .args(args)
        .current_dir(folder)
        .env("EDDY__DASHBOARD__ENABLED", "false")
        .env("SOURCE_DATE_EPOCH", "0");
    command.output().expect("it runs")
}

/// The pumps' history with a gap in every seventh row, as CSV and, columns typed, as Parquet of many row groups.
fn write_both(folder: &Path) {
    let packed = format!("{ROOT}/datasets/pumps.csv.gz");
    let options = CsvReadOptions::default().with_infer_schema_length(None);
    let reader = options.try_into_reader_with_file_path(Some(packed.into())).expect("the history");
    let whole = reader.finish().expect("CSV");
    let mut text: String =
        whole.get_column_names().iter().map(|name| name.as_str()).collect::<Vec<_>>().join(",");
    for row in 0..whole.height() {
        let cells =
            whole.columns().iter().enumerate().map(|(at, column)| match column.get(row).expect("a cell") {
                AnyValue::Null => String::new(),
                _ if at == 3 && row % 7 == 3 => String::new(),
                value => value.str_value().into_owned(),
            });
        text += &format!("\n{}", cells.collect::<Vec<_>>().join(","));
    }
    std::fs::write(folder.join("pumps.csv"), text).expect("room");
    let options = CsvReadOptions::default().with_infer_schema_length(None);
    let reader = options.try_into_reader_with_file_path(Some(folder.join("pumps.csv"))).expect("CSV");
    let mut frame = reader.finish().expect("CSV");
    assert_eq!((frame.dtypes()[1].clone(), frame.dtypes()[3].clone()), (DataType::String, DataType::Float64));
    assert!(frame.columns()[3].null_count() * 7 + 7 > frame.height());
    let file = File::create(folder.join("pumps.parquet")).expect("a file");
    ParquetWriter::new(file).with_row_group_size(Some(4_001)).finish(&mut frame).expect("room");
}

#[test]
fn the_same_table_gives_the_same_model_and_the_same_verdicts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_both(folder.path());
    let config = format!("{ROOT}/configs/replay.toml");
    let of = |kind: &str| -> [Vec<u8>; 3] {
        let (data, model, scores) =
            (format!("pumps.{kind}"), format!("{kind}.safetensors"), format!("{kind}.csv"));
        let trained =
            eddy(folder.path(), &["train", &config, "--stream", "pumps", "--data", &data, "--out", &model]);
        assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
        let asked = ["--scores", &scores, "--json", "told.json"];
        let told = eddy(
            folder.path(),
            &[&["backtest", &config, "--stream", "pumps", "--data", &data], &asked[..]].concat(),
        );
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        [&model, &scores, "told.json"].map(|name| std::fs::read(folder.path().join(name)).expect("a file"))
    };
    let (csv, parquet) = (of("csv"), of("parquet"));
    assert!(csv[1].len() > 100_000, "verdicts on the windows of three hours");
    for (at, what) in ["model", "verdicts", "report"].into_iter().enumerate() {
        assert!(csv[at] == parquet[at], "the {what} of Parquet is another one");
    }
}

#[test]
fn what_cannot_be_read_is_said_with_the_remedy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_both(folder.path());
    let whole = std::fs::read(folder.path().join("pumps.parquet")).expect("the file");
    std::fs::write(folder.path().join("cut.parquet"), &whole[..whole.len() / 2]).expect("room");
    let config = format!("{ROOT}/configs/replay.toml");
    let done = eddy(folder.path(), &["backtest", &config, "--stream", "pumps", "--data", "cut.parquet"]);
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && said.contains("cut.parquet is not a whole Parquet file"), "{said}");
    assert!(said.contains("write it anew"), "{said}");
}
