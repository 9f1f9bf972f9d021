//! `eddy train CONFIG --stream NAME --data FILE... --out FILE`: fits a stream's model on recorded data.

pub mod report;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::cli::history::History;
use crate::cli::{TrainArgs, environment, load};
use crate::config::plan::StreamPlan;
use crate::engine::train::{Seen, Trainer};
use crate::model::pyramid::Shape;
use crate::model::{Description, Model};

/// # Errors
/// If the config has problems, the data cannot be read, or does not determine a model.
pub fn train(args: &TrainArgs) -> Result<()> {
    let history = History::new(&args.config, load(&args.config)?, &args.stream, args.key.as_deref())?;
    let stream = history.stream();
    let start = Instant::now();
    let mut trainer = Trainer::new(stream);
    history.read(&args.data, |record| trainer.push(record), |_| {})?;
    let seen = trainer.seen();
    let mut model = trainer.finish().with_context(|| format!("stream {}", stream.name))?;
    model.describe(description(stream, made_on(&environment())?));
    model.save(&args.out)?;
    report(stream, seen, &model, &args.out, start);
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
    for level in &card.pyramid.levels {
        let Shape { pool, blocks } = level.shape;
        let tried = level.candidates.iter().map(|c| (c.codes, c.held_back_log_likelihood));
        let tried: Vec<String> = tried.map(|(codes, nats)| format!("{codes}: {nats:.3}")).collect();
        println!(
            "level        the last {} cells, {}; {} (held back, nats a number: {})",
            level.shape.cells(),
            if pool == 1 { "one by one".to_owned() } else { format!("as {blocks} means") },
            if level.codes == 0 {
                "1 density".to_owned()
            } else {
                format!("1 density and {} codes", level.codes)
            },
            tried.join(", ")
        );
    }
    let flags = card.pyramid.context.iter().zip(&card.columns).filter(|(flag, _)| **flag);
    let flags: Vec<&str> = flags.map(|(_, name)| name.as_str()).collect();
    if !flags.is_empty() {
        println!("flags        {}: only ever 0 or 1, so context and not scored", flags.join(", "));
    }
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
