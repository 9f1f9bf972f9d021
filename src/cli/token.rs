//! `eddy token`: who may use the page and the API, whether Eddy runs or not.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::deed::noted;
use super::{RunArgs, load};
use crate::access::{self, Scope, Tokens};
use crate::config::plan::Plan;
use crate::latency::Clock;

#[derive(Args, Debug)]
pub struct TokenArgs {
    #[command(subcommand)]
    pub command: TokenCommand,
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, once; only its hash is kept
    Add(TokenAddArgs),
    /// Say which there are
    List(RunArgs),
    /// Let a token and its sessions be good no more
    Revoke(TokenRevokeArgs),
}

#[derive(Args, Debug)]
pub struct TokenAddArgs {
    /// Config file (TOML)
    pub config: PathBuf,
    /// Whose it is: letters, digits, - and _
    pub name: String,
    /// What it is good for; each holds those before it
    #[arg(long, value_name = "SCOPE", value_parser = scope)]
    pub scope: Scope,
}

#[derive(Args, Debug)]
pub struct TokenRevokeArgs {
    /// Config file (TOML)
    pub config: PathBuf,
    /// As it was made
    pub name: String,
}

/// # Errors
/// If the config has problems, the name is none or taken or not there, or the data folder cannot be read or written.
pub fn token(args: &TokenArgs) -> Result<()> {
    match &args.command {
        TokenCommand::Add(add) => {
            let plan = load(&add.config)?;
            let now_ns = Clock::start().now_ns();
            let what = format!("eddy token add {} --scope {}", add.name, add.scope.as_str());
            let tokens = tokens(&plan);
            let text = noted(&plan, what, || Ok(tokens.add(&add.name, add.scope, now_ns)?))?;
            println!("{text}");
            eprintln!("this is shown once: keep it where secrets are kept");
            Ok(())
        }
        TokenCommand::Revoke(revoke) => {
            let plan = load(&revoke.config)?;
            let (tokens, what) = (tokens(&plan), format!("eddy token revoke {}", revoke.name));
            noted(&plan, what, || Ok(tokens.revoke(&revoke.name)?))?;
            println!("revoked {}; its sessions end with it", revoke.name);
            Ok(())
        }
        TokenCommand::List(list) => print(&load(&list.config)?),
    }
}

fn tokens(plan: &Plan) -> Tokens {
    Tokens::of(&access::folder(&plan.durable.path))
}

fn print(plan: &Plan) -> Result<()> {
    let tokens = tokens(plan).read()?;
    let width = tokens.iter().map(|token| token.name.len()).max().unwrap_or_default();
    for token in tokens.iter() {
        let made = jiff::Timestamp::from_nanosecond(i128::from(token.created_ns)).unwrap_or_default();
        let (name, scope) = (&token.name, token.scope.as_str());
        println!("{name:<width$}  {scope:<8}  made {}", made.strftime("%Y-%m-%dT%H:%M:%SZ"));
    }
    if tokens.is_empty() {
        println!("no tokens: the page is open to whoever is on this box, and to nobody else");
    }
    Ok(())
}

fn scope(text: &str) -> Result<Scope, String> {
    let found = Scope::ALL.into_iter().find(|scope| scope.as_str() == text);
    found.ok_or_else(|| "write read, feedback or admin".to_string())
}
