//! The command line: one file for each verb.

mod check_config;
mod demo;
mod erase_again;
mod evaluate;
mod events;
mod export;
mod import;
mod ingest;
mod logs;
mod migrate;
mod model;
mod one_off;
mod outside;
mod plan;
mod predict;
mod projections;
mod serve;
mod simulate;
mod train;
mod verify;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use almanac_store::failpoints;
use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use tokio::runtime::Builder;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, ConfigError, Effective, Flags};

/// What a verb ends with when it did not do what it was asked.
type Failure = Box<dyn Error + Send + Sync>;

/// Forecasts of stocks, written before their outcome is known, and an honest record of every one.
#[derive(Debug, Parser)]
#[command(name = "almanac", version, propagate_version = true)]
struct Almanac {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs the service: database, actors, API and pages.
    Serve(serve::Serve),
    /// Runs the service on a simulated market, or on your own data, and lives through months in minutes.
    Demo(demo::Demo),
    /// Takes in bars and headlines from a folder or file of CSV and Parquet.
    Ingest(ingest::Ingest),
    /// Trains the next version of the model.
    Train(train::Train),
    /// Scores a family or a version out of sample on the data at hand, without registering anything.
    Evaluate(evaluate::Evaluate),
    /// Shows the versions of the model and decides about them.
    Model(model::Model),
    /// Publishes the predictions that are due.
    Predict(predict::Predict),
    /// Writes a simulated market as CSV.
    Simulate(simulate::Simulate),
    /// Writes the sealed log into a folder, as JSON Lines or Parquet.
    Export(export::Export),
    /// Brings an export into an empty database.
    Import(import::Import),
    /// Erases the accounts that an export names as erased, after an older dump of the database was restored.
    EraseAgain(erase_again::EraseAgain),
    /// Checks that the log, an export of it, or a proof is what was sealed and published.
    Verify(verify::Verify),
    /// Shows how far the read models are, and rebuilds one beside the one in use.
    Projections(projections::Projections),
    /// Prints the OpenAPI document.
    Openapi,
    /// Prints every event that can stand in the log, with its versions, meaning and fields.
    Events(events::Events),
    /// Brings the database to this version of the program.
    Migrate(migrate::Migrate),
    /// Prints the configuration as it is in force, secrets masked.
    CheckConfig(check_config::CheckConfig),
}

/// Where the service keeps its things, and what it is told.
#[derive(Debug, Clone, Args)]
#[allow(clippy::doc_markdown, reason = "clap prints these sentences as they stand")]
struct Place {
    /// The folder everything is kept in (ALMANAC_DATA_DIR) [default: ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The configuration file (ALMANAC_CONFIG) [default: almanac.toml in the data folder, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    /// The configuration, with further flags on top.
    fn config(&self, further: Vec<(&'static str, String)>) -> Result<(Config, Effective), ConfigError> {
        let mut values = further;
        if let Some(data_dir) = &self.data_dir {
            values.push(("data_dir", data_dir.display().to_string()));
        }
        Config::load(&Flags { config: self.config.clone(), values }, std::env::vars())
    }
}

/// Reads the command line and does what it says.
pub fn run() -> ExitCode {
    let Almanac { verb } = Almanac::parse();
    let usual = if matches!(verb, Verb::Serve(_)) { "info" } else { "warn" };
    // sqlx tells of every notice of the database, and at the end of every connection that was still open.
    let usual = format!("{usual},sqlx=warn,sqlx_core::pool=error,hyper=warn,lettre=warn");
    let filter = EnvFilter::try_from_env("ALMANAC_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let colours = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours).init();
    if let Err(refused) = failpoints::check() {
        return failed(&*Failure::from(refused));
    }
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let done = match verb {
        Verb::Serve(verb) => runtime.block_on(verb.run()),
        Verb::Demo(verb) => runtime.block_on(verb.run()),
        Verb::Ingest(verb) => runtime.block_on(verb.run()),
        Verb::Train(verb) => runtime.block_on(verb.run()),
        Verb::Evaluate(verb) => runtime.block_on(verb.run()),
        Verb::Model(verb) => return ended(runtime.block_on(verb.run())),
        Verb::Predict(verb) => runtime.block_on(verb.run()),
        Verb::Simulate(verb) => verb.run(),
        Verb::Export(verb) => return ended(runtime.block_on(verb.run())),
        Verb::Import(verb) => return ended(runtime.block_on(verb.run())),
        Verb::EraseAgain(verb) => return ended(runtime.block_on(verb.run())),
        Verb::Verify(verb) => return ended(runtime.block_on(verb.run())),
        Verb::Projections(verb) => runtime.block_on(verb.run()),
        Verb::Openapi => {
            crate::openapi::document_text().map_err(Failure::from).and_then(|text| say(text.trim_end()))
        }
        Verb::Events(verb) => verb.run(),
        Verb::Migrate(verb) => runtime.block_on(verb.run()),
        Verb::CheckConfig(verb) => verb.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error.as_ref()),
    }
}

/// How a verb that checks or decides ends: 0 when all is well, 1 when something was tampered with, differs or was
/// refused, 2 when it could not do its work.
fn ended(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<logs::Tampering>() || error.is::<model::Refused>() => failed(error.as_ref()),
        Err(error) => {
            failed(error.as_ref());
            ExitCode::from(2)
        }
    }
}

/// Says on one line of standard error what went wrong.
fn failed(error: &(dyn Error + 'static)) -> ExitCode {
    let _ = writeln!(io::stderr(), "almanac: {}", in_full(error));
    ExitCode::FAILURE
}

/// An error with every cause that adds something, on one line.
fn in_full(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let further = error.to_string();
        if !text.contains(&further) {
            text = format!("{text}: {further}");
        }
        cause = error.source();
    }
    text
}

/// Writes a line to standard output. A reader that has gone away is no failure.
fn say(line: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a report as one line of JSON.
fn say_json(report: &impl Serialize) -> Result<(), Failure> {
    say(&serde_json::to_string(report)?)
}

/// Ends when somebody asks the process to stop: Ctrl-C, or SIGTERM. Whoever asks is heard from this call on, not only
/// from when the future is first polled.
fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_verb_of_the_readme_is_there() {
        let command = Almanac::command();
        command.clone().debug_assert();
        let verbs: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        for verb in [
            "serve",
            "demo",
            "ingest",
            "train",
            "evaluate",
            "model",
            "predict",
            "simulate",
            "openapi",
            "events",
            "migrate",
            "check-config",
            "export",
            "import",
            "verify",
        ] {
            assert!(verbs.contains(&verb), "{verb} is missing");
        }
    }
}
