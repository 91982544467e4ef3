//! The gate: promotes the first version without a person, puts later ones on trial, and shuts out what is too good to be
//! true, by rules that stand in the events.
//!
//! It speaks of the newest version that it may speak of at all, and only as long as no person has said anything
//! since that version was registered that bears on who publishes: what a person decides stands.
//!
//! Few challengers win, as few are better beyond chance, and a champion may publish only so long: before it has to fall
//! silent, the newest version takes its place, whatever became of its trial.

use almanac_domain::ids;
use almanac_domain::model::{
    DecidedBy, Model, ModelCommand, ModelVersionPromoted, ModelVersionQuarantined, SUSPICION,
};
use almanac_domain::trial::{GATE, TrialOpening};
use almanac_projections::models::{self, ModelVersion, Origin, TimelineEntry, VersionStatus};
use almanac_projections::trials;
use almanac_store::log::{Cause, CommandError, Issued, LogReader, Until, wait_for};

use super::SEEING;
use crate::parts::Parts;
use crate::settings::Promotion;
use crate::trade::TradeError;

/// The rule that promotes where nobody publishes.
const FIRST_VERSION: &str = "first-version";
/// The rule that replaces a champion which is about to expire.
const SUCCESSION: &str = "succession";
/// So many sessions before its first abstention a champion is replaced: one that fails to be known in time costs nothing.
const IN_GOOD_TIME: usize = 5;
/// The rule that shuts out what is too good to be true.
const TOO_GOOD: &str = "too-good-to-be-true";
/// What happens to a version once.
const REGISTERED: &str = "ModelVersionRegistered";
const ON_TRIAL: &str = "TrialOpened";
/// What says nothing of any other version than its own.
const SHUT_OUT: [&str; 2] = ["ModelVersionRetired", "ModelVersionQuarantined"];
/// The measure that two versions are compared by before a trial, each beside expecting nothing on its own test rows.
const MEASURE: &str = "rmse_return";
/// A version this much worse than the champion is still not worse beyond what another test period does.
const TOLERANCE: f64 = 1.005;

/// Shuts out what is too good to be true, and promotes the newest version or puts it on trial, if that is due; true when it
/// was promoted.
pub(super) async fn decide(parts: &Parts) -> Result<bool, TradeError> {
    let (pool, name) = (parts.database.pool(), &parts.settings.model);
    let Some(model) = models::find(pool, name, i64::MAX).await? else { return Ok(false) };
    let timeline = models::timeline(pool, name, i64::MAX).await?;
    for version in &model.versions {
        if let Some((registration, reason)) = too_good(version, &timeline) {
            let shut = ModelVersionQuarantined {
                version: version.version,
                by: Some(DecidedBy::Gate { rule: TOO_GOOD.to_owned() }),
                reason,
                quarantined_at: parts.clock.now(),
            };
            let what = format!("quarantine {name} {}", version.version);
            command(parts, &what, ModelCommand::QuarantineVersion(shut), registration).await?;
        }
    }
    let Some(newest) = newest(&model.versions) else { return Ok(false) };
    let Some((registration, tried)) = left_to_the_gate(&timeline, newest.version) else { return Ok(false) };
    let champion = model.versions.iter().find(|version| Some(version.version) == model.champion);
    let at = parts.clock.now();
    let promotion = |rule: &str, reason: String| {
        let by = DecidedBy::Gate { rule: rule.to_owned() };
        ModelVersionPromoted { version: newest.version, by, reason, promoted_at: at }
    };
    let Some(champion) = champion else {
        let reason = "the model had no version that publishes".to_owned();
        let what = format!("{name} {}", newest.version);
        let promote = ModelCommand::PromoteVersion(promotion(FIRST_VERSION, reason));
        return command(parts, &what, promote, registration).await;
    };
    let by_trial = parts.settings.training.promotion == Promotion::Trial;
    if by_trial && succeeds(parts, newest, champion) {
        let reason = format!(
            "version {} learnt from data up to {} and may not publish for longer",
            champion.version, champion.trained_through
        );
        let what = format!("succession {name} {}", newest.version);
        let (champion, promotion) = (champion.version, promotion(SUCCESSION, reason));
        let succeed = ModelCommand::SucceedChampion { champion, promotion };
        return command(parts, &what, succeed, registration).await;
    }
    if by_trial
        && !tried
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

/// Whether the champion is about to expire, and the candidate learnt later and may speak of the next session.
fn succeeds(parts: &Parts, candidate: &ModelVersion, champion: &ModelVersion) -> bool {
    let calendar = parts.calendar();
    let next = calendar.next(parts.last_settled_session());
    let soon = (0..IN_GOOD_TIME).fold(next, |session, _| calendar.next(session));
    parts.is_expired(champion.trained_through, soon)
        && candidate.trained_through > champion.trained_through
        && !parts.is_expired(candidate.trained_through, next)
}

/// The newest version that the gate may speak of: not of what was trained elsewhere, which a person has to trust first, nor
/// of what is too good to be true or out of service. Older ones it has passed over by then.
fn newest(versions: &[ModelVersion]) -> Option<&ModelVersion> {
    let serves = |version: &&ModelVersion| match version.status {
        VersionStatus::Champion | VersionStatus::Able => true,
        VersionStatus::Retired | VersionStatus::Quarantined => false,
    };
    let trusted =
        |version: &&ModelVersion| version.origin == Origin::Trained && suspicions(version).next().is_none();
    versions.iter().filter(serves).filter(trusted).max_by_key(|version| version.version)
}

/// What the leak sentinel finds too good to be true of a version.
fn suspicions(version: &ModelVersion) -> impl Iterator<Item = &str> {
    version.leak_checks.iter().filter_map(|check| check.strip_prefix(SUSPICION))
}

/// Where a version was registered that is to be shut out, and why; nothing once anybody has decided about it. Those
/// trained elsewhere are no exception: whoever brought one in had not seen its score.
fn too_good<'a>(
    version: &ModelVersion,
    timeline: &'a [TimelineEntry],
) -> Option<(&'a TimelineEntry, String)> {
    let reason = suspicions(version).collect::<Vec<_>>().join("; ");
    if reason.is_empty() || version.status != VersionStatus::Able {
        return None;
    }
    let mut of_it = timeline.iter().filter(|entry| entry.version == Some(version.version));
    let registration = of_it.find(|entry| entry.event == REGISTERED)?;
    of_it.next().is_none().then_some((registration, reason))
}

/// Where the version was registered, and whether it has been on trial since; nothing if a person has said anything since
/// that bears on it.
fn left_to_the_gate(timeline: &[TimelineEntry], version: u32) -> Option<(&TimelineEntry, bool)> {
    let of_it = |entry: &TimelineEntry| entry.version == Some(version);
    let place = timeline.iter().position(|entry| entry.event == REGISTERED && of_it(entry))?;
    let by_a_person =
        |entry: &TimelineEntry| matches!(entry.by.as_deref(), Some("administrator" | "operator"));
    // That another version serves no more leaves open what becomes of this one.
    let bears_on_it = |entry: &TimelineEntry| of_it(entry) || !SHUT_OUT.contains(&entry.event.as_str());
    let since = &timeline[place + 1..];
    let spoken = since.iter().any(|entry| by_a_person(entry) && bears_on_it(entry));
    let tried = since.iter().any(|entry| entry.event == ON_TRIAL && of_it(entry));
    (!spoken).then_some((&timeline[place], tried))
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

#[cfg(test)]
mod tests {
    use almanac_domain::training_run::FeatureSet;
    use almanac_domain::values::Mode;
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    fn version(number: u32) -> ModelVersion {
        let object = || almanac_projections::ingestions::StoredObject {
            key: "models/a".to_owned(),
            sha256: "a".repeat(64).parse().unwrap(),
            bytes: 1,
        };
        ModelVersion {
            model: "us-daily".parse().unwrap(),
            version: number,
            family: "ridge".to_owned(),
            feature_set: FeatureSet::Core,
            status: VersionStatus::Able,
            mode: Mode::Simulated,
            trained_through: "2024-01-05".parse().unwrap(),
            registered_at: DateTime::UNIX_EPOCH,
            training_run: uuid::Uuid::nil(),
            dataset: "a".repeat(64).parse().unwrap(),
            artefact: object(),
            evaluation_object: object(),
            horizons: vec![],
            sentiment: false,
            seed: "1".to_owned(),
            code_version: "test".to_owned(),
            recipe: None,
            origin: Origin::Trained,
            leak_checks: vec!["purge".to_owned()],
            evaluation: vec![],
            verdicts: vec![],
        }
    }

    fn suspicious(number: u32) -> ModelVersion {
        let leak_checks = ["purge", "suspicion: a hit rate of 0.97", "suspicion: a placebo has skill"];
        ModelVersion { leak_checks: leak_checks.map(str::to_owned).to_vec(), ..version(number) }
    }

    fn imported(number: u32) -> ModelVersion {
        let origin = Origin::Imported { format: "onnx".to_owned(), files: vec![], learnt_through: None };
        ModelVersion { origin, ..version(number) }
    }

    /// Events with their version and who decided, in the order they happened.
    fn timeline(entries: &[(&str, u32, Option<&str>)]) -> Vec<TimelineEntry> {
        let entry = |(place, (event, version, by)): (usize, &(&str, u32, Option<&str>))| TimelineEntry {
            ordinal: place as i64 + 1,
            at: DateTime::UNIX_EPOCH,
            event: (*event).to_owned(),
            version: Some(*version),
            by: by.map(str::to_owned),
            reason: None,
            facts: json!({}),
        };
        entries.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn what_is_brought_in_suspicious_or_out_of_service_does_not_hide_an_older_version() {
        let shut = ModelVersion { status: VersionStatus::Quarantined, ..version(4) };
        let retired = ModelVersion { status: VersionStatus::Retired, ..version(5) };
        let versions = [imported(3), version(1), suspicious(2), shut, retired];
        assert_eq!(newest(&versions).map(|version| version.version), Some(1));
        assert_eq!(newest(&[imported(1), suspicious(2)]), None);
        assert_eq!(newest(&[version(1), version(2)]).map(|version| version.version), Some(2));
    }

    #[test]
    fn what_is_too_good_to_be_true_is_shut_out_in_the_words_of_the_suspicion() {
        let registered = timeline(&[(REGISTERED, 1, None), ("ModelVersionPromoted", 9, Some("operator"))]);
        let (registration, reason) = too_good(&suspicious(1), &registered).unwrap();
        assert_eq!((registration.ordinal, reason.as_str()), (1, "a hit rate of 0.97; a placebo has skill"));
        assert!(too_good(&version(1), &registered).is_none(), "nothing is suspected of it");
        let brought_in = ModelVersion { origin: imported(1).origin, ..suspicious(1) };
        assert!(too_good(&brought_in, &registered).is_some());
    }

    #[test]
    fn what_somebody_has_decided_about_is_not_shut_out() {
        for decision in ["ModelVersionPromoted", ON_TRIAL, "PromotionRolledBack", "ModelVersionQuarantined"] {
            let entries = timeline(&[(REGISTERED, 1, None), (decision, 1, Some("administrator"))]);
            assert!(too_good(&suspicious(1), &entries).is_none(), "{decision}");
        }
        let registered = timeline(&[(REGISTERED, 1, None)]);
        for status in [VersionStatus::Champion, VersionStatus::Retired, VersionStatus::Quarantined] {
            let version = ModelVersion { status, ..suspicious(1) };
            assert!(too_good(&version, &registered).is_none(), "{status:?}");
        }
    }

    #[test]
    fn the_gate_is_silent_where_a_person_has_spoken_since_but_not_of_other_versions_that_went() {
        let after = |event, version, by| timeline(&[(REGISTERED, 2, None), (event, version, by)]);
        for (event, version, by, open) in [
            ("ModelVersionPromoted", 1, Some("administrator"), false),
            ("PromotionRolledBack", 1, Some("operator"), false),
            (ON_TRIAL, 3, Some("operator"), false),
            ("TrialDecided", 1, Some("administrator"), false),
            ("ModelVersionRetired", 2, Some("operator"), false),
            ("ModelVersionRetired", 1, Some("operator"), true),
            ("ModelVersionQuarantined", 3, Some("administrator"), true),
            ("ModelVersionQuarantined", 3, Some("gate: too-good-to-be-true"), true),
            (ON_TRIAL, 1, Some("gate: trial"), true),
        ] {
            let entries = after(event, version, by);
            assert_eq!(left_to_the_gate(&entries, 2).is_some(), open, "{event} of {version} by {by:?}");
        }
        let tried = after(ON_TRIAL, 2, Some("gate: trial"));
        assert_eq!(left_to_the_gate(&tried, 2).map(|(_, tried)| tried), Some(true));
        let before = timeline(&[("ModelVersionPromoted", 1, Some("operator")), (REGISTERED, 2, None)]);
        let (_, tried) = left_to_the_gate(&before, 2).expect("what was said before it was there");
        assert!(!tried);
    }
}
