//! `almanac model promote`, `rollback`, `quarantine` and `retire`: the same commands as an administrator's, by whoever
//! has the machine.

use almanac_domain::model::{
    DecidedBy, Model, ModelCommand, ModelRefusal, ModelVersionPromoted, ModelVersionQuarantined,
    ModelVersionRetired,
};
use almanac_domain::values::ModelName;
use almanac_store::log::{CommandError, Issued};
use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use super::super::{Failure, say, say_json};
use super::{OfModel, Refused, at_a_bench};

/// Makes a version the champion: it publishes from the next round on.
#[derive(Debug, Args)]
pub(super) struct Promote {
    /// The number of the version.
    version: u32,
    #[command(flatten)]
    why: Why,
}

/// Makes the champion before the present one champion again.
#[derive(Debug, Args)]
pub(super) struct Rollback {
    #[command(flatten)]
    why: Why,
}

/// Shuts a version out as not to be trusted.
#[derive(Debug, Args)]
pub(super) struct Quarantine {
    /// The number of the version.
    version: u32,
    #[command(flatten)]
    why: Why,
}

/// Ends a version's service.
#[derive(Debug, Args)]
pub(super) struct Retire {
    /// The number of the version.
    version: u32,
    #[command(flatten)]
    why: Why,
}

/// Flags of every decision.
#[derive(Debug, Args)]
struct Why {
    /// Why, in 1 to 500 characters; everybody may read it, so nothing personal belongs here.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    #[command(flatten)]
    of: OfModel,
}

/// What was decided.
#[derive(Debug, Serialize)]
struct Decided {
    model: ModelName,
    /// The version that publishes from now on.
    champion: Option<u32>,
    reason: String,
}

impl Promote {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let version = self.version;
        self.why
            .decide(|reason, promoted_at| {
                let by = DecidedBy::Operator;
                ModelCommand::PromoteVersion(ModelVersionPromoted { version, by, reason, promoted_at })
            })
            .await
    }
}

impl Rollback {
    pub(super) async fn run(self) -> Result<(), Failure> {
        self.why.decide(|reason, at| ModelCommand::RollBack { by: DecidedBy::Operator, reason, at }).await
    }
}

impl Quarantine {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let version = self.version;
        self.why
            .decide(|reason, quarantined_at| {
                let by = Some(DecidedBy::Operator);
                let quarantine = ModelVersionQuarantined { version, by, reason, quarantined_at };
                ModelCommand::QuarantineVersion(quarantine)
            })
            .await
    }
}

impl Retire {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let version = self.version;
        self.why
            .decide(|reason, retired_at| {
                let by = Some(DecidedBy::Operator);
                ModelCommand::RetireVersion(ModelVersionRetired { version, by, reason, retired_at })
            })
            .await
    }
}

impl Why {
    async fn decide(
        self,
        command: impl FnOnce(String, DateTime<Utc>) -> ModelCommand,
    ) -> Result<(), Failure> {
        let decided = at_a_bench(&self.of, async |bench| {
            let (parts, model) = (&bench.parts, self.of.name(bench));
            let now = parts.clock.now();
            let issued = Issued::new(parts.entropy.uuid_v7(now));
            let command = command(self.reason.clone(), now);
            match parts.bus.execute::<Model>(model.as_str(), command, &issued).await {
                Ok(_) => {}
                Err(CommandError::Refused(refusal)) => return Err(said(&model, &refusal).into()),
                Err(error) => return Err(error.into()),
            }
            let champion = parts.bus.load::<Model>(model.as_str()).await?.champion();
            Ok(Decided { model, champion, reason: self.reason.clone() })
        })
        .await?;
        if self.of.one_off.json {
            return say_json(&decided);
        }
        match decided.champion {
            Some(version) => say(&format!("done: version {version} of {} publishes", decided.model)),
            None => say(&format!("done: no version of {} publishes", decided.model)),
        }
    }
}

pub(super) fn said(model: &ModelName, refusal: &ModelRefusal) -> Refused {
    Refused(format!("the model {model} stays as it is: {refusal}"))
}

pub(super) fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if (1..=500).contains(&text.chars().count()) {
        Ok(text.to_owned())
    } else {
        Err("a reason has 1 to 500 characters".to_owned())
    }
}
