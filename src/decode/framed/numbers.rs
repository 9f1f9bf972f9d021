//! Numbers as both formats write them.

/// Of a number in zigzag: 0, -1, 1, -2 and so on.
pub(super) fn signed(zigzag: u64) -> i64 {
    (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)
}

/// Groups of seven bits, the lowest first, at most ten; both formats write numbers so.
pub(super) fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if index == 9 && *byte > 1 {
                break;
            }
            *bytes = &bytes[index + 1..];
            return Ok(value);
        }
    }
    Err(if bytes.len() < 10 { "it ends too early" } else { "a number has too many digits" }.to_owned())
}

/// Two's complement, the highest byte first, divided by ten to the `scale`.
pub(super) fn decimal(unscaled: &[u8], scale: i32) -> f64 {
    let negative = unscaled.first().is_some_and(|byte| byte & 0x80 != 0);
    let whole = match unscaled.len() {
        0..=16 => {
            let mut wide = [if negative { 0xff } else { 0 }; 16];
            wide[16 - unscaled.len()..].copy_from_slice(unscaled);
            i128::from_be_bytes(wide) as f64
        }
        _ => {
            let magnitude = |byte: &u8| f64::from(if negative { !byte } else { *byte });
            let sum = unscaled.iter().fold(0.0, |sum, byte| sum * 256.0 + magnitude(byte));
            if negative { -sum - 1.0 } else { sum }
        }
    };
    whole / 10_f64.powi(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_of_every_width() {
        assert_eq!(decimal(&[0x04, 0xd2], 2), 12.34);
        assert_eq!(decimal(&[0xfb, 0x2e], 2), -12.34);
        assert_eq!(decimal(&[], 2), 0.0);
        let mut wide = [0; 20];
        wide[19] = 5;
        assert_eq!(decimal(&wide, 0), 5.0);
        assert_eq!(decimal(&[0xff; 20], 1), -0.1);
    }
}
