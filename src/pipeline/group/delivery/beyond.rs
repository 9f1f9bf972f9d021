//! What of a partition of alerts is delivered behind the first alert that is not. A silence may hold one back for days: whoever has
//! the partition next is told of it by the metadata of the commit, and does not tell the others again.

use std::ops::Range;

/// Of the metadata; brokers take 4096 by default. What does not fit is told again.
const BYTES_MAX: usize = 3_000;

/// Stretches of offsets behind `first`, given in order: how many lie before each, and how many it has, `GAP+LENGTH` with spaces
/// between.
pub fn write(first: i64, settled: impl Iterator<Item = Range<i64>>) -> String {
    let mut stretches: Vec<Range<i64>> = Vec::new();
    for stretch in settled {
        match stretches.last_mut() {
            Some(last) if last.end == stretch.start => last.end = stretch.end,
            _ => stretches.push(stretch),
        }
    }
    let (mut text, mut end) = (String::new(), first);
    for stretch in stretches {
        let space = if text.is_empty() { "" } else { " " };
        let next = format!("{space}{}+{}", stretch.start - end, stretch.end - stretch.start);
        if text.len() + next.len() > BYTES_MAX {
            break;
        }
        text += &next;
        end = stretch.end;
    }
    text
}

/// Nothing, where it is of something else.
pub fn read(first: i64, text: &str) -> Vec<Range<i64>> {
    let mut end = first;
    let stretch = |text: &str| {
        let (gap, length) = text.split_once('+')?;
        let (gap, length): (u32, u32) = (gap.parse().ok()?, length.parse().ok()?);
        let start = end + i64::from(gap);
        end = start + i64::from(length);
        Some(start..end)
    };
    text.split_ascii_whitespace().map(stretch).collect::<Option<_>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_read_as_they_are_written() {
        assert_eq!(write(40, [].into_iter()), "");
        let settled = [41..42, 42..44, 50..51, 52..54];
        let text = write(40, settled.into_iter());
        assert_eq!(text, "1+3 6+1 1+2");
        assert_eq!(read(40, &text), [41..44, 50..51, 52..54]);
        assert!(read(40, "").is_empty());
        for other in ["x", "1+3 x", "1", "-1+3", "1+3 6+"] {
            assert!(read(40, other).is_empty(), "{other}");
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_from_behind() {
        let text = write(0, (1..100_000).step_by(2).map(|offset| offset..offset + 1));
        assert!(text.len() <= BYTES_MAX && text.len() > BYTES_MAX - 10);
        let stretches = read(0, &text);
        let ones = (1..).step_by(2).map(|offset| offset..offset + 1);
        assert!(stretches.into_iter().zip(ones).all(|(read, written)| read == written));
    }
}
