//! Avro's binary encoding, read by the schema it was written by (Avro 1.12, "Binary Encoding").
//!
//! A schema is turned once into steps that know where the stream's paths lead; what no path leads to is read past.

use super::super::capture::Captured;
use super::super::json;
use super::sink::{Place, Sink};

/// As deep as JSON may be nested.
const DEPTH_MAX: u32 = 254;
/// Values in one message: those of no bytes would otherwise be without end.
const VALUES_MAX: u32 = 20_000_000;

#[derive(Debug)]
pub(super) struct Step {
    pub place: Option<Place>,
    pub what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Null,
    Bool,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Box<[Box<str>]>),
    /// Divided by ten to the `scale`; of `fixed` bytes.
    Decimal {
        scale: i32,
        fixed: Option<usize>,
    },
    /// A count of so many ns since 1970.
    Instant {
        ns: i64,
    },
    Array {
        items: u32,
        points: bool,
    },
    Map {
        values: u32,
        wanted: Box<[(Box<str>, u32)]>,
    },
    Union(Box<[u32]>),
    Record(Box<[u32]>),
}

/// Reads one whole document into the sink; `steps[root]` is the document's.
///
/// # Errors
/// In words, if the bytes are not what the schema says.
pub(super) fn read(steps: &[Step], root: u32, bytes: &[u8], sink: Sink<'_>) -> Result<(), String> {
    let mut reader = Reader { steps, bytes, sink, left: VALUES_MAX };
    reader.sink.begin_document();
    reader.value(root, 0)?;
    match reader.bytes.len() {
        0 => Ok(()),
        left => Err(format!("{left} bytes are left behind the value")),
    }
}

struct Reader<'a> {
    steps: &'a [Step],
    bytes: &'a [u8],
    sink: Sink<'a>,
    left: u32,
}

impl<'a> Reader<'a> {
    fn value(&mut self, step: u32, depth: u32) -> Result<(), String> {
        self.left = self.left.checked_sub(1).ok_or("it holds too many values")?;
        if depth > DEPTH_MAX {
            return Err(format!("it is nested more than {DEPTH_MAX} levels deep"));
        }
        let steps = self.steps;
        let Step { place, what } = &steps[step as usize];
        let place = *place;
        match what {
            What::Array { items, points } => self.items(place, *items, *points, depth)?,
            What::Map { values, wanted } => self.entries(place, *values, wanted, depth)?,
            What::Union(branches) => {
                let index = self.long()?;
                let branch = usize::try_from(index).ok().and_then(|index| branches.get(index));
                self.value(*branch.ok_or_else(|| format!("a union has no branch {index}"))?, depth + 1)?;
            }
            What::Record(fields) => {
                self.sink.object(place);
                for field in fields {
                    self.value(*field, depth + 1)?;
                }
            }
            single => self.single(single, place)?,
        }
        Ok(())
    }

    /// What holds nothing else.
    fn single(&mut self, what: &What, place: Option<Place>) -> Result<(), String> {
        match what {
            What::Null => self.sink.set(place, Captured::Null),
            What::Bool => match self.take(1)?[0] {
                flag @ 0..=1 => self.sink.set(place, Captured::Bool(flag == 1)),
                other => return Err(format!("a boolean is {other}")),
            },
            What::Int => {
                let value = self.long()?;
                i32::try_from(value).map_err(|_| format!("an int is {value}"))?;
                self.sink.set(place, Captured::Int(value));
            }
            What::Long => {
                let value = self.long()?;
                self.sink.set(place, Captured::Int(value));
            }
            What::Float => {
                let value = f32::from_le_bytes(self.array()?);
                self.sink.single(place, value);
            }
            What::Double => {
                let value = f64::from_le_bytes(self.array()?);
                self.sink.float(place, value);
            }
            What::Bytes => {
                self.prefixed()?;
                self.sink.set(place, Captured::Binary);
            }
            What::Text => {
                let text = std::str::from_utf8(self.prefixed()?).map_err(|_| "a string is no UTF-8")?;
                self.sink.text(place, text);
            }
            What::Fixed(len) => {
                self.take(*len)?;
                self.sink.set(place, Captured::Binary);
            }
            What::Enum(symbols) => {
                let index = self.long()?;
                let symbol = usize::try_from(index).ok().and_then(|index| symbols.get(index));
                self.sink.text(place, symbol.ok_or_else(|| format!("an enum has no symbol {index}"))?);
            }
            What::Decimal { scale, fixed } => {
                let unscaled = match fixed {
                    Some(len) => self.take(*len)?,
                    None => self.prefixed()?,
                };
                self.sink.float(place, super::decimal(unscaled, *scale));
            }
            What::Instant { ns } => {
                let count = self.long()?;
                self.sink.set(place, Captured::Instant(count.saturating_mul(*ns)));
            }
            What::Array { .. } | What::Map { .. } | What::Union(_) | What::Record(_) => {}
        }
        Ok(())
    }

    fn items(&mut self, place: Option<Place>, items: u32, points: bool, depth: u32) -> Result<(), String> {
        self.sink.array(place);
        let mut count = 0;
        loop {
            let block = self.block()?;
            if block == 0 {
                break;
            }
            for _ in 0..block {
                if points {
                    if count == json::ROWS_MAX {
                        return Err(json::too_many_rows());
                    }
                    count += 1;
                    self.sink.begin_point();
                }
                self.value(items, depth + 1)?;
            }
        }
        if points {
            self.sink.end_points();
        }
        Ok(())
    }

    fn entries(
        &mut self,
        place: Option<Place>,
        values: u32,
        wanted: &[(Box<str>, u32)],
        depth: u32,
    ) -> Result<(), String> {
        self.sink.object(place);
        loop {
            let block = self.block()?;
            if block == 0 {
                return Ok(());
            }
            for _ in 0..block {
                let name = std::str::from_utf8(self.prefixed()?).map_err(|_| "a map's key is no UTF-8")?;
                let found = wanted.iter().find(|(wanted, _)| **wanted == *name);
                self.value(found.map_or(values, |(_, step)| *step), depth + 1)?;
            }
        }
    }

    /// How many elements follow. A negative count is followed by the block's size.
    fn block(&mut self) -> Result<u64, String> {
        let count = self.long()?;
        if count < 0 {
            self.long()?;
        }
        Ok(count.unsigned_abs())
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(TRUNCATED)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(TRUNCATED)?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn prefixed(&mut self) -> Result<&'a [u8], String> {
        let len = self.long()?;
        self.take(usize::try_from(len).map_err(|_| format!("a length is {len}"))?)
    }

    /// Zigzag in groups of seven bits, the lowest first.
    fn long(&mut self) -> Result<i64, String> {
        super::varint(&mut self.bytes).map(super::signed)
    }
}

const TRUNCATED: &str = "it ends too early";
