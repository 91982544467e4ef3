//! The gate: promotes the first version without a person, and puts later ones on trial, by rules that stand in the events.
//!
//! It speaks of the newest version only, once, and only as long as no person has decided anything about the model since
//! that version was registered: what a person decides stands.

use almanac_domain::ids;
use almanac_domain::model::{DecidedBy, Model, ModelCommand, ModelVersionPromoted};
use almanac_domain::trial::{GATE, TrialOpening};
use almanac_projections::models::{self, ModelVersion, Origin, TimelineEntry};
use almanac_projections::trials;
use almanac_store::log::{Cause, CommandError, Issued, LogReader, Until, wait_for};

use super::SEEING;
use super::measures::SUSPICION;
use crate::parts::Parts;
use crate::settings::Promotion;
use crate::trade::TradeError;

/// The rule that promotes where nobody publishes.
const FIRST_VERSION: &str = "first-version";
/// What happens to a version once.
const REGISTERED: &str = "ModelVersionRegistered";
const ON_TRIAL: &str = "TrialOpened";
/// The measure that two versions are compared by before a trial, each beside expecting nothing on its own test rows.
const MEASURE: &str = "rmse_return";
/// A version this much worse than the champion is still not worse beyond what another test period does.
const TOLERANCE: f64 = 1.005;

/// Promotes the newest version or puts it on trial, if that is due; true when it was promoted.
pub(super) async fn decide(parts: &Parts) -> Result<bool, TradeError> {
    let (pool, name) = (parts.database.pool(), &parts.settings.model);
    let Some(model) = models::find(pool, name, i64::MAX).await? else { return Ok(false) };
    let Some(newest) = model.versions.iter().max_by_key(|version| version.version) else { return Ok(false) };
    let timeline = models::timeline(pool, name, i64::MAX).await?;
    let Some(registration) = undecided(&timeline, newest.version) else { return Ok(false) };
    // Whether to trust what was trained elsewhere is for a person to say.
    if matches!(newest.origin, Origin::Imported { .. }) {
        return Ok(false);
    }
    if newest.leak_checks.iter().any(|check| check.starts_with(SUSPICION)) {
        return Ok(false);
    }
    let champion = model.versions.iter().find(|version| Some(version.version) == model.champion);
    let at = parts.clock.now();
    let Some(champion) = champion else {
        let promotion = ModelVersionPromoted {
            version: newest.version,
            by: DecidedBy::Gate { rule: FIRST_VERSION.to_owned() },
            reason: "the model had no version that publishes".to_owned(),
            promoted_at: at,
        };
        let what = format!("{name} {}", newest.version);
        return command(parts, &what, ModelCommand::PromoteVersion(promotion), registration).await;
    };
    if parts.settings.training.promotion == Promotion::Trial
        && newest.version != champion.version
        && not_worse(newest, champion)
        && trials::open(pool, name).await?.is_none()
    {
        let what = format!("trial {name} {}", newest.version);
        let shared = newest.horizons.iter().filter(|horizon| champion.horizons.contains(horizon));
        let opening = TrialOpening {
            trial: ids::reaction("trial", &what),
            version: newest.version,
            rule: parts.settings.training.trial.rule(shared.copied().collect()),
            by: DecidedBy::Gate { rule: GATE.to_owned() },
            reason: format!(
                "its {MEASURE} beside expecting nothing is not worse than version {}'s",
                champion.version
            ),
            at,
        };
        command(parts, &what, ModelCommand::OpenTrial(Box::new(opening)), registration).await?;
    }
    Ok(false)
}

/// Where the version was registered, if neither a person has decided anything since nor it has been on trial.
fn undecided(timeline: &[TimelineEntry], version: u32) -> Option<&TimelineEntry> {
    let of_it = |entry: &TimelineEntry, event| entry.event == event && entry.version == Some(version);
    let place = timeline.iter().position(|entry| of_it(entry, REGISTERED))?;
    let since = &timeline[place + 1..];
    let by_a_person =
        |entry: &TimelineEntry| matches!(entry.by.as_deref(), Some("administrator" | "operator"));
    let is_decided = since.iter().any(|entry| by_a_person(entry) || of_it(entry, ON_TRIAL));
    (!is_decided).then_some(&timeline[place])
}

/// A command that answers a registration; true when it had an effect now.
async fn command(
    parts: &Parts,
    what: &str,
    command: ModelCommand,
    registration: &TimelineEntry,
) -> Result<bool, TradeError> {
    let name = parts.settings.model.as_str();
    let registration = LogReader::new(&parts.database).at_ordinal(registration.ordinal).await?;
    let issued =
        Issued::new(ids::reaction("gate", what)).caused_by_any(registration.as_ref().map(Cause::from));
    match parts.bus.execute::<Model>(name, command, &issued).await {
        Ok(committed) => {
            if let Some(event) = committed.last() {
                for subscription in [models::NAME, trials::NAME] {
                    wait_for(&parts.database, Until::Event(event), subscription, SEEING).await?;
                }
            }
            Ok(!committed.repeated)
        }
        // Somebody has decided meanwhile.
        Err(CommandError::Refused(_)) => Ok(false),
        Err(CommandError::Broken(error)) => Err(error.into()),
        Err(error) => Err(TradeError::broken("could not decide about a version")(error)),
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
