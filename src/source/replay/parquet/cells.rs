//! Values of a column as the texts that the same table written as CSV would have.

use polars::prelude::StringChunkedBuilder;
use polars_arrow::array::{Array, BooleanArray, PrimitiveArray, Utf8ViewArray};
use polars_arrow::datatypes::{ArrowDataType, TimeUnit};
use polars_arrow::types::NativeType;

/// Appends an array of the type it is for.
pub(super) type Write = fn(&dyn Array, &mut StringChunkedBuilder);

const DAY_NS: i64 = 86_400_000_000_000;

/// How values of a type become text; `None`: there is no text of them that a row could hold.
pub(super) fn writer(kind: &ArrowDataType) -> Option<Write> {
    use ArrowDataType as Kind;
    Some(match kind {
        Kind::Null => nothing,
        Kind::Boolean => booleans,
        Kind::Int8 => numbers::<i8>,
        Kind::Int16 => numbers::<i16>,
        Kind::Int32 => numbers::<i32>,
        Kind::Int64 => numbers::<i64>,
        Kind::UInt8 => numbers::<u8>,
        Kind::UInt16 => numbers::<u16>,
        Kind::UInt32 => numbers::<u32>,
        Kind::UInt64 => numbers::<u64>,
        Kind::Float32 => numbers::<f32>,
        Kind::Float64 => numbers::<f64>,
        Kind::Utf8View => texts,
        Kind::Date32 => times::<i32, DAY_NS>,
        Kind::Timestamp(TimeUnit::Second, _) => times::<i64, 1_000_000_000>,
        Kind::Timestamp(TimeUnit::Millisecond, _) => times::<i64, 1_000_000>,
        Kind::Timestamp(TimeUnit::Microsecond, _) => times::<i64, 1_000>,
        Kind::Timestamp(TimeUnit::Nanosecond, _) => times::<i64, 1>,
        _ => return None,
    })
}

/// A type that has no text, in a word.
pub(super) fn kind(kind: &ArrowDataType) -> String {
    use ArrowDataType as Kind;
    match kind {
        Kind::LargeList(_) | Kind::FixedSizeList(..) => "list".to_owned(),
        Kind::Struct(_) => "struct".to_owned(),
        Kind::Map(..) => "map".to_owned(),
        Kind::BinaryView | Kind::FixedSizeBinary(_) => "bytes".to_owned(),
        other => format!("{other:?}"),
    }
}

fn nothing(array: &dyn Array, out: &mut StringChunkedBuilder) {
    (0..array.len()).for_each(|_| out.append_null());
}

fn booleans(array: &dyn Array, out: &mut StringChunkedBuilder) {
    let values = of::<BooleanArray>(array).into_iter().flatten();
    values.for_each(|value| out.append_option(value.map(|value| if value { "true" } else { "false" })));
}

fn texts(array: &dyn Array, out: &mut StringChunkedBuilder) {
    of::<Utf8ViewArray>(array).into_iter().flatten().for_each(|value| out.append_option(value));
}

/// The fewest digits that read back as the same number.
fn numbers<T: NativeType>(array: &dyn Array, out: &mut StringChunkedBuilder) {
    written(of::<PrimitiveArray<T>>(array), out, |value, text| {
        let _ = std::fmt::write(text, format_args!("{value:?}"));
    });
}

/// Counts of `NS` since 1970, as ISO 8601. A time without a zone is in UTC, as it is in a text without an offset.
fn times<T: NativeType + Into<i64>, const NS: i64>(array: &dyn Array, out: &mut StringChunkedBuilder) {
    written(of::<PrimitiveArray<T>>(array), out, |value, text| {
        let count: i64 = value.into();
        let _ = match jiff::Timestamp::from_nanosecond(i128::from(count) * i128::from(NS)) {
            Ok(time) => std::fmt::write(text, format_args!("{time}")),
            // Beyond the calendar: decoding refuses it as what it is.
            Err(_) => std::fmt::write(text, format_args!("{count}")),
        };
    });
}

fn written<T: NativeType>(
    array: Option<&PrimitiveArray<T>>,
    out: &mut StringChunkedBuilder,
    write: impl Fn(T, &mut String),
) {
    let mut text = String::new();
    for value in array.into_iter().flatten() {
        text.clear();
        match value {
            None => out.append_null(),
            Some(value) => {
                write(*value, &mut text);
                out.append_value(&text);
            }
        }
    }
}

/// The array as what its type says it is; nothing, and so too few values, if it is not.
fn of<T: 'static>(array: &dyn Array) -> Option<&T> {
    array.as_any().downcast_ref()
}
