//! The trials in a model's stream: when one may be opened, and what ends it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{DecidedBy, Model, ModelEvent, ModelRefusal, ModelVersionPromoted};
use crate::trial::{GATE, OpenTrial, TrialEnd, TrialEvidence, TrialOpened, TrialOpening, TrialOutcome};

impl Model {
    /// The end of a trial by its rule; a challenger that wins is champion in the same breath.
    pub(super) fn decide_trial(
        &self,
        trial: Uuid,
        evidence: TrialEvidence,
        at: DateTime<Utc>,
    ) -> Result<Vec<ModelEvent>, ModelRefusal> {
        let open = self.open(trial)?;
        let Some(end) = open.rule.end(&evidence) else {
            let (needed, paired) = (open.rule.decide_after, evidence.paired_sessions);
            return Err(ModelRefusal::TrialNotDue { needed, paired });
        };
        let decided = open.decided(end, evidence, at);
        let promotion = (decided.outcome == TrialOutcome::Promote && !decided.dry_run).then(|| {
            let by = DecidedBy::Gate { rule: GATE.to_owned() };
            let reason = decided.reason.clone();
            ModelVersionPromoted { version: open.version, by, reason, promoted_at: at }.into()
        });
        Ok([decided.into()].into_iter().chain(promotion).collect())
    }

    pub(super) fn open_trial(&self, opening: TrialOpening) -> Result<TrialOpened, ModelRefusal> {
        let TrialOpening { trial, version, rule, by, reason, at } = opening;
        self.able_by(version, &by)?;
        if let Some(open) = &self.trial {
            return Err(ModelRefusal::TrialOpen(open.version));
        }
        if self.trials.contains(&trial) {
            return Err(ModelRefusal::TrialEnded);
        }
        let champion = self.champion().ok_or(ModelRefusal::NoChampion)?;
        if champion == version {
            return Err(ModelRefusal::AlreadyChampion(version));
        }
        rule.check().map_err(ModelRefusal::BadRule)?;
        Ok(TrialOpened { trial, version, champion, rule, by, reason, opened_at: at })
    }

    /// The trial under way, if it is this one.
    pub(super) fn open(&self, trial: Uuid) -> Result<&OpenTrial, ModelRefusal> {
        match &self.trial {
            Some(open) if open.trial == trial => Ok(open),
            Some(_) | None if self.trials.contains(&trial) => Err(ModelRefusal::TrialEnded),
            Some(_) | None => Err(ModelRefusal::NoSuchTrial),
        }
    }

    /// What happens, and with it the end of a trial that has lost what it compares: the challenger, where one is named,
    /// or else the champion.
    pub(super) fn with_end_of_trial(
        &self,
        event: ModelEvent,
        challenger: Option<u32>,
        end: TrialEnd,
        by: Option<DecidedBy>,
        at: DateTime<Utc>,
    ) -> Vec<ModelEvent> {
        let concerned =
            self.trial.as_ref().filter(|open| challenger.is_none_or(|version| version == open.version));
        let ended = concerned.map(|open| {
            let reason = match end {
                TrialEnd::ChallengerRetired => format!("version {} was retired while on trial", open.version),
                TrialEnd::ChallengerQuarantined => {
                    format!("version {} was shut out while on trial", open.version)
                }
                TrialEnd::Better
                | TrialEnd::NotBetter
                | TrialEnd::CannotBeTold
                | TrialEnd::TooFewSessions
                | TrialEnd::ChampionChanged
                | TrialEnd::Closed => {
                    format!("version {}, which it was compared with, is no longer champion", open.champion)
                }
            };
            open.ended(end, by, reason, at).into()
        });
        [event].into_iter().chain(ended).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{promoted, registered, roll_back};
    use super::super::{ModelCommand, ModelVersionQuarantined, ModelVersionRetired};
    use super::*;
    use crate::event_sourced::testing::given;
    use crate::trial::{BadRule, TrialClosing, TrialDecided, TrialRule};
    use crate::values::{Horizon, Measure, Probability};

    const TRIAL: Uuid = Uuid::from_u128(0x77);
    const AT: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn rule() -> TrialRule {
        let horizons = [1, 5].map(|sessions| Horizon::new(sessions).expect("valid")).to_vec();
        TrialRule::new(horizons, 20, 30, Probability::from_f64(0.05).expect("valid"))
    }

    fn opening(version: u32, rule: TrialRule) -> ModelCommand {
        let by = DecidedBy::Gate { rule: GATE.into() };
        ModelCommand::OpenTrial(Box::new(TrialOpening {
            trial: TRIAL,
            version,
            rule,
            by,
            reason: "test".into(),
            at: AT,
        }))
    }

    fn evidence(paired: u32, difference: f64, p: f64) -> TrialEvidence {
        let measure = |value| Some(Measure::from_f64(value).expect("finite"));
        TrialEvidence {
            sessions: paired,
            paired_sessions: paired,
            pairs: u64::from(paired) * 10,
            loss_champion: measure(0.004),
            loss_challenger: measure(0.004 + difference),
            mean_difference: measure(difference),
            standard_error: measure(0.0001),
            statistic: measure(difference / 0.0001),
            degrees_of_freedom: paired / 10,
            p: Probability::from_f64(p).ok(),
            more_sessions: Some(55),
        }
    }

    fn deciding(evidence: TrialEvidence) -> ModelCommand {
        ModelCommand::DecideTrial { trial: TRIAL, evidence: Box::new(evidence), at: AT }
    }

    fn champion_and_challenger() -> Model {
        given([registered(1).into(), promoted(1).into(), registered(2).into()])
    }

    fn after(mut model: Model, command: ModelCommand) -> (Model, Vec<ModelEvent>) {
        let events = model.decide(command).expect("granted");
        for event in events.clone() {
            model.apply(event);
        }
        (model, events)
    }

    fn on_trial() -> Model {
        after(champion_and_challenger(), opening(2, rule())).0
    }

    fn end_of(events: &[ModelEvent]) -> TrialDecided {
        let mut ends = events.iter().filter_map(|event| match event {
            ModelEvent::TrialDecided(decided) => Some(decided.clone()),
            _ => None,
        });
        let end = ends.next().expect("the trial has ended");
        assert_eq!(ends.next(), None);
        end
    }

    #[test]
    fn a_person_may_put_on_trial_what_is_in_quarantine_and_a_rule_may_not() {
        let mut model = champion_and_challenger();
        let by = Some(DecidedBy::Gate { rule: "suspicion".into() });
        let reason = "too good to be true".to_owned();
        model.apply(ModelVersionQuarantined { version: 2, by, reason, quarantined_at: AT }.into());
        assert_eq!(model.decide(opening(2, rule())), Err(ModelRefusal::InQuarantine(2)));
        let ModelCommand::OpenTrial(mut opening) = opening(2, rule()) else { panic!("another command") };
        opening.by = DecidedBy::Operator;
        let (model, _) = after(model, ModelCommand::OpenTrial(opening));
        let (model, _) = after(model, deciding(evidence(20, -0.001, 0.001)));
        assert_eq!(model.champion(), Some(2), "it was the person who let it stand for election");
    }

    #[test]
    fn a_challenger_that_is_better_beyond_chance_is_promoted_in_the_same_breath() {
        let (model, events) = after(on_trial(), deciding(evidence(20, -0.0004, 0.01)));
        let end = end_of(&events);
        assert_eq!((end.outcome, end.ended_by), (TrialOutcome::Promote, TrialEnd::Better));
        assert_eq!(events.len(), 2);
        assert_eq!((model.champion(), model.trial()), (Some(2), None));
        assert!(end.reason.contains("10.00% below"), "{}", end.reason);
    }

    #[test]
    fn a_dry_run_writes_the_win_down_and_promotes_nobody() {
        let model = champion_and_challenger();
        let (model, _) = after(model, opening(2, TrialRule { dry_run: true, ..rule() }));
        let (model, events) = after(model, deciding(evidence(20, -0.0004, 0.01)));
        assert_eq!((events.len(), end_of(&events).outcome), (1, TrialOutcome::Promote));
        assert_eq!(model.champion(), Some(1));
    }

    #[test]
    fn what_chance_may_have_done_promotes_nobody() {
        let (model, events) = after(on_trial(), deciding(evidence(20, -0.0001, 0.2)));
        let end = end_of(&events);
        assert_eq!((end.outcome, end.ended_by), (TrialOutcome::Underpowered, TrialEnd::CannotBeTold));
        assert!(end.reason.contains("about 55 more sessions"), "{}", end.reason);
        let (_, events) = after(on_trial(), deciding(evidence(20, 0.0001, 0.8)));
        assert_eq!((end_of(&events).outcome, model.champion()), (TrialOutcome::Keep, Some(1)));
    }

    #[test]
    fn nobody_looks_before_the_sessions_of_the_rule_or_after_them() {
        for paired in [19, 21] {
            let refused = on_trial().decide(deciding(evidence(paired, -0.0004, 0.001)));
            assert_eq!(refused, Err(ModelRefusal::TrialNotDue { needed: 20, paired }));
        }
    }

    #[test]
    fn a_trial_without_enough_sessions_ends_at_its_latest() {
        let late = TrialEvidence { sessions: 30, ..evidence(19, -0.0004, 0.001) };
        let (model, events) = after(on_trial(), deciding(late));
        let end = end_of(&events);
        assert_eq!((end.outcome, end.ended_by), (TrialOutcome::Underpowered, TrialEnd::TooFewSessions));
        assert_eq!((model.champion(), model.trial()), (Some(1), None));
    }

    #[test]
    fn one_trial_at_a_time_and_never_of_the_champion_or_without_one() {
        let (model, _) = after(on_trial(), ModelCommand::RegisterVersion(Box::new(registered(3))));
        assert_eq!(model.decide(opening(3, rule())), Err(ModelRefusal::TrialOpen(2)));
        let refused = champion_and_challenger().decide(opening(1, rule()));
        assert_eq!(refused, Err(ModelRefusal::AlreadyChampion(1)));
        let alone: Model = given([registered(1).into()]);
        assert_eq!(alone.decide(opening(1, rule())), Err(ModelRefusal::NoChampion));
        assert_eq!(alone.decide(opening(2, rule())), Err(ModelRefusal::NoSuchVersion(2)));
    }

    #[test]
    fn a_trial_is_decided_once_and_its_name_is_not_used_again() {
        let (model, _) = after(on_trial(), deciding(evidence(20, 0.0001, 0.8)));
        let again = model.decide(deciding(evidence(20, -0.0004, 0.01)));
        assert_eq!(again, Err(ModelRefusal::TrialEnded));
        assert_eq!(model.decide(opening(2, rule())), Err(ModelRefusal::TrialEnded));
        let other = ModelCommand::DecideTrial {
            trial: Uuid::from_u128(1),
            evidence: Box::new(evidence(20, 0.0, 0.5)),
            at: AT,
        };
        assert_eq!(on_trial().decide(other), Err(ModelRefusal::NoSuchTrial));
    }

    #[test]
    fn a_rule_that_cannot_decide_is_refused_by_the_field_at_fault() {
        let p = |value| Probability::from_f64(value).expect("valid");
        let one = Horizon::new(1).expect("valid");
        for (field, rule) in [
            ("horizons", TrialRule { horizons: vec![], ..rule() }),
            ("horizons", TrialRule { horizons: vec![one, one], ..rule() }),
            ("decide_after", TrialRule { decide_after: 19, ..rule() }),
            ("latest", TrialRule { latest: 24, ..rule() }),
            ("significance", TrialRule { significance: p(0.0), ..rule() }),
            ("significance", TrialRule { significance: p(0.6), ..rule() }),
            ("loss", TrialRule { loss: "feeling".into(), ..rule() }),
            ("test", TrialRule { test: "dice".into(), ..rule() }),
        ] {
            let refused = champion_and_challenger().decide(opening(2, rule));
            assert!(
                matches!(refused, Err(ModelRefusal::BadRule(BadRule { field: named, .. })) if named == field),
                "{field}: {refused:?}"
            );
        }
    }

    #[test]
    fn what_takes_the_ground_from_a_trial_ends_it() {
        let by = Some(DecidedBy::Administrator { account: Uuid::from_u128(1) });
        let reason = String::from("test");
        let retire =
            ModelVersionRetired { version: 2, by: by.clone(), reason: reason.clone(), retired_at: AT };
        let (model, events) = after(on_trial(), ModelCommand::RetireVersion(retire.clone()));
        assert_eq!(end_of(&events).ended_by, TrialEnd::ChallengerRetired);
        assert_eq!((end_of(&events).by, model.trial()), (by.clone(), None));
        let shut = ModelVersionQuarantined { version: 2, by, reason, quarantined_at: AT };
        let (_, events) = after(on_trial(), ModelCommand::QuarantineVersion(shut));
        assert_eq!(end_of(&events).ended_by, TrialEnd::ChallengerQuarantined);
        let (model, events) = after(on_trial(), ModelCommand::PromoteVersion(promoted(2)));
        assert_eq!(end_of(&events).ended_by, TrialEnd::ChampionChanged);
        assert_eq!((model.champion(), model.trial()), (Some(2), None));
        // Another version's retirement is no business of the trial.
        let (model, _) = after(on_trial(), ModelCommand::RegisterVersion(Box::new(registered(3))));
        let (model, events) =
            after(model, ModelCommand::RetireVersion(ModelVersionRetired { version: 3, ..retire }));
        assert_eq!((events.len(), model.trial().map(|open| open.version)), (1, Some(2)));
    }

    #[test]
    fn going_back_on_the_champion_ends_the_trial_against_it() {
        let model: Model = given([registered(1).into(), promoted(1).into(), registered(2).into()]);
        let (model, _) = after(model, ModelCommand::PromoteVersion(promoted(2)));
        let (model, _) = after(model, ModelCommand::RegisterVersion(Box::new(registered(3))));
        let (model, _) = after(model, opening(3, rule()));
        let (model, events) = after(model, roll_back());
        assert_eq!(end_of(&events).ended_by, TrialEnd::ChampionChanged);
        assert_eq!((model.champion(), model.trial()), (Some(1), None));
    }

    #[test]
    fn an_administrator_may_end_a_trial_and_the_champion_stays() {
        let by = DecidedBy::Administrator { account: Uuid::from_u128(1) };
        let closing = TrialClosing { trial: TRIAL, by, reason: "enough".into(), at: AT };
        let (model, events) = after(on_trial(), ModelCommand::CloseTrial(closing.clone()));
        let end = end_of(&events);
        assert_eq!((end.outcome, end.ended_by, end.evidence), (TrialOutcome::Keep, TrialEnd::Closed, None));
        assert_eq!(model.champion(), Some(1));
        assert_eq!(model.decide(ModelCommand::CloseTrial(closing)), Err(ModelRefusal::TrialEnded));
    }

    proptest! {
        /// Whatever is shown: a trial never gets past its latest session, and nobody is promoted on another number of
        /// sessions than the rule's or beyond its level.
        #[test]
        fn every_trial_ends_and_only_evidence_of_the_rule_promotes(
            paired in 0_u32..60, sessions in 0_u32..60, difference in -0.001..0.001, p in 0.0..1.0,
        ) {
            let shown = TrialEvidence { sessions, ..evidence(paired, difference, p) };
            match on_trial().decide(deciding(shown)) {
                Ok(events) => {
                    let end = end_of(&events);
                    let wins = end.outcome == TrialOutcome::Promote;
                    prop_assert_eq!(wins, events.len() == 2);
                    prop_assert!(!wins || (paired == 20 && difference < 0.0 && p <= 0.05 + 1e-9));
                    prop_assert!(paired == 20 || sessions >= 30);
                }
                Err(refusal) => {
                    prop_assert_eq!(refusal, ModelRefusal::TrialNotDue { needed: 20, paired });
                    prop_assert!(paired > 20 || sessions < 30);
                }
            }
        }
    }
}
