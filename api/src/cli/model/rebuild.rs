//! `almanac model rebuild`: ends with 0 when the version comes out the same, with 1 when it does not.

use almanac_actors::trainer::{self, Outcome, RebuildError, RebuildReport};
use clap::Args;

use super::super::train;
use super::super::{Failure, say, say_json};
use super::{OfModel, Refused, at_a_bench};

/// Trains a version again from the log and the objects, and compares it with the registered one.
#[derive(Debug, Args)]
pub(super) struct Rebuild {
    /// The number of the version.
    version: u32,
    #[command(flatten)]
    of: OfModel,
}

impl Rebuild {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let bar = self.of.one_off.bar();
        let report = at_a_bench(&self.of, async |bench| {
            let name = self.of.name(bench);
            let mut told = |progress| train::tell(&bar, progress);
            match trainer::rebuild(&bench.parts, &name, self.version, &mut told).await {
                Err(error @ RebuildError::NoSuchVersion { .. }) => Err(Refused(error.to_string()).into()),
                done => Ok(done?),
            }
        })
        .await;
        bar.finish_and_clear();
        let report = report?;
        if self.of.one_off.json {
            say_json(&report)?;
        } else {
            tell(&report)?;
        }
        match report.outcome {
            Outcome::SameBytes | Outcome::WithinTolerance => Ok(()),
            Outcome::Different => {
                let first = report.first_difference.unwrap_or_default();
                Err(Refused(format!("version {} does not come out as it was: {first}", report.version))
                    .into())
            }
        }
    }
}

fn tell(report: &RebuildReport) -> Result<(), Failure> {
    let from = format!("{} bars up to {}", report.bars, report.trained_through);
    match report.outcome {
        Outcome::SameBytes => {
            say(&format!("same bytes: version {} trained again from {from}", report.version))?;
            say(&format!("  SHA-256 {}", report.artefact_again))
        }
        Outcome::WithinTolerance => {
            let elsewhere = match &report.processor {
                Some(processor) if *processor != report.processor_again => {
                    format!("on {} instead of {}", report.processor_again.level, processor.level)
                }
                Some(_) => {
                    format!("with {} instead of {}", report.code_version_again, report.code_version)
                }
                None => "its record does not say on which processor it was trained".to_owned(),
            };
            let largest = report.largest_difference.unwrap_or_default();
            say(&format!(
                "within 1e-12: version {} trained again from {from}, {elsewhere}; largest difference {largest:e}",
                report.version
            ))
        }
        Outcome::Different => Ok(()),
    }
}
