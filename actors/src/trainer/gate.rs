//! The gate: promotes a version without a person, by a rule that stands in the event.
//!
//! It speaks of the newest version only, and only as long as nothing has happened in the model's stream since that
//! version was registered: whatever a person has decided there stands.

use almanac_domain::ids;
use almanac_domain::model::{DecidedBy, Model, ModelCommand, ModelVersionPromoted};
use almanac_projections::models::{self, ModelVersion};
use almanac_store::log::{CommandError, Issued, Until, wait_for};

use super::SEEING;
use super::measures::SUSPICION;
use crate::parts::Parts;
use crate::trade::TradeError;

/// The event whose being the last one lets the gate speak.
const REGISTERED: &str = "ModelVersionRegistered";
/// The measure that two versions are compared by, each beside expecting nothing on its own test rows.
const MEASURE: &str = "rmse_return";
/// A version this much worse than the champion is still not worse beyond what another test period does.
const TOLERANCE: f64 = 1.005;

/// Promotes the newest version if it is due; true when it did.
pub(super) async fn decide(parts: &Parts) -> Result<bool, TradeError> {
    let (pool, name) = (parts.database.pool(), &parts.settings.model);
    let Some(model) = models::find(pool, name, i64::MAX).await? else { return Ok(false) };
    let Some(newest) = model.versions.iter().max_by_key(|version| version.version) else { return Ok(false) };
    let timeline = models::timeline(pool, name, i64::MAX).await?;
    let undecided = timeline
        .last()
        .is_some_and(|entry| entry.event == REGISTERED && entry.version == Some(newest.version));
    if !undecided || newest.leak_checks.iter().any(|check| check.starts_with(SUSPICION)) {
        return Ok(false);
    }
    let champion = model.versions.iter().find(|version| Some(version.version) == model.champion);
    let (rule, reason) = match champion {
        None => ("first-version", "the model had no version that publishes".to_owned()),
        Some(champion) if parts.settings.training.auto_promote && not_worse(newest, champion) => (
            "not-worse-rmse",
            format!(
                "its {MEASURE} beside expecting nothing is not worse than version {}'s",
                champion.version
            ),
        ),
        Some(_) => return Ok(false),
    };
    let command = ModelCommand::PromoteVersion(ModelVersionPromoted {
        version: newest.version,
        by: DecidedBy::Gate { rule: rule.to_owned() },
        reason,
        promoted_at: parts.clock.now(),
    });
    let id = ids::reaction("gate", &format!("{name} {}", newest.version));
    match parts.bus.execute::<Model>(name.as_str(), command, &Issued::new(id)).await {
        Ok(committed) => {
            if let Some(event) = committed.last() {
                wait_for(&parts.database, Until::Event(event), models::NAME, SEEING).await?;
            }
            Ok(!committed.repeated)
        }
        // Somebody has decided meanwhile.
        Err(CommandError::Refused(_)) => Ok(false),
        Err(CommandError::Broken(error)) => Err(error.into()),
        Err(error) => Err(TradeError::broken("could not promote a version")(error)),
    }
}

/// Whether the candidate's error beside expecting nothing is not larger than the champion's, at every horizon of both.
fn not_worse(candidate: &ModelVersion, champion: &ModelVersion) -> bool {
    let ratio = |version: &ModelVersion, horizon| {
        let measure = version.evaluation.iter().find(|it| it.horizon == horizon && it.measure == MEASURE)?;
        Some(measure.value?.to_f64() / measure.zero?.to_f64())
    };
    candidate.horizons.iter().all(|horizon| match (ratio(candidate, *horizon), ratio(champion, *horizon)) {
        (Some(candidate), Some(champion)) => candidate <= champion * TOLERANCE,
        (Some(_), None) => true,
        (None, _) => false,
    })
}
