//! `eddy plan CONFIG --keys N --rate R`: what a deployment will take, before anything runs.

mod densities;
mod filling;

use std::fmt::Write;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::backend::cuda::{SHARD_PINNED_BYTES, WEIGHTS_BYTES_MAX, shard_bytes};
use crate::cli::{PlanArgs, load};
use crate::config::plan::{Choice, ModelPlan, Plan, Shape, SourceKind, StreamPlan};
use crate::engine::footprint::{Demand, Footprint, device_bytes};
use crate::engine::rehearsal::{MEASURED_S, Phase, Rehearsal, rehearse};
use crate::latency::Clock;
use crate::model::Model;
use crate::types::PARTITIONS;
use densities::Densities;
use filling::Filling;

/// Resident memory of the process with one key (`lone events` of benches/first-figures.json).
const PROCESS_BYTES: f64 = 19e6;

/// CPU a row besides windows and scores, s, from benches/first-figures.json: receiving, logging and
/// decoding 105 bytes of JSON by HTTP, 250 rows a request; and by MQTT, a message each, QoS 0 and 1.
const HTTP_S_PER_ROW: f64 = 1.4e-6;
const MQTT_S_PER_ROW: [f64; 2] = [5e-6, 14e-6];

/// # Errors
/// If the config has problems (exit code 78), names a model that does not fit, or there is not enough of something.
pub fn plan(args: &PlanArgs) -> Result<()> {
    let plan = load(&args.config)?;
    let demand = Demand { keys: args.keys, rows_per_s: args.rate, key_bytes: usize::from(args.key_bytes) };
    let (mut text, clock) = (String::new(), Clock::start());
    let (mut bytes, mut cores, mut on_device) = (PROCESS_BYTES, 0.0, 0.0);
    let mut is_enough = true;
    for stream in &plan.streams {
        let model = known_model(stream)?;
        let densities = Densities::of(stream, model.as_ref());
        let mut footprint = Footprint::of(stream, plan.shards, &demand);
        if let Some(of) = &densities {
            footprint = footprint.with_densities(1 + of.cohorts, of.bytes.iter().sum(), &demand);
        }
        bytes += footprint.steady_bytes();
        on_device += device_bytes(stream, &demand);
        let alone = Plan { streams: vec![stream.clone()], ..plan.clone() };
        let begins = |phase| eprintln!("stream {}: {}", stream.name, said(phase));
        let rehearsal = rehearse(&alone, model, &demand, &|| clock.now_ns(), &begins)?;
        cores += describe(&mut text, &plan, stream, &demand, &footprint, &rehearsal)?;
        densities.map_or(Ok(()), |of| of.describe(&mut text))?;
        if let Some(filling) = Filling::of(stream, &demand) {
            filling.describe(&mut text)?;
            is_enough &= filling.is_enough();
        }
    }
    let process = size(PROCESS_BYTES);
    writeln!(text, "together: {}, with {process} for the process itself; {cores:.2} cores", size(bytes))?;
    is_enough &= hold_against_machine(&mut text, bytes, cores)?;
    describe_device(&mut text, &plan, on_device)?;
    print!("{text}");
    ensure!(is_enough, "this would not do: see the lines with NOT ENOUGH");
    Ok(())
}

/// Memory is computed, and there at once; the load is what takes its time.
fn said(phase: Phase) -> String {
    match phase {
        Phase::Fit => {
            "fitting a model on made-up rows, since it has none yet; seconds, or minutes for wide windows"
                .to_owned()
        }
        Phase::Fill => "filling the first windows with made-up rows; seconds".to_owned(),
        Phase::Measure => {
            format!("measuring windows and scores on this machine; about {MEASURED_S} s at most")
        }
    }
}

/// Whether the machine has both.
fn hold_against_machine(text: &mut String, bytes: f64, cores: f64) -> Result<bool, std::fmt::Error> {
    let verdict =
        |enough: bool, remedy| if enough { "enough".to_owned() } else { format!("NOT ENOUGH: {remedy}") };
    let free = available_bytes(Path::new("/proc/meminfo"));
    let has_memory = free.is_none_or(|free| bytes < free);
    if let Some(free) = free {
        let memory = verdict(has_memory, "fewer keys, columns or cells, or more memory");
        writeln!(text, "this machine has {} of memory available: {memory}", size(free))?;
    }
    let here = std::thread::available_parallelism().map_or(1, usize::from);
    let has_cores = cores < here as f64;
    let load = verdict(has_cores, "fewer rows, a longer `every`, or more cores");
    writeln!(text, "this machine has {here} core(s): {load}")?;
    Ok(has_memory && has_cores)
}

/// What is reserved of a GPU's memory at the start, and whether the keys' windows find room in it.
fn describe_device(text: &mut String, plan: &Plan, rings: f64) -> std::fmt::Result {
    if plan.backend == Choice::Cpu {
        return writeln!(text, "GPU memory: none, as `backend` says");
    }
    let reserved = plan.device_memory_bytes as f64;
    let verdict = match rings <= reserved {
        true => "enough",
        // It costs speed alone.
        false => "not enough for all of them: raise it, or windows of some keys cross the bus whole",
    };
    let shards = (plan.shards * shard_bytes(0)) as f64;
    let pinned = (plan.shards * SHARD_PINNED_BYTES) as f64;
    let [rings, all, reserved, models] =
        [rings, shards + reserved, reserved, WEIGHTS_BYTES_MAX as f64].map(size);
    writeln!(
        text,
        "GPU memory, where there is one: {all} from the start, of which `device_memory` = {reserved} are for windows of keys; \
         they take {rings}: {verdict}"
    )?;
    writeln!(
        text,
        "  models come on top, at most {models} a shard; {} of the host's are never paged out",
        size(pinned)
    )
}

/// The model the stream loads; `None` where it fits one, or the file is still to be made.
fn known_model(stream: &StreamPlan) -> Result<Option<Model>> {
    match &stream.model {
        ModelPlan::Load { path, .. } if path.exists() => {
            crate::pipeline::check_model(stream)?;
            Ok(Some(Model::load(path)?))
        }
        _ => Ok(None),
    }
}

/// Writes a stream's part; gives its load in cores.
fn describe(
    text: &mut String,
    plan: &Plan,
    stream: &StreamPlan,
    demand: &Demand,
    footprint: &Footprint,
    rehearsal: &Rehearsal,
) -> Result<f64, std::fmt::Error> {
    let (cells, columns) = (stream.window.cells(), stream.columns.len());
    let windows_per_s = match stream.window.shape {
        Shape::Grid => demand.keys as f64 / stream.window.every.as_secs_f64(),
        Shape::Sliding => demand.rows_per_s,
        Shape::Count { every, .. } => demand.rows_per_s / f64::from(every),
        // As many as there can be: each is followed by a pause.
        Shape::Session { gap } => demand.rows_per_s.min(demand.keys as f64 / gap.as_secs_f64()),
    };
    writeln!(
        text,
        "stream {}: {} keys, {} rows/s, {windows_per_s:.0} windows/s of {cells} cells x {columns} column(s)",
        stream.name, demand.keys, demand.rows_per_s
    )?;
    memory(text, footprint, demand)?;
    let batch = demand.keys.div_ceil(PARTITIONS as u64);
    writeln!(text, "  batch: {batch} windows, those of one partition that end together")?;
    let engine = rehearsal.cpu_s_per_row * demand.rows_per_s;
    let way = sources(plan, stream).map(cpu_s_per_row).fold(0.0, f64::max) * demand.rows_per_s;
    let model = if rehearsal.own_model { "its model" } else { "a model fitted on made-up rows" };
    writeln!(text, "  load, in % of one core:")?;
    writeln!(
        text,
        "    {:>9.1}  windows and scores, over {} shard(s); measured just now, {model}",
        engine * 1e2,
        plan.shards
    )?;
    writeln!(
        text,
        "    {:>9.1}  to receive, log and decode rows of 100 bytes; measured elsewhere",
        way * 1e2
    )?;
    Ok(engine + way)
}

fn memory(text: &mut String, footprint: &Footprint, demand: &Demand) -> std::fmt::Result {
    let Footprint {
        rings,
        moments,
        keys,
        onsets,
        late,
        waiting,
        heard,
        partitions,
        scoring,
        warmup,
        refits,
        second_keys,
        models,
    } = *footprint;
    let parts = [
        ("windows", rings),
        ("means and spreads", moments),
        ("names and episodes", keys),
        ("ranges that onsets are told by", onsets),
        ("verdicts that late rows may change", late),
        ("rows waiting for the watermark", waiting),
        ("alerts of 30 days, and what may be said of them", heard),
        ("calibration", partitions),
        ("batches", scoring),
        ("second keys, at most", second_keys),
        ("models, at most", models),
        ("windows kept for fits", warmup),
        ("windows kept for refits", refits),
    ];
    let steady = footprint.steady_bytes();
    writeln!(text, "  memory: {} ({:.0} bytes a key)", size(steady), steady / demand.keys as f64)?;
    for (name, bytes) in parts.into_iter().filter(|(_, bytes)| *bytes > 0.0) {
        writeln!(text, "    {:>9}  {name}", size(bytes))?;
    }
    Ok(())
}

fn sources<'a>(plan: &'a Plan, stream: &'a StreamPlan) -> impl Iterator<Item = &'a SourceKind> {
    plan.sources.iter().filter(|source| stream.from.contains(&source.name)).map(|source| &source.kind)
}

fn cpu_s_per_row(kind: &SourceKind) -> f64 {
    match kind {
        SourceKind::Mqtt(mqtt) => MQTT_S_PER_ROW[usize::from(mqtt.qos.min(1))],
        SourceKind::Http(_) | SourceKind::Kafka(_) | SourceKind::Replay(_) => HTTP_S_PER_ROW,
    }
}

fn size(bytes: f64) -> String {
    let (divisor, unit) = match bytes {
        b if b >= 1e9 => (1e9, "GB"),
        b if b >= 1e6 => (1e6, "MB"),
        _ => (1e3, "kB"),
    };
    format!("{:.1} {unit}", bytes / divisor)
}

/// `MemAvailable`, bytes; `None` where there is no such file.
fn available_bytes(meminfo: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(meminfo).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<f64>().ok().map(|kib| kib * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which the command would have to end with 1 for.
    #[test]
    fn a_gpu_that_does_not_hold_all_windows_is_no_reason_not_to_go_on() {
        let text = "device_memory = \"1MB\"\n[source.a]\ntype = \"http\"\nlisten = \"127.0.0.1:1\"\n[stream.s]\nfrom = \"a\"\n\
                    key = \"id\"\ntime = { path = \"t\", unit = \"ms\" }\ncolumns.x = \"x\"\n\
                    window = { type = \"tumbling\", size = \"1m\", grid = \"10s\" }\n";
        let plan = crate::config::parse(text, "", &Default::default());
        let plan = plan.unwrap_or_else(|problems| panic!("{problems}"));
        let said = |bytes| {
            let mut text = String::new();
            describe_device(&mut text, &plan, bytes).expect("a string takes all");
            text
        };
        assert!(said(1e6).contains("they take 1.0 MB: enough\n"), "{}", said(1e6));
        let slow = said(1.1e6);
        assert!(
            slow.contains("1.1 MB: not enough for all of them: raise it") && !slow.contains("NOT ENOUGH"),
            "{slow}"
        );
    }
}
