//! Protobuf's wire format, field by field, whatever the fields are.

use super::numbers::varint;

/// As deep as JSON may be nested.
pub(super) const DEPTH_MAX: u32 = 254;

const TRUNCATED: &str = "it ends too early";

/// What a tag says of the bytes behind it.
pub(super) enum Wire<'a> {
    Varint(u64),
    Eight([u8; 8]),
    Bytes(&'a [u8]),
    Four([u8; 4]),
    /// A group, which is read past.
    Group,
}

/// The next field's number and value.
pub(super) fn next<'a>(bytes: &mut &'a [u8], depth: u32) -> Result<(u32, Wire<'a>), String> {
    let tag = varint(bytes)?;
    let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number));
    let number = number.ok_or("a field's number is out of range")?;
    let wire = match tag & 7 {
        0 => Wire::Varint(varint(bytes)?),
        1 => Wire::Eight(chunk(bytes)?),
        2 => {
            let len = varint(bytes)?;
            let len = usize::try_from(len).map_err(|_| TRUNCATED)?;
            let (taken, rest) = bytes.split_at_checked(len).ok_or(TRUNCATED)?;
            *bytes = rest;
            Wire::Bytes(taken)
        }
        3 => {
            skip_group(bytes, number, depth)?;
            Wire::Group
        }
        5 => Wire::Four(chunk(bytes)?),
        other => return Err(format!("a field is of wire type {other}")),
    };
    Ok((number, wire))
}

fn skip_group(bytes: &mut &[u8], number: u32, depth: u32) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("it is nested more than {DEPTH_MAX} levels deep"));
    }
    loop {
        let mut ahead = *bytes;
        let tag = varint(&mut ahead)?;
        if tag & 7 == 4 {
            *bytes = ahead;
            return if tag >> 3 == u64::from(number) {
                Ok(())
            } else {
                Err("a group ends as another".into())
            };
        }
        next(bytes, depth + 1)?;
    }
}

fn chunk<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], String> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(TRUNCATED)?;
    *bytes = rest;
    Ok(*taken)
}
