//! `eddy train CONFIG --stream NAME --data FILE... --out FILE`: fits a stream's model on recorded data.

pub mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;

use crate::cli::history::{History, not_an_input};
use crate::cli::{TrainArgs, environment, load};
use crate::config::plan::ModelPlan;
use crate::engine::train::{Key, Seen, Trained, Trainer};
use crate::model::Description;
use crate::pipeline;

/// # Errors
/// If the config has problems, the data cannot be read, or does not determine a model.
pub fn train(args: &TrainArgs) -> Result<()> {
    let history = History::new(&args.config, load(&args.config)?, &args.stream, args.key.as_deref())?;
    let stream = history.stream();
    if matches!(stream.model, ModelPlan::Transactions { .. }) {
        bail!("stream {}: the model of transactions has nothing to train; remove this step", stream.name);
    }
    let read: Vec<&Path> = args.data.iter().chain([&args.config]).map(PathBuf::as_path).collect();
    not_an_input("--out", &args.out, &read)?;
    args.report.as_deref().map_or(Ok(()), |report| not_an_input("--report", report, &read))?;
    let start = Instant::now();
    let mut trainer = Trainer::new(stream);
    let seed = args.fine_tune.then_some(args.seed);
    seed.into_iter().for_each(|seed| trainer.fine_tune(seed));
    if args.large {
        trainer.large();
    }
    let read = history.read(&args.data, |record| trainer.push(record), |_| {})?;
    let seen = trainer.seen();
    let failed = || format!("stream {}{}", stream.name, too_late(&seen));
    let bar = fitting(seed);
    let Trained { mut model, seen, windows } = trainer.finish_with_windows().with_context(failed)?;
    bar.finish_and_clear();
    let made_on = made_on(&environment())?;
    model.describe(Description { date: made_on.clone(), ..pipeline::description(stream) });
    model.save(&args.out)?;
    let data = report::Data {
        files: args.data.clone(),
        rows: read.rows,
        refused: read.refused,
        seen,
        cohorts: model.card().cohorts.clone(),
        model: args.out.clone(),
        checksum: model.checksum_short().to_owned(),
        made_on,
        seed,
        took: start.elapsed(),
    };
    let keys: Vec<report::Key> = windows.keys.into_iter().map(named).collect();
    let windows = report::Windows { z: &windows.z, origins: &windows.origins, keys: &keys };
    let facts = report::Facts::of(&report::Run { stream, data, pyramid: &model.pyramid, windows });
    if let Some(path) = &args.report {
        let failed = || format!("cannot write {}; check the path and its permissions", path.display());
        std::fs::write(path, report::page(&facts)).with_context(failed)?;
    }
    // Last, since who reads it may stop reading.
    print!("{}", report::text(&facts));
    Ok(())
}

/// Turns as long as the fit takes: how many steps will do is not known before.
fn fitting(seed: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.set_message(if seed.is_some() { "fitting and fine-tuning" } else { "fitting" });
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// What is the matter if next to nothing is left of the data.
fn too_late(seen: &Seen) -> String {
    let rows = seen.events + seen.duplicates + seen.late;
    if 2 * seen.late <= rows {
        return String::new();
    }
    format!(
        ": {} of {rows} rows came too late for their windows and were left out; give the oldest rows first, a file in \
         reverse order turned round",
        seen.late
    )
}

fn named(key: Key) -> report::Key {
    report::Key { name: String::from_utf8_lossy(&key.name).into_owned(), mean: key.mean, sd: key.sd }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_reverse_order_is_explained() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let config = "[source.line]\ntype = \"replay\"\npath = \"rows.csv\"\n[stream.pumps]\nfrom = \"line\"\nkey = \"k\"\n\
                      time = { path = \"t\", unit = \"s\" }\ncolumns.a = { path = \"a\" }\n\
                      window = { type = \"hopping\", size = \"8s\", every = \"1s\", grid = \"1s\", lateness = \"2s\" }\n\
                      model = { type = \"load\", path = \"m.safetensors\" }\n[sink.console]\ntype = \"stdout\"\n";
        std::fs::write(path("eddy.toml"), config).unwrap();
        let row = |second: i64| format!("{},p,{}\n", 1_767_225_600 + second, second % 7);
        let write = |seconds: &mut dyn Iterator<Item = i64>| {
            std::fs::write(path("rows.csv"), "t,k,a\n".to_owned() + &seconds.map(row).collect::<String>())
                .unwrap();
        };
        let args = TrainArgs {
            config: path("eddy.toml"),
            stream: "pumps".to_owned(),
            data: vec![path("rows.csv")],
            key: None,
            out: path("m.safetensors"),
            report: None,
            fine_tune: false,
            large: false,
            seed: 0,
        };
        write(&mut (0..400).rev());
        let error = format!("{:#}", train(&args).unwrap_err());
        assert!(
            error.contains("of 400 rows came too late") && error.contains("oldest rows first"),
            "{error}"
        );
        write(&mut (0..20));
        let error = format!("{:#}", train(&args).unwrap_err());
        assert!(!error.contains("too late"), "few rows are another matter: {error}");
        write(&mut (0..400));
        train(&args).unwrap();
    }

    #[test]
    fn a_given_day_stands_in_for_today() {
        let on = |text: &str| made_on(&BTreeMap::from([("SOURCE_DATE_EPOCH".to_owned(), text.to_owned())]));
        assert_eq!(on("1767772800").unwrap(), "2026-01-07");
        assert!(on("yesterday").unwrap_err().to_string().contains("Unix time"));
        let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        assert!(made_on(&BTreeMap::new()).unwrap() >= today);
    }
}
