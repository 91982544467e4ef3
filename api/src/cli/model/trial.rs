//! `almanac model trial`: a version beside the champion, by a rule fixed beforehand.

use almanac_domain::model::{DecidedBy, Model, ModelCommand};
use almanac_domain::trial::{TrialClosing, TrialOpening};
use almanac_domain::values::{Horizon, ModelName};
use almanac_projections::models;
use almanac_projections::trials::{self, Trial as KnownTrial, TrialState};
use almanac_store::log::{CommandError, Issued};
use clap::{Args, Subcommand};
use serde_json::json;
use uuid::Uuid;

use super::super::one_off::Workbench;
use super::super::{Failure, say, say_json};
use super::decide::{reason, said};
use super::{OfModel, Refused, at_a_bench, table};

/// Puts a version on trial beside the champion, ends a trial, or lists them.
#[derive(Debug, Args)]
pub(super) struct Trial {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists the trials, newest first.
    List(List),
    /// Puts a version on trial: it fills the champion's slots in shadow, and the configured rule decides.
    Open(Open),
    /// Ends the open trial before its rule decides; the champion stays.
    Close(Close),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    of: OfModel,
}

#[derive(Debug, Args)]
struct Open {
    /// The challenger.
    version: u32,
    /// Why, in 1 to 500 characters; everybody may read it, so nothing personal belongs here.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Only write down a win.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    of: OfModel,
}

#[derive(Debug, Args)]
struct Close {
    /// Why, in 1 to 500 characters; everybody may read it, so nothing personal belongs here.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    #[command(flatten)]
    of: OfModel,
}

impl Trial {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::List(verb) => verb.run().await,
            Verb::Open(verb) => verb.run().await,
            Verb::Close(verb) => verb.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        at_a_bench(&self.of, async |bench| {
            let (pool, name) = (bench.parts.database.pool(), self.of.name(bench));
            let found = trials::list(pool, &name, i64::MAX).await?;
            if self.of.one_off.json {
                return say_json(&found);
            }
            let rows: Vec<_> = found.iter().map(row).collect();
            table::print(["OPENED", "CHALLENGER", "CHAMPION", "STATE", "OPENED BY", "VERDICT"], &rows)
        })
        .await
    }
}

fn row(trial: &KnownTrial) -> [String; 6] {
    let state = match trial.state {
        TrialState::Open => "open",
        TrialState::Decided => "decided",
    };
    [
        trial.opened_at.format("%Y-%m-%d %H:%M").to_string(),
        trial.version.to_string(),
        trial.champion.to_string(),
        state.to_owned(),
        trial.opened_by.clone(),
        table::or_nothing(trial.verdict.as_ref()),
    ]
}

impl Open {
    async fn run(self) -> Result<(), Failure> {
        let json = self.of.one_off.json;
        let trial = at_a_bench(&self.of, async |bench| {
            let (parts, name) = (&bench.parts, self.of.name(bench));
            let model = models::find(parts.database.pool(), &name, i64::MAX).await?;
            let model = model.ok_or_else(|| Refused(format!("there is no model {name}")))?;
            let covers = |version: Option<u32>| -> Vec<Horizon> {
                let found = model.versions.iter().find(|known| Some(known.version) == version);
                found.map_or_else(Vec::new, |version| version.horizons.clone())
            };
            let (challenger, champion) = (covers(Some(self.version)), covers(model.champion));
            let shared = challenger.into_iter().filter(|horizon| champion.contains(horizon)).collect();
            let mut rule = parts.settings.training.trial.rule(shared);
            rule.dry_run = self.dry_run;
            let (trial, at) = (parts.entropy.uuid_v7(parts.clock.now()), parts.clock.now());
            let (version, by, reason) = (self.version, DecidedBy::Operator, self.reason.clone());
            let opening = TrialOpening { trial, version, rule, by, reason, at };
            execute(bench, &name, ModelCommand::OpenTrial(Box::new(opening))).await?;
            Ok(trial)
        })
        .await?;
        if json {
            return say_json(&json!({ "id": trial }));
        }
        say(&format!("version {} is on trial; `almanac model trial list` shows how it goes", self.version))
    }
}

impl Close {
    async fn run(self) -> Result<(), Failure> {
        let json = self.of.one_off.json;
        let trial: Uuid = at_a_bench(&self.of, async |bench| {
            let (parts, name) = (&bench.parts, self.of.name(bench));
            let all = trials::list(parts.database.pool(), &name, i64::MAX).await?;
            let open = all.into_iter().find(|trial| trial.state == TrialState::Open);
            let trial = open.ok_or_else(|| Refused(format!("no version of {name} is on trial")))?.id;
            let (by, at) = (DecidedBy::Operator, parts.clock.now());
            let closing = TrialClosing { trial, by, reason: self.reason.clone(), at };
            execute(bench, &name, ModelCommand::CloseTrial(closing)).await?;
            Ok(trial)
        })
        .await?;
        if json { say_json(&json!({ "id": trial })) } else { say("the trial is ended; the champion stays") }
    }
}

async fn execute(bench: &Workbench, model: &ModelName, command: ModelCommand) -> Result<(), Failure> {
    let issued = Issued::new(bench.parts.entropy.uuid_v7(bench.parts.clock.now()));
    match bench.parts.bus.execute::<Model>(model.as_str(), command, &issued).await {
        Ok(_) => Ok(()),
        Err(CommandError::Refused(refusal)) => Err(said(model, &refusal).into()),
        Err(error) => Err(error.into()),
    }
}
