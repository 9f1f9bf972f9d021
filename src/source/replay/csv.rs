//! A CSV file, piece by piece: what is in memory does not grow with the file.
//!
//! A piece is the header line and as many whole rows as a few MB hold, so each is a CSV file of its own.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use polars::io::utils::compression::{ByteSourceReader, SupportedCompression};

use super::table::Table;
use crate::source::SourceError;

/// Text of a piece, about.
const PIECE_BYTES: usize = 4 << 20;
/// A longer row than this is a quote that nobody closed.
const ROW_BYTES_MAX: usize = 64 << 20;

pub(super) struct Pieces {
    path: PathBuf,
    text: ByteSourceReader<BufReader<Counted>>,
    header: Vec<u8>,
    /// Text behind the last piece, which starts with a row.
    rest: Vec<u8>,
    ended: bool,
    bytes: u64,
    bytes_read: Arc<AtomicU64>,
}

impl Pieces {
    /// Gzip is recognised by its content. Blocks.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let failed = |error| SourceError::Open { path: path.to_owned(), error };
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let bytes_read = Arc::new(AtomicU64::new(0));
        let mut file = BufReader::new(Counted { file, bytes_read: bytes_read.clone() });
        let start = file.fill_buf().map_err(failed)?;
        let compression = SupportedCompression::check(start);
        let text = ByteSourceReader::try_new(file, compression)
            .map_err(|e| SourceError::NotCsv { path: path.to_owned(), detail: e.to_string() })?;
        let (path, header, rest) = (path.to_owned(), Vec::new(), Vec::new());
        Ok(Pieces { path, text, header, rest, ended: false, bytes, bytes_read })
    }

    /// Size of the file, and how much of it was read.
    pub fn progress(&self) -> (u64, u64) {
        (self.bytes, self.bytes_read.load(Ordering::Relaxed))
    }

    /// The next rows; `None` behind the last. Blocks.
    pub fn piece(&mut self) -> Result<Option<Table>, SourceError> {
        self.piece_of(PIECE_BYTES)
    }

    fn piece_of(&mut self, piece_bytes: usize) -> Result<Option<Table>, SourceError> {
        if self.ended {
            return Ok(None);
        }
        let mut piece = self.header.clone();
        piece.append(&mut self.rest);
        let mut rows = Rows::default();
        loop {
            let more = self.text.read_next_slice(&Default::default(), piece_bytes, None);
            let (more, read) = more.map_err(|error| SourceError::Open { path: self.path.clone(), error })?;
            self.ended = read == 0;
            piece.extend_from_slice(&more);
            rows.look(&piece);
            if self.ended || (rows.header > 0 && rows.end > rows.header) {
                break;
            }
            if piece.len() > ROW_BYTES_MAX {
                let detail = format!("a row has more than {ROW_BYTES_MAX} bytes: is a quote not closed?");
                return Err(SourceError::NotCsv { path: self.path.clone(), detail });
            }
        }
        if !self.ended {
            self.rest = piece.split_off(rows.end);
        }
        if self.header.is_empty() {
            self.header = piece[..rows.header].to_vec();
            if let Some(detail) = foreign(&piece[..if rows.header > 0 { rows.header } else { piece.len() }]) {
                return Err(SourceError::NotCsv { path: self.path.clone(), detail });
            }
        }
        Table::of(&self.path, std::io::Cursor::new(piece)).map(Some)
    }
}

/// What is wrong with a header line that knows no commas, but something else that is used in their place.
fn foreign(header: &[u8]) -> Option<String> {
    let found = [(b';', "semicolons"), (b'\t', "tabs"), (b'|', "`|`")];
    let (_, name) = found.into_iter().find(|(mark, _)| !header.contains(&b',') && header.contains(mark))?;
    Some(format!("its columns are parted by {name}: write it with commas, and numbers with a decimal point"))
}

/// Where the rows of a text end: at line ends outside of quotes.
#[derive(Default)]
struct Rows {
    looked: usize,
    quoted: bool,
    /// Behind the first row that is not empty: what comes before the others is skipped by readers of CSV.
    header: usize,
    /// Behind the last whole row.
    end: usize,
}

impl Rows {
    fn look(&mut self, text: &[u8]) {
        for (at, byte) in text.iter().enumerate().skip(self.looked) {
            match byte {
                b'"' => self.quoted = !self.quoted,
                b'\n' if !self.quoted => {
                    let row = &text[self.end..at];
                    self.end = at + 1;
                    if self.header == 0 && !row.is_empty() && row != b"\r" {
                        self.header = self.end;
                    }
                }
                _ => {}
            }
        }
        self.looked = text.len();
    }
}

/// A file that counts what is read of it.
struct Counted {
    file: File,
    bytes_read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(to)?;
        self.bytes_read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn json(table: &Table) -> impl Iterator<Item = String> {
        (0..table.rows()).map(|row| String::from_utf8(table.json(row)).unwrap())
    }

    /// Every row as JSON, read in pieces of about so many bytes.
    fn rows(text: &[u8], piece_bytes: usize) -> Vec<String> {
        let (_folder, path) = written(text);
        let mut pieces = Pieces::open(&path).unwrap();
        let mut found = Vec::new();
        while let Some(table) = pieces.piece_of(piece_bytes).unwrap() {
            found.extend(json(&table));
        }
        assert_eq!(pieces.progress(), (text.len() as u64, text.len() as u64));
        found
    }

    #[test]
    fn pieces_of_any_size_hold_the_rows_of_the_whole() {
        let mut text = String::from("\n\r\nkey,\"a \"\"long\"\"\nname\",x\n");
        for n in 0..40 {
            text += &match n % 5 {
                0 => format!("p{n},\"row\nof, two\r\nlines\",{n}\n"),
                1 => format!("p{n},\"\"\"\",\n"),
                2 => format!("p{n},ß,{n}.5\r\n"),
                3 => format!("{n}\n"),
                _ => format!("p{n},,-{n}\n"),
            };
        }
        let (_folder, path) = written(text.as_bytes());
        let whole: Vec<String> = json(&Table::read(&path).unwrap()).collect();
        assert_eq!(whole.len(), 40);
        assert!(whole[0].contains(r#""row\nof, two\r\nlines""#), "{}", whole[0]);
        for piece_bytes in [1, 2, 3, 7, 16, 61, 200, 513, 1 << 20] {
            assert_eq!(rows(text.as_bytes(), piece_bytes), whole, "{piece_bytes}");
        }
        text.truncate(text.len() - 1);
        assert_eq!(rows(text.as_bytes(), 9), whole, "the last line needs no end");
    }

    #[test]
    fn a_header_alone_has_no_rows_and_nothing_is_no_csv() {
        assert!(rows(b"a,b\n", 64).is_empty() && rows(b"a,b", 1).is_empty());
        let (_folder, path) = written(b"");
        assert!(matches!(Pieces::open(&path).unwrap().piece(), Err(SourceError::NotCsv { .. })));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        let error = |text: &[u8]| {
            let (_folder, path) = written(text);
            let mut pieces = Pieces::open(&path).unwrap();
            let found = std::iter::from_fn(|| pieces.piece().transpose()).find_map(Result::err);
            found.expect("no such file is read").to_string()
        };
        for (text, name) in
            [(&b"t;k;a\n1;p;2,5\n"[..], "semicolons"), (b"\nt\tk\ta\r\n1\tp\t2\n", "tabs"), (b"t|k", "`|`")]
        {
            let error = error(text);
            assert!(error.contains(&format!("parted by {name}: write it with commas")), "{error}");
        }
        let longer = error(b"t,k\n1,p,2\n");
        assert!(longer.contains("more fields than the header") && longer.lines().count() == 1, "{longer}");
        assert_eq!(rows(b"a;b,c\n1,2\n", 64), [r#"{"a;b":1,"c":2}"#], "a name may hold what it likes");
    }

    #[test]
    fn a_quote_that_is_not_closed_does_not_fill_the_memory() {
        let mut text = b"a,b\n1,\"2\n".to_vec();
        text.resize(ROW_BYTES_MAX + (16 << 20), b'\n');
        let (_folder, path) = written(&text);
        let Err(error) = Pieces::open(&path).unwrap().piece() else { panic!("it read a broken file") };
        assert!(error.to_string().contains("is a quote not closed?"), "{error}");
    }
}
