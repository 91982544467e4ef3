//! `almanac model`: the versions of a model, and what is decided about them. One file for each group of verbs.

mod compare;
mod decide;
mod import_onnx;
mod list;
mod rebuild;
mod show;
mod table;
mod trial;

use almanac_domain::values::ModelName;
use almanac_projections::models::{self, ModelVersion};
use clap::{Args, Subcommand};

use super::Failure;
use super::one_off::{OneOff, Workbench};

/// Shows the versions of the model, decides about them, and trains one again to see that it comes out the same.
#[derive(Debug, Args)]
pub(super) struct Model {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists the versions, newest first.
    List(list::List),
    /// Shows one version: what it was made from, how it was evaluated, what was decided about it.
    Show(show::Show),
    /// Compares two versions, measure by measure.
    Compare(compare::Compare),
    /// Makes a version the champion: it publishes from the next round on.
    Promote(decide::Promote),
    /// Makes the champion before the present one champion again.
    Rollback(decide::Rollback),
    /// Shuts a version out as not to be trusted.
    Quarantine(decide::Quarantine),
    /// Ends a version's service.
    Retire(decide::Retire),
    /// Puts a version on trial beside the champion, ends a trial, or lists them.
    Trial(trial::Trial),
    /// Trains a version again from the log and the objects, and compares it with the registered one.
    Rebuild(rebuild::Rebuild),
    /// Brings in a model that was trained elsewhere, from ONNX files, and scores it like one trained here.
    ImportOnnx(import_onnx::ImportOnnx),
}

impl Model {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::List(verb) => verb.run().await,
            Verb::Show(verb) => verb.run().await,
            Verb::Compare(verb) => verb.run().await,
            Verb::Promote(verb) => verb.run().await,
            Verb::Rollback(verb) => verb.run().await,
            Verb::Quarantine(verb) => verb.run().await,
            Verb::Retire(verb) => verb.run().await,
            Verb::Trial(verb) => verb.run().await,
            Verb::Rebuild(verb) => verb.run().await,
            Verb::ImportOnnx(verb) => verb.run().await,
        }
    }
}

/// A rule said no, or what was to be shown does not hold: the verb ends with 1, not with 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) String);

/// Flags of every verb about a model.
#[derive(Debug, Clone, Args)]
struct OfModel {
    #[command(flatten)]
    one_off: OneOff,
    /// The model [default: the one that is configured]
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,
}

impl OfModel {
    fn name(&self, bench: &Workbench) -> ModelName {
        self.model.clone().unwrap_or_else(|| bench.parts.settings.model.clone())
    }

    /// One version as it is known now.
    async fn version(&self, bench: &Workbench, version: u32) -> Result<ModelVersion, Failure> {
        let name = self.name(bench);
        let found = models::version(bench.parts.database.pool(), &name, version).await?;
        found.ok_or_else(|| Refused(format!("the model {name} has no version {version}")).into())
    }
}

/// Does `work` at a bench and clears the bench away, whichever way it ended.
async fn at_a_bench<R>(
    of: &OfModel,
    work: impl AsyncFnOnce(&Workbench) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let bench = of.one_off.workbench().await?;
    let done = work(&bench).await;
    bench.clear_away().await?;
    done
}
