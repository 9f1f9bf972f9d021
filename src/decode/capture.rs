//! What one pass over a payload keeps, before it is made rows. Reused from message to message.

/// Longer texts are cut: no key, time or column name is valid at this length.
const MAX_TEXT_BYTES: usize = 1024;

/// What one slot holds after the pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Captured {
    #[default]
    Absent,
    Null,
    Bool(bool),
    Int(i64),
    /// The span is the number as written, where the node wants it.
    Float(f64, Span),
    Text(Span),
    /// A moment, ns since 1970: of a format that knows times from numbers.
    Instant(i64),
    /// Bytes of a format that knows them from texts.
    Binary,
    Object,
    Array,
}

/// A piece of the kept text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Span {
    start: u32,
    len: u32,
}

/// What a document or a point is as a whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Object,
    Array,
    Scalar,
}

/// Rows of slots, all of one width: the documents, or the points.
#[derive(Debug, Default)]
pub(super) struct Level {
    slots: Vec<Captured>,
    pub kinds: Vec<Kind>,
    /// Where the slots of the row being read start.
    base: usize,
}

/// The points of one document: those from the previous document's end to `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct PointsOf {
    pub end: usize,
    /// There was an array at the stream's `points`.
    pub found: bool,
}

#[derive(Debug, Default)]
pub(super) struct Capture {
    pub documents: Level,
    /// The points of all documents, one after the other.
    pub points: Level,
    /// One for each document; meaningful when the schema has points.
    pub points_of: Vec<PointsOf>,
    /// The top level is an array whose elements are the documents.
    pub many: bool,
    text: String,
}

impl Level {
    pub fn row(&self, index: usize, width: usize) -> &[Captured] {
        &self.slots[index * width..][..width]
    }

    /// Starts a row of absent values.
    pub fn begin(&mut self, width: usize) {
        self.base = self.slots.len();
        self.slots.resize(self.base + width, Captured::Absent);
        self.kinds.push(Kind::Scalar);
    }

    #[inline]
    pub fn set(&mut self, slot: u16, value: Captured) {
        self.slots[self.base + slot as usize] = value;
    }

    pub fn get(&self, slot: u16) -> Captured {
        self.slots[self.base + slot as usize]
    }

    pub fn forget(&mut self, slots: &std::ops::Range<u16>) {
        self.slots[self.base + slots.start as usize..self.base + slots.end as usize].fill(Captured::Absent);
    }

    pub fn set_kind(&mut self, kind: Kind) {
        if let Some(last) = self.kinds.last_mut() {
            *last = kind;
        }
    }

    fn truncate(&mut self, rows: usize, width: usize) {
        self.kinds.truncate(rows);
        self.slots.truncate(rows * width);
    }
}

impl Capture {
    #[inline]
    pub fn text(&self, span: Span) -> &str {
        // Spans are only made by `keep`, at character boundaries.
        &self.text[span.start as usize..][..span.len as usize]
    }

    pub fn keep(&mut self, text: &str) -> Span {
        let mut len = text.len().min(MAX_TEXT_BYTES);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        let start = self.text.len() as u32;
        self.text.push_str(&text[..len]);
        Span { start, len: len as u32 }
    }

    pub fn clear(&mut self) {
        self.documents.truncate(0, 0);
        self.points.truncate(0, 0);
        self.points_of.clear();
        self.many = false;
        self.text.clear();
    }

    pub fn begin_document(&mut self, width: usize) {
        self.documents.begin(width);
        self.points_of.push(PointsOf { end: self.points.kinds.len(), found: false });
    }

    /// Starts over with this document's points: a repeated name replaces what it held before.
    pub fn drop_points(&mut self, width: usize) {
        let before = self.points_of.len().checked_sub(2).map_or(0, |previous| self.points_of[previous].end);
        self.points.truncate(before, width);
        self.end_points(false);
    }

    /// All points of the current document have been read.
    pub fn end_points(&mut self, found: bool) {
        let end = self.points.kinds.len();
        if let Some(points) = self.points_of.last_mut() {
            *points = PointsOf { end, found };
        }
    }
}
