//! The command line: one file a subcommand, and here what each takes.

mod ask;
pub mod backtest;
pub mod check;
mod deed;
pub mod delivery;
pub mod demo;
pub mod doctor;
mod history;
pub mod model;
mod page;
pub mod plan;
mod process;
pub mod run;
mod service;
pub mod silence;
pub mod state;
pub mod token;
pub mod train;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config;
use crate::config::plan::Plan;
use crate::pipeline::{Mismatch, RestoreError};
use values::{duration, rate};

pub use process::{end_when_a_station_panics, log_to_stderr};

/// Exit code for a config with problems, or one that does not belong to its data folder or model
/// (`EX_CONFIG` of sysexits.h).
pub const EXIT_CONFIG: u8 = 78;

/// Eddy finds what is out of the ordinary in streams of measurements, and says why.
#[derive(Debug, Parser)]
#[command(name = "eddy", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a deployment until it is told to stop (Ctrl-C or SIGTERM)
    Run(RunArgs),
    /// Say everything that is wrong with a config, or what it would run
    Check(CheckArgs),
    /// Say what memory and load a deployment will take, before anything runs
    Plan(PlanArgs),
    /// Watch a simulated plant of pumps: real messages, real alerts, nothing to set up
    Demo(demo::DemoArgs),
    /// Fit the model of a stream on recorded data and write it to a file
    Train(TrainArgs),
    /// Run a config over recorded data and say what it would have told; beside another config, if given
    Backtest(BacktestArgs),
    /// Look at what a deployment that is not running keeps of its streams, or let one begin anew
    State(StateArgs),
    /// Say which models a stream was scored by, or go back to the one before; running or not
    Model(ModelArgs),
    /// Keep alerts from being sent for a while, list or end such silences; running or not
    Silence(silence::SilenceArgs),
    /// Say that an alert has been seen
    Alert(silence::AlertArgs),
    /// Say what waits for receivers and what was given up, have a receiver asked now or deliveries tried again; running or not
    Delivery(delivery::DeliveryArgs),
    /// Say who may use the page and the API, let somebody in or no longer; running or not
    Token(token::TokenArgs),
    /// Say whether there is a GPU to score on, and which backend would run
    Doctor(DoctorArgs),
}

#[derive(Args, Debug)]
pub struct ModelArgs {
    #[command(subcommand)]
    pub command: ModelCommand,
}

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Say when which model was activated, and by whom
    List(StreamArgs),
    /// Score by the model before the active one; refits rest until the config's file is another one
    Rollback(StreamArgs),
}

#[derive(Args, Debug)]
pub struct StreamArgs {
    /// Config file (TOML)
    pub config: PathBuf,
    /// Name of the stream: `[stream.NAME]`
    #[arg(long, value_name = "NAME")]
    pub stream: String,
}

#[derive(Args, Debug)]
pub struct StateArgs {
    #[command(subcommand)]
    pub command: StateCommand,
}

#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// Say which there are, with position, size and age
    List(RunArgs),
    /// Read all of them and check their checksums; exit code 1 if one is damaged
    Verify(RunArgs),
    /// Print what people said was real of a stream's alerts, as `eddy backtest --labels` reads it
    Labels(StreamArgs),
    /// Let a stream begin anew: what was learnt of it is forgotten, and its config may change
    Reset(ResetArgs),
}

#[derive(Args, Debug)]
pub struct ResetArgs {
    /// Config file (TOML)
    pub config: PathBuf,
    /// Name of the stream: `[stream.NAME]`
    #[arg(long, value_name = "NAME")]
    pub stream: String,
    /// Do it, instead of saying what would be done
    #[arg(long)]
    pub yes: bool,
}

#[derive(Args, Debug)]
pub struct RunArgs {
    /// Config file (TOML); `EDDY__SECTION__KEY=value` in the environment overrides it
    pub config: PathBuf,
}

#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Config file (TOML); without, its defaults hold
    pub config: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Config file (TOML)
    pub config: PathBuf,
}

#[derive(Args, Debug)]
pub struct PlanArgs {
    /// Config file (TOML)
    pub config: PathBuf,
    /// Keys of each stream, such as its pumps
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub keys: u64,
    /// Rows a second of each stream, of all its keys together: 200 pumps that send one every 10 s are 20
    #[arg(long, value_name = "R", value_parser = rate)]
    pub rate: f64,
    /// Mean length of a key in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 16)]
    pub key_bytes: u16,
}

#[derive(Args, Debug)]
pub struct TrainArgs {
    /// Config file (TOML) that describes the stream
    pub config: PathBuf,
    /// Name of the stream: `[stream.NAME]`
    #[arg(long, value_name = "NAME")]
    pub stream: String,
    /// Recorded data, CSV (gzip or zstd allowed) or Parquet
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Field that tells the keys apart, where the config takes the key from a topic
    #[arg(long, value_name = "FIELD")]
    pub key: Option<String>,
    /// Where to write the model
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Write what is printed, with plots and single windows, as one HTML page
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Move what was fitted along the gradient of its likelihood, where held-back windows are likelier by it
    #[arg(long)]
    pub fine_tune: bool,
    /// Seed of the order in which fine-tuning takes the windows
    #[arg(long, value_name = "N", default_value_t = 0, requires = "fine_tune")]
    pub seed: u64,
    /// Try levels of more cells, and more codes, as well: a verdict takes several times the work, which a GPU has room for
    #[arg(long)]
    pub large: bool,
}

#[derive(Args, Debug)]
pub struct BacktestArgs {
    /// Config file (TOML) that describes the stream
    pub config: PathBuf,
    /// Name of the stream: `[stream.NAME]`
    #[arg(long, value_name = "NAME")]
    pub stream: String,
    /// Recorded data in order of time, CSV (gzip or zstd allowed) or Parquet
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Field that tells the keys apart, where the config takes the key from a topic
    #[arg(long, value_name = "FIELD")]
    pub key: Option<String>,
    /// A config with the same stream to hold CONFIG against: which alerts CONFIG gains and loses beside it
    #[arg(long, value_name = "CONFIG")]
    pub against: Option<PathBuf>,
    /// Known events, CSV with the columns key, start and end (ISO 8601, or s since 1970)
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Write what is printed, and every alert, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write CONFIG's verdict on every window as CSV; of two lines on the same window the later one holds
    #[arg(long, value_name = "FILE")]
    pub scores: Option<PathBuf>,
    /// Write what was expected of every column of every window as CSV, and its share of the surprise
    #[arg(long, value_name = "FILE")]
    pub columns: Option<PathBuf>,
}

/// The plan of a config file, or every problem of it; `env:NAME` secrets are not looked up, only who runs it needs them.
///
/// # Errors
/// With all problems in one text; [`fail`] gives them exit code 78.
pub fn load(config: &Path) -> anyhow::Result<Plan> {
    Ok(config::load_without_secrets(config, &environment())?)
}

/// Which of the plan's streams has this name.
///
/// # Errors
/// If none has, with those there are.
fn stream_named(config: &Path, plan: &Plan, name: &str) -> anyhow::Result<usize> {
    plan.streams.iter().position(|stream| stream.name == name).ok_or_else(|| {
        let names: Vec<&str> = plan.streams.iter().map(|stream| stream.name.as_str()).collect();
        anyhow::anyhow!("{} has no [stream.{name}]; it has {}", config.display(), names.join(", "))
    })
}

/// Says what went wrong, and the exit code for it.
pub fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("eddy: {error:#}");
    let of_snapshot = error.downcast_ref::<RestoreError>().is_some_and(RestoreError::is_mismatch);
    let of_config = error.is::<config::Problems>() || error.is::<Mismatch>() || of_snapshot;
    match () {
        () if of_config => ExitCode::from(EXIT_CONFIG),
        () if error.is::<run::OutputClosed>() => ExitCode::from(process::EXIT_OUTPUT),
        () => ExitCode::FAILURE,
    }
}

/// The variables a config may refer to. One that is not Unicode can name nothing in a config, and is
/// left out.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_reads_its_arguments() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.command);
        assert!(
            matches!(parse("eddy run a.toml"), Ok(Command::Run(args)) if args.config.as_os_str() == "a.toml")
        );
        assert!(matches!(parse("eddy check a.toml"), Ok(Command::Check(_))));
        let Ok(Command::Demo(demo)) = parse("eddy demo --for 90s --report r.json --seed 3") else {
            panic!("demo was not understood");
        };
        assert_eq!((demo.run_for, demo.seed), (Some(Duration::from_secs(90)), 3));
        let Ok(Command::Train(train)) = parse("eddy train c.toml --stream p --data a.csv b.csv --out m")
        else {
            panic!("train was not understood");
        };
        assert_eq!(train.data.len(), 2);
        assert!(matches!(
            parse("eddy plan c.toml --keys 1000 --rate 0.5"),
            Ok(Command::Plan(args)) if (args.keys, args.rate, args.key_bytes) == (1000, 0.5, 16)
        ));
        for bad in ["--keys 0 --rate 1", "--keys 1 --rate 0", "--keys 1 --rate NaN", "--keys 1"] {
            assert!(parse(&format!("eddy plan c.toml {bad}")).is_err(), "{bad}");
        }
        assert!(parse("eddy train c.toml --stream p --out m").is_err(), "train without data");
    }
}
