//! Parses the command line, calls one function per subcommand, maps errors to exit codes.

use std::process::ExitCode;

use clap::Parser;
use eddy::cli::{self, Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli::log_to_stderr();
    cli::end_when_a_station_panics();
    let done = match cli.command {
        Command::Run(args) => cli::run::run(&args),
        Command::Check(args) => return cli::check::check(&args),
        Command::Plan(args) => cli::plan::plan(&args),
        Command::Demo(args) => cli::demo::run(&args),
        Command::Train(args) => cli::train::train(&args),
        Command::Backtest(args) => cli::backtest::backtest(&args),
        Command::State(args) => cli::state::state(&args),
        Command::Model(args) => cli::model::model(&args),
        Command::Silence(args) => cli::silence::silence(&args),
        Command::Alert(args) => cli::silence::alert(&args),
        Command::Delivery(args) => cli::delivery::delivery(&args),
        Command::Token(args) => cli::token::token(&args),
        Command::Doctor(args) => cli::doctor::doctor(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::fail(&error),
    }
}
