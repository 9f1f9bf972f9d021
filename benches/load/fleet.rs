//! A synthetic fleet: four columns a key that follow one load, each with noise of its own.
//!
//! A row is a pure function of key and second, and cheap to render: the generator shares its machine
//! with what it measures.

/// 2026-01-01T00:00:00Z, ms.
pub const START_MS: u64 = 1_767_225_600_000;
pub const COLUMNS: [&str; 4] = ["flow", "pressure", "temperature", "vibration"];

/// Keys a model is trained on; none of them is in any load.
pub const TRAINING_KEYS: std::ops::Range<u64> = 900_000..900_064;

/// What the load means to each column, hundredths a step of 256.
const GAINS: [u64; 4] = [4, 7, 11, 19];

/// SplitMix64 (Steele, Lea, Flood 2014).
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Hundredths, 1,000 to 9,999: a triangle wave of 32 s with a phase of the key's own (a key's level
/// is then known after one window), plus noise that is the sum of four dice.
fn hundredths(key: u64, second: u64) -> [u64; 4] {
    let phase = (16 * second + mix(key)) % 512;
    let load = phase.min(511 - phase);
    let noise = mix(key << 32 | second);
    std::array::from_fn(|column| {
        let bits = noise >> (16 * column);
        let dice = (0..4).map(|die| bits >> (4 * die) & 15).sum::<u64>();
        2_000 + GAINS[column] * load + 10 * dice
    })
}

/// `number` in exactly `DIGITS` digits.
fn push_digits<const DIGITS: usize>(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits);
}

fn push_value(out: &mut Vec<u8>, hundredths: u64) {
    push_digits::<2>(out, hundredths / 100);
    out.push(b'.');
    push_digits::<2>(out, hundredths % 100);
}

fn push_time(out: &mut Vec<u8>, second: u64) {
    push_digits::<13>(out, START_MS + 1_000 * second);
}

/// One JSON object, 105 bytes.
pub fn push_json(out: &mut Vec<u8>, key: u64, second: u64) {
    out.extend_from_slice(b"{\"pump\":\"pump-");
    push_digits::<6>(out, key);
    out.extend_from_slice(b"\",\"ts\":");
    push_time(out, second);
    for (column, value) in COLUMNS.iter().zip(hundredths(key, second)) {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(column.as_bytes());
        out.extend_from_slice(b"\":");
        push_value(out, value);
    }
    out.push(b'}');
}

/// Rows `rows` of the endless stream in which every key of `keys` speaks once a second, as NDJSON.
pub fn push_ndjson(out: &mut Vec<u8>, keys: u64, rows: std::ops::Range<u64>) {
    for row in rows {
        push_json(out, row % keys, row / keys);
        out.push(b'\n');
    }
}

/// `seconds` of the training keys, with a header.
pub fn training_csv(seconds: u64) -> Vec<u8> {
    let mut out = format!("pump,ts,{}\n", COLUMNS.join(",")).into_bytes();
    for second in 0..seconds {
        for key in TRAINING_KEYS {
            out.extend_from_slice(b"pump-");
            push_digits::<6>(&mut out, key);
            out.push(b',');
            push_time(&mut out, second);
            for value in hundredths(key, second) {
                out.push(b',');
                push_value(&mut out, value);
            }
            out.push(b'\n');
        }
    }
    out
}
