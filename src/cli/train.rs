//! `eddy train CONFIG --stream NAME --data FILE... --out FILE`: fits a stream's model on recorded data.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{TrainArgs, environment, load};
use crate::config::plan::{Plan, StreamPlan};
use crate::decode::Decoder;
use crate::engine::train::{Seen, Trainer};
use crate::model::{Description, Model};
use crate::source::replay;
use crate::types::{Position, StreamId};

/// # Errors
/// If the config has problems, the data cannot be read, or does not determine a model.
pub fn train(args: &TrainArgs) -> Result<()> {
    let plan = load(&args.config)?;
    let Some(id) = plan.streams.iter().position(|s| s.name == args.stream) else {
        let names: Vec<&str> = plan.streams.iter().map(|s| s.name.as_str()).collect();
        bail!("{} has no [stream.{}]; it has {}", args.config.display(), args.stream, names.join(", "));
    };
    let stream = &plan.streams[id];
    let start = Instant::now();
    let mut trainer = Trainer::new(stream);
    for path in &args.data {
        feed(&plan, StreamId(id as u16), path, &mut trainer)?;
    }
    let seen = trainer.seen();
    if seen.events == 0 {
        bail!(
            "no row of the data became an event of stream {}: check key, time and columns against the file's header",
            stream.name
        );
    }
    let mut model = trainer.finish().with_context(|| format!("stream {}", stream.name))?;
    model.describe(description(stream, made_on(&environment())?));
    model.save(&args.out)?;
    report(stream, seen, &model, &args.out, start);
    Ok(())
}

/// Decodes a file exactly as a replay of it would be.
fn feed(plan: &Plan, id: StreamId, path: &Path, trainer: &mut Trainer) -> Result<()> {
    let source = plan.streams[id.0 as usize].from.first().cloned().unwrap_or_default();
    let rows = replay::Rows::open(path, &source)?;
    let bar = ProgressBar::new(rows.len() as u64).with_style(
        ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} rows {eta}")?.progress_chars("=> "),
    );
    bar.set_message(path.display().to_string());
    let mut decoder = Decoder::new(plan);
    let mut dead = Vec::new();
    for (i, message) in rows.enumerate() {
        let mut push = |record: crate::types::RecordRef<'_>| {
            if record.stream == id {
                trainer.push(&record);
            }
        };
        decoder.decode(Position(i as u64), &message, &mut push, &mut dead);
        if i % 4096 == 0 {
            bar.set_position(i as u64);
        }
    }
    bar.finish_and_clear();
    if let Some(first) = dead.first() {
        eprintln!(
            "{}: {} rows refused; the first: {}: {}",
            path.display(),
            dead.len(),
            first.reason,
            first.detail
        );
    }
    Ok(())
}

/// The day the model is made, UTC. `SOURCE_DATE_EPOCH` (Unix time in s, reproducible-builds.org) stands in
/// for the clock, so that the same data gives the same bytes on another day.
fn made_on(environment: &BTreeMap<String, String>) -> Result<String> {
    let time = match environment.get("SOURCE_DATE_EPOCH") {
        None => jiff::Timestamp::now(),
        Some(text) => {
            text.parse().ok().and_then(|second| jiff::Timestamp::from_second(second).ok()).with_context(
                || format!("SOURCE_DATE_EPOCH is {text:?}; set it to a Unix time in seconds, or unset it"),
            )?
        }
    };
    Ok(time.strftime("%Y-%m-%d").to_string())
}

fn description(stream: &StreamPlan, date: String) -> Description {
    Description {
        stream: stream.name.clone(),
        units: stream.columns.iter().map(|c| c.unit.clone()).collect(),
        grid_ns: stream.window.grid.as_nanos() as i64,
        window_ns: stream.window.size.as_nanos() as i64,
        date,
    }
}

fn report(stream: &StreamPlan, seen: Seen, model: &Model, out: &Path, start: Instant) {
    let card = model.card();
    println!("stream       {}", stream.name);
    println!("keys         {}", seen.keys);
    println!("events       {} ({} late, {} duplicate)", seen.events, seen.late, seen.duplicates);
    println!("windows      {} seen, {} fitted on", seen.windows, card.training_rows);
    println!("rank         {} (gain {})", card.chosen.rank, if card.chosen.gain { "on" } else { "off" });
    println!("held back    {:.4} nats a window", card.chosen.held_back_log_likelihood);
    println!("model        {} ({})", out.display(), model.checksum_short());
    println!("took         {:.1} s", start.elapsed().as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_day_stands_in_for_today() {
        let on = |text: &str| made_on(&BTreeMap::from([("SOURCE_DATE_EPOCH".to_owned(), text.to_owned())]));
        assert_eq!(on("1767772800").unwrap(), "2026-01-07");
        assert!(on("yesterday").unwrap_err().to_string().contains("Unix time"));
        let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        assert!(made_on(&BTreeMap::new()).unwrap() >= today);
    }
}
