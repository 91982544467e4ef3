//! The command line: one file for each verb.

mod check_config;
mod demo;
mod ingest;
mod migrate;
mod one_off;
mod predict;
mod serve;
mod simulate;
mod train;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

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
    /// Publishes the predictions that are due.
    Predict(predict::Predict),
    /// Writes a simulated market as CSV.
    Simulate(simulate::Simulate),
    /// Prints the OpenAPI document.
    Openapi,
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
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let done = match verb {
        Verb::Serve(verb) => runtime.block_on(verb.run()),
        Verb::Demo(verb) => runtime.block_on(verb.run()),
        Verb::Ingest(verb) => runtime.block_on(verb.run()),
        Verb::Train(verb) => runtime.block_on(verb.run()),
        Verb::Predict(verb) => runtime.block_on(verb.run()),
        Verb::Simulate(verb) => verb.run(),
        Verb::Openapi => {
            crate::openapi::document_text().map_err(Failure::from).and_then(|text| say(text.trim_end()))
        }
        Verb::Migrate(verb) => runtime.block_on(verb.run()),
        Verb::CheckConfig(verb) => verb.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error.as_ref()),
    }
}

/// Says on one line of standard error what went wrong, with every cause that adds something.
fn failed(error: &(dyn Error + 'static)) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let further = error.to_string();
        if !text.contains(&further) {
            text = format!("{text}: {further}");
        }
        cause = error.source();
    }
    let _ = writeln!(io::stderr(), "almanac: {text}");
    ExitCode::FAILURE
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
        for verb in
            ["serve", "demo", "ingest", "train", "predict", "simulate", "openapi", "migrate", "check-config"]
        {
            assert!(verbs.contains(&verb), "{verb} is missing");
        }
    }
}
