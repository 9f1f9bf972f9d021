//! Training history of the same plant without faults, as CSV: what `make models` trains on.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::plant::{Plant, Sample, pump_name};
use crate::types::EventTime;

/// Start of every demo run: Wednesday 2026-01-07 08:00 UTC. Fixed, so that a seed gives the same run on any day.
pub const DEMO_START: EventTime = EventTime(1_767_772_800_000_000_000);

const DAY_S: i64 = 86_400;

/// Writes `days` of history that end where the demo starts, one row a sample, in order of time:
/// `time` (ms since the Unix epoch), `pump`, `vibration`, `temperature`, `pressure`, `flow`. A missing
/// value is an empty field. Returns the number of rows.
pub fn export_history(seed: u64, days: u32, path: &Path) -> io::Result<u64> {
    let steps = i64::from(days) * DAY_S;
    let start = EventTime(DEMO_START.0 - steps * super::plant::SECOND_NS);
    let mut plant = Plant::new(seed, start);
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    writeln!(file, "time,pump,vibration,temperature,pressure,flow")?;
    let mut rows = 0;
    for _ in 0..steps {
        // Devices sample at their own phase of the second: put a second's rows in order of time.
        let mut samples = plant.step().to_vec();
        samples.sort_by_key(|sample| sample.time);
        for sample in &samples {
            write_row(&mut file, sample)?;
            rows += 1;
        }
    }
    file.flush()?;
    Ok(rows)
}

fn write_row(file: &mut impl Write, sample: &Sample) -> io::Result<()> {
    write!(file, "{},{}", sample.time.0 / 1_000_000, pump_name(sample.pump))?;
    for value in sample.values {
        if value.is_nan() {
            write!(file, ",")?;
        } else {
            write!(file, ",{value}")?;
        }
    }
    writeln!(file)
}
