//! `almanac model import-onnx`: a model trained elsewhere becomes a version.

use std::fs;
use std::path::{Path, PathBuf};

use almanac_actors::trainer::{ImportNowError, ImportReport, OnnxFile, import_onnx};
use almanac_domain::values::{Horizon, Session};
use almanac_ml::onnx::MOST_BYTES;
use clap::Args;

use super::super::plan::horizon;
use super::super::train;
use super::super::{Failure, say, say_json};
use super::{OfModel, Refused, at_a_bench};

/// Brings in a model that was trained elsewhere, from ONNX files, and scores it like one trained here.
#[derive(Debug, Args)]
pub(super) struct ImportOnnx {
    /// The files, one for each horizon.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The horizon of each file in sessions, in the order of the files [default: 1 for a single file]
    #[arg(long = "horizon", value_name = "SESSIONS", value_parser = horizon)]
    horizons: Vec<Horizon>,
    /// The last session it has learnt from: only later ones are scored. Without it the score says nothing.
    #[arg(long, value_name = "DATE")]
    trained_through: Option<Session>,
    #[command(flatten)]
    of: OfModel,
}

impl ImportOnnx {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let files = self.files()?;
        let bar = self.of.one_off.bar();
        let report = at_a_bench(&self.of, async |bench| {
            let name = self.of.name(bench);
            let mut tell = |progress| train::tell(&bar, progress);
            match import_onnx(&bench.parts, &name, files, self.trained_through, &mut tell).await {
                Err(error @ ImportNowError::Refused(_)) => Err(Refused(error.to_string()).into()),
                done => Ok(done?),
            }
        })
        .await;
        bar.finish_and_clear();
        let report = report?;
        if self.of.one_off.json { say_json(&report) } else { tell(&report) }
    }

    fn files(&self) -> Result<Vec<OnnxFile>, Failure> {
        let horizons = match (self.horizons.as_slice(), self.files.len()) {
            ([], 1) => vec![Horizon::new(1)?],
            (given, files) if given.len() == files => given.to_vec(),
            (given, files) => {
                return Err(format!(
                    "{files} files and {} horizons: give `--horizon` once for each file",
                    given.len()
                )
                .into());
            }
        };
        let files = self.files.iter().zip(horizons);
        files.map(|(path, horizon)| Ok(OnnxFile { horizon, bytes: read(path)? })).collect()
    }
}

/// A file, unless it is too large to be looked at.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |error| format!("cannot read {}: {error}", path.display());
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > MOST_BYTES as u64 {
        return Err(
            Refused(format!("{} has {bytes} bytes; at most {MOST_BYTES} are taken", path.display())).into()
        );
    }
    Ok(fs::read(path).map_err(unreadable)?)
}

fn tell(report: &ImportReport) -> Result<(), Failure> {
    let (model, version) = (&report.model, report.version);
    let done = if report.repeated { "had been brought in before as" } else { "was brought in as" };
    say(&format!(
        "the model {done} version {version} of {model}, scored from {} to {}",
        report.scored_from, report.as_of
    ))?;
    report.verdicts.iter().try_for_each(|verdict| say(&format!("  {verdict}")))?;
    report.suspicions.iter().try_for_each(|suspicion| say(&format!("  suspicion: {suspicion}")))?;
    say(&format!(
        "it publishes nothing until somebody says so: `almanac model promote {version} --reason ...`"
    ))
}
