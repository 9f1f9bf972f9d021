//! W3C Trace Context, level 1: ids, and the header `traceparent`.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::types::hex;

/// A vendor's own part of a context is passed on up to this size (section 3.3.1.5 asks for 512 characters at least).
const STATE_BYTES_MAX: usize = 512;

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId(pub [u8; 16]);

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpanId(pub [u8; 8]);

impl TraceId {
    /// Of an alert or incident: its id, which has the form of one. So it is the same over revisions, retries and
    /// replays, and whoever has the alert has the trace.
    pub fn of(id: &str) -> Self {
        TraceId(bytes(id).filter(|id| *id != [0; 16]).unwrap_or_else(|| digest(&[id.as_bytes()])))
    }
}

impl SpanId {
    /// The same for the same parts.
    pub fn of(parts: &[&[u8]]) -> Self {
        SpanId(digest(parts))
    }
}

/// Of one chance in 2^64 it would be zero, which is no id.
fn digest<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let hash = hash.finalize();
    std::array::from_fn(|i| hash[i])
}

/// `00-TRACE-SPAN-FLAGS`; of the flags there is only whether the trace is recorded.
pub fn traceparent(trace: TraceId, span: SpanId, sampled: bool) -> String {
    format!("00-{}-{}-{:02x}", hex(&trace.0), hex(&span.0), u8::from(sampled))
}

/// What a sender said it was doing.
#[derive(Clone, PartialEq, Eq)]
pub struct Parent {
    pub trace: TraceId,
    pub span: SpanId,
    pub flags: u8,
    pub state: Box<str>,
}

impl fmt::Debug for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:02x} {}", hex(&self.trace.0), hex(&self.span.0), self.flags, self.state)
    }
}

impl Parent {
    /// Section 3.2 of the recommendation. A header that does not follow it says nothing; of later versions what
    /// version 0 has is read.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let (fields, rest) = traceparent.split_at_checked(55)?;
        let mut parts = fields.split('-');
        let [version, trace, span, flags] = [(); 4].map(|()| parts.next().unwrap_or_default());
        let [version] = bytes::<1>(version)?;
        let goes_on = !rest.is_empty() && (version == 0 || !rest.starts_with('-'));
        if version == 0xff || goes_on || parts.next().is_some() {
            return None;
        }
        let (trace, span) = (bytes(trace)?, bytes(span)?);
        let [flags] = bytes::<1>(flags)?;
        if trace == [0; 16] || span == [0; 8] {
            return None;
        }
        let state = tracestate.filter(|state| state.len() <= STATE_BYTES_MAX).unwrap_or_default();
        Some(Parent { trace: TraceId(trace), span: SpanId(span), flags, state: state.into() })
    }
}

/// Of lower-case hex digits, two a byte and no more.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alerts_trace_has_its_id() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(hex(&TraceId::of(id).0), id);
        let other = TraceId::of("a1");
        assert_eq!((other == TraceId::of("a1"), other == TraceId::of("a2")), (true, false));
        assert!(TraceId::of(&"0".repeat(32)).0 != [0; 16], "of no digit but 0 there is no trace");
        let header = traceparent(TraceId::of(id), SpanId([0, 240, 103, 170, 11, 169, 2, 183]), true);
        assert_eq!(header, format!("00-{id}-00f067aa0ba902b7-01"));
        assert_eq!(
            format!("{:?}", Parent::parse(&header, None).unwrap()),
            header["00-".len()..].to_owned() + " "
        );
    }

    /// The examples of the recommendation, and what it forbids.
    #[test]
    fn headers_are_read_as_the_recommendation_says() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = Parent::parse(good, Some("congo=t61rcWkgMzE")).unwrap();
        assert_eq!((parent.flags, &*parent.state), (1, "congo=t61rcWkgMzE"));
        assert_eq!(&*Parent::parse(good, Some(&"x".repeat(513))).unwrap().state, "");
        assert!(Parent::parse(&good.replacen("00", "cc", 1), None).is_some());
        assert!(Parent::parse(&(good.replacen("00", "cc", 1) + "-what-comes"), None).is_some());
        let bad = [
            &good.replacen("00", "ff", 1),
            &(good.replacen("00", "cc", 1) + ".what"),
            &(good.to_owned() + "-00"),
            &good.to_uppercase(),
            &good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &good.replacen('-', "_", 1),
            &good[..54],
            "",
            &"ü".repeat(40),
        ];
        for header in bad {
            assert_eq!(Parent::parse(header, None), None, "{header}");
        }
    }
}
