//! What a message of Kafka brought with it, as bytes, and back.
//!
//! Little-endian: `partition i32 │ offset i64 │ timestamp i64, ms (i64::MIN = none) │ key len u32 (2^32-1 = no key) │
//! key │ headers u32 │ for each: name len u16 │ value len u32 (2^32-1 = no value) │ name │ value`.

use bytes::{Buf, Bytes};

use crate::types::{Header, KafkaOrigin};

const NO_BYTES: u32 = u32::MAX;
const NO_TIME: i64 = i64::MIN;
const FIXED_BYTES: usize = 4 + 8 + 8 + 4 + 4;
const HEADER_BYTES: usize = 2 + 4;

/// How many [`encode`] writes.
pub(super) fn bytes(origin: &KafkaOrigin) -> usize {
    let len = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
    let header = |header: &Header| HEADER_BYTES + header.name.len() + len(&header.value);
    FIXED_BYTES + len(&origin.key) + origin.headers.iter().map(header).sum::<usize>()
}

/// Every length fits the field it is written to. (What is too large as a whole is refused by the log.)
pub(super) fn fits(origin: &KafkaOrigin) -> bool {
    origin.headers.iter().all(|header| header.name.len() <= usize::from(u16::MAX))
        && bytes(origin) < NO_BYTES as usize
}

pub(super) fn encode(origin: &KafkaOrigin, to: &mut Vec<u8>) {
    let KafkaOrigin { partition, offset, timestamp_ms, key, headers } = origin;
    to.extend_from_slice(&partition.to_le_bytes());
    to.extend_from_slice(&offset.to_le_bytes());
    to.extend_from_slice(&timestamp_ms.unwrap_or(NO_TIME).to_le_bytes());
    to.extend_from_slice(&len(key).to_le_bytes());
    to.extend_from_slice(key.as_deref().unwrap_or_default());
    to.extend_from_slice(&(headers.len() as u32).to_le_bytes());
    for Header { name, value } in headers {
        to.extend_from_slice(&(name.len() as u16).to_le_bytes());
        to.extend_from_slice(&len(value).to_le_bytes());
        to.extend_from_slice(name.as_bytes());
        to.extend_from_slice(value.as_deref().unwrap_or_default());
    }
}

fn len(value: &Option<Bytes>) -> u32 {
    value.as_ref().map_or(NO_BYTES, |value| value.len() as u32)
}

/// Takes it off the beginning of `from`; `None` if that is no such thing.
pub(super) fn decode(from: &mut Bytes) -> Option<KafkaOrigin> {
    let partition = from.try_get_i32_le().ok()?;
    let offset = from.try_get_i64_le().ok()?;
    let timestamp_ms = Some(from.try_get_i64_le().ok()?).filter(|ms| *ms != NO_TIME);
    let key_len = from.try_get_u32_le().ok()?;
    let key = value(from, key_len)?;
    let count = from.try_get_u32_le().ok()? as usize;
    // Each takes some bytes: a count that cannot be must not make room for itself.
    if count > from.len() / HEADER_BYTES {
        return None;
    }
    let headers = (0..count).map(|_| header(from)).collect::<Option<_>>()?;
    Some(KafkaOrigin { partition, offset, timestamp_ms, key, headers })
}

fn header(from: &mut Bytes) -> Option<Header> {
    let name_len = usize::from(from.try_get_u16_le().ok()?);
    let value_len = from.try_get_u32_le().ok()?;
    let name = take(from, name_len)?;
    Some(Header { name: std::str::from_utf8(&name).ok()?.into(), value: value(from, value_len)? })
}

fn value(from: &mut Bytes, len: u32) -> Option<Option<Bytes>> {
    match len {
        NO_BYTES => Some(None),
        len => take(from, len as usize).map(Some),
    }
}

fn take(from: &mut Bytes, len: usize) -> Option<Bytes> {
    (from.len() >= len).then(|| from.split_to(len))
}

/// With and without a key and a time, and headers of both kinds.
#[cfg(test)]
pub(super) fn example(n: u64) -> KafkaOrigin {
    let header = |name: &str, value: Option<&'static [u8]>| Header {
        name: name.into(),
        value: value.map(bytes::Bytes::from_static),
    };
    KafkaOrigin {
        partition: (n % 7) as i32,
        offset: n as i64 * 3,
        timestamp_ms: n.is_multiple_of(2).then_some(1_700_000_000_000 + n as i64),
        key: (n % 3 != 1).then(|| format!("pump-{n}").into()),
        headers: [header("site", Some(b"north")), header("", Some(b"")), header("trace", None)].into(),
    }
}
