//! Lines of cells (RFC 4180), each a row, whose names are the stream's `header`.
//!
//! An empty cell is missing. A cell of digits is a number and keeps its digits, so that a key `007` stays one. Where every
//! message begins with the header, that line is passed over.

use std::ops::Range;

use csv_core::{ReadRecordResult, Reader};

use super::capture::{Capture, Captured, Kind};
use super::json;
use super::locate;
use super::payload::{BYTE_ORDER_MARK, Job};
use crate::types::{Reason, RecordRef};

/// A longer row than this is a quote that nobody closed.
const ROW_BYTES_MAX: usize = 1 << 20;
const CELLS_MAX: usize = 4096;

/// Kept from message to message.
#[derive(Debug)]
pub(super) struct Scratch {
    reader: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Cells of the row that was read last.
    cells: usize,
}

impl<E: FnMut(RecordRef<'_>)> Job<'_, E> {
    pub(super) fn csv(&mut self, header: &[String]) {
        // Taken out, since a row is made from both halves of what is kept.
        let mut csv = self.scratch.csv.take().unwrap_or_default();
        csv.reader.reset();
        self.rows_of(header, &mut csv);
        self.scratch.csv = Some(csv);
    }

    fn rows_of(&mut self, header: &[String], csv: &mut Scratch) {
        let payload = &self.message.payload;
        let mut start = if payload.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let (first_row, mut is_first) = (self.rows, true);
        while let Some(read) = csv.next(&payload[start..]) {
            let Ok(read) = read else {
                let detail = format!(
                    "a row has more than {ROW_BYTES_MAX} bytes or {CELLS_MAX} cells; close its quotes, or send less in a \
                     row"
                );
                return self.refuse_payload(Reason::Malformed, detail, start..payload.len());
            };
            let line = locate::trimmed(&payload[start..start + read]);
            let range = start + line.start..start + line.end;
            start += read;
            if std::mem::take(&mut is_first) {
                if csv.holds(header) {
                    continue;
                }
                if csv.names(header) {
                    let detail = "the first line names the cells in another order or case than the stream's `header`: its \
                                  rows would be read wrongly; correct `header`, or the sender";
                    return self.refuse_payload(
                        Reason::Malformed,
                        detail.to_owned(),
                        range.start..payload.len(),
                    );
                }
            }
            if self.rows - first_row >= json::ROWS_MAX {
                return self.refuse_payload(
                    Reason::TooLarge,
                    json::too_many_rows(),
                    range.start..payload.len(),
                );
            }
            self.row_of(header, csv, range);
        }
        if is_first {
            let detail = "the payload is empty; send lines of cells in the order of the stream's `header`";
            self.refuse_payload(Reason::Malformed, detail.to_owned(), 0..payload.len());
        }
    }

    fn row_of(&mut self, header: &[String], csv: &Scratch, range: Range<usize>) {
        if csv.cells != header.len() {
            let detail = format!(
                "the row has {} cells and the stream's `header` {}; send as many with commas between them, or correct `header`",
                csv.cells,
                header.len()
            );
            return self.refuse_payload(Reason::Malformed, detail, range);
        }
        let trie = &self.schema.document;
        let capture = &mut self.scratch.capture;
        capture.clear();
        capture.begin_document(trie.slots());
        capture.documents.set_kind(Kind::Object);
        for (index, name) in header.iter().enumerate() {
            let node = trie.root().child(name).map(|child| trie.node(child));
            let Some(slot) = node.and_then(|node| node.slot) else { continue };
            let Ok(cell) = std::str::from_utf8(csv.cell(index)) else {
                let detail = format!("`{name}` is no UTF-8; send the text in UTF-8");
                return self.refuse_payload(Reason::Malformed, detail, range);
            };
            let captured = captured(cell, capture);
            capture.documents.set(slot, captured);
        }
        let first_dead = self.dead.len();
        self.emit_rows(&[]);
        self.dead[first_dead..].iter_mut().for_each(|dead| dead.range = range.clone());
    }
}

impl Default for Scratch {
    fn default() -> Self {
        // The reader's own default reads nothing.
        Scratch { reader: Reader::new(), text: Vec::new(), ends: Vec::new(), cells: 0 }
    }
}

/// The row is longer than any may be.
struct TooLong;

impl Scratch {
    /// Whether each name is among the cells, whatever its place and case.
    fn names(&self, header: &[String]) -> bool {
        let cell = |index: usize| self.cell(index).trim_ascii();
        header
            .iter()
            .all(|name| (0..self.cells).any(|at| cell(at).eq_ignore_ascii_case(name.trim().as_bytes())))
    }

    /// Reads the next row, over lines without anything; gives the bytes it took.
    fn next(&mut self, input: &[u8]) -> Option<Result<usize, TooLong>> {
        let Scratch { reader, text, ends, cells } = self;
        let longest = input.len().min(ROW_BYTES_MAX) + 1;
        text.resize(longest.max(text.len()), 0);
        ends.resize(CELLS_MAX, 0);
        let (mut result, read, written, mut count) = reader.read_record(input, text, ends);
        if matches!(result, ReadRecordResult::InputEmpty) {
            // The last line need not end: the end of the input does.
            let (last, _, _, more) = reader.read_record(&[], &mut text[written..], &mut ends[count..]);
            (result, count) = (last, count + more);
        }
        *cells = count;
        match result {
            ReadRecordResult::Record => Some(Ok(read)),
            ReadRecordResult::End | ReadRecordResult::InputEmpty => None,
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => Some(Err(TooLong)),
        }
    }

    fn cell(&self, index: usize) -> &[u8] {
        let from = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[from..self.ends[index]]
    }

    fn holds(&self, header: &[String]) -> bool {
        let mut cells = header.iter().enumerate();
        self.cells == header.len() && cells.all(|(at, name)| self.cell(at) == name.as_bytes())
    }
}

fn captured(cell: &str, capture: &mut Capture) -> Captured {
    match cell {
        "" => return Captured::Absent,
        "true" => return Captured::Bool(true),
        "false" => return Captured::Bool(false),
        _ => {}
    }
    if let Ok(whole) = cell.parse::<i64>()
        && is_plain(cell)
    {
        return Captured::Int(whole);
    }
    let span = capture.keep(cell);
    // Not the words that are read as numbers elsewhere.
    let is_number = cell.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    match cell.parse::<f64>() {
        Ok(value) if is_number => Captured::Float(value, span),
        _ => Captured::Text(span),
    }
}

/// Whether a whole number is written as it would be written again.
fn is_plain(digits: &str) -> bool {
    match digits.strip_prefix('-').unwrap_or(digits).as_bytes() {
        [b'0'] => digits == "0",
        [b'1'..=b'9', ..] => true,
        _ => false,
    }
}
