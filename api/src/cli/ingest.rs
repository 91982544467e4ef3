//! `almanac ingest`: bars and headlines from a folder or file.

use std::path::PathBuf;

use almanac_actors::ingestion::{IngestProgress, IngestReport, ingest_path};
use clap::Args;

use super::one_off::OneOff;
use super::{Failure, say, say_json};

/// Takes in bars and headlines from a folder or file of CSV and Parquet.
#[derive(Debug, Args)]
pub(super) struct Ingest {
    #[command(flatten)]
    one_off: OneOff,
    /// A file with the columns symbol, date, open, high, low, close, volume, or a folder of such files.
    #[arg(value_name = "FOLDER OR FILE")]
    path: PathBuf,
}

impl Ingest {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let bench = self.one_off.workbench().await?;
        let bar = self.one_off.bar();
        let report =
            ingest_path(&bench.parts, &self.path, &mut |progress| bar.set_message(words(progress))).await;
        bar.finish_and_clear();
        bench.clear_away().await?;
        let report = report?;
        if self.one_off.json { say_json(&report) } else { tell(&report) }
    }
}

fn words(progress: IngestProgress) -> String {
    match progress {
        IngestProgress::Reading => "reading".to_owned(),
        IngestProgress::Checking { tables } => format!("checking {tables} tables"),
        IngestProgress::Listing { done, of } => format!("listing instruments: {done} of {of}"),
        IngestProgress::Storing { rows } => format!("storing {rows} rows"),
    }
}

fn tell(report: &IngestReport) -> Result<(), Failure> {
    for batch in &report.recorded {
        let (kind, rows, first, last) = (batch.kind, batch.rows, batch.first, batch.last);
        say(&format!("{rows} rows of {kind} of {} instruments, {first} to {last}", batch.instruments))?;
        for found in &batch.findings {
            let fate = if found.quarantined { "kept out" } else { "kept" };
            say(&format!("  {}: {} rows, {fate}", found.finding, found.rows))?;
        }
    }
    for failure in &report.failures {
        say(&format!("not used: {failure}"))?;
    }
    if report.listed > 0 {
        say(&format!("{} instruments are new", report.listed))?;
    }
    if report.known_already {
        say("everything there was known already")?;
    }
    Ok(())
}
