//! Given what happened to a model, what may be decided about it.

use super::*;
use crate::event_sourced::testing::given;
use crate::training_run::FeatureSet;

pub(super) fn registered(version: u32) -> ModelVersionRegistered {
    let sha256: Digest = "a".repeat(64).parse().expect("valid");
    let object = StoredObject { key: "models/a".into(), sha256: sha256.clone(), bytes: 1 };
    ModelVersionRegistered {
        model: "us-daily".parse().expect("valid"),
        version,
        training_run: Uuid::from_u128(u128::from(version)),
        plan: TrainingPlan {
            family: "ridge".into(),
            feature_set: FeatureSet::Core,
            horizons: vec![],
            sentiment: false,
            seed: 1,
        },
        mode: Mode::Simulated,
        trained_through: Session::from_ymd_opt(2024, 1, 5).expect("a date"),
        dataset: sha256,
        artefact: object.clone(),
        evaluation_object: object,
        evaluation: vec![],
        verdicts: vec![],
        leak_checks: vec!["purge".into()],
        code_version: "test".into(),
        recipe: None,
        origin: Origin::Trained,
        registered_at: DateTime::UNIX_EPOCH,
    }
}

fn gate() -> DecidedBy {
    DecidedBy::Gate { rule: "first-version".into() }
}

pub(super) fn promoted(version: u32) -> ModelVersionPromoted {
    ModelVersionPromoted { version, by: gate(), reason: "test".into(), promoted_at: DateTime::UNIX_EPOCH }
}

pub(super) fn roll_back() -> ModelCommand {
    ModelCommand::RollBack { by: gate(), reason: "test".into(), at: DateTime::UNIX_EPOCH }
}

fn two_versions_second_champion() -> Model {
    given([registered(1).into(), promoted(1).into(), registered(2).into(), promoted(2).into()])
}

#[test]
fn versions_are_numbered_without_gaps() {
    let refused = Model::default().decide(ModelCommand::RegisterVersion(Box::new(registered(2))));
    assert_eq!(refused, Err(ModelRefusal::NotTheNextVersion { given: 2, next: 1 }));
}

#[test]
fn nothing_becomes_a_version_that_was_not_searched_for_leaks() {
    for leak_checks in [vec![], vec![format!("{SUSPICION}a hit rate of 0.97")]] {
        let unchecked = ModelVersionRegistered { leak_checks, ..registered(1) };
        let refused = Model::default().decide(ModelCommand::RegisterVersion(Box::new(unchecked)));
        assert_eq!(refused, Err(ModelRefusal::NotChecked));
    }
}

#[test]
fn a_training_run_becomes_one_version() {
    let model: Model = given([registered(1).into()]);
    let mut again = registered(2);
    again.training_run = registered(1).training_run;
    let refused = model.decide(ModelCommand::RegisterVersion(Box::new(again)));
    assert_eq!(refused, Err(ModelRefusal::AlreadyRegistered(1)));
}

#[test]
fn what_is_brought_in_again_is_the_version_it_was_and_what_is_trained_again_is_another() {
    let model: Model = given([registered(1).into(), registered(2).into()]);
    let mut again = registered(3);
    assert!(model.decide(ModelCommand::RegisterVersion(Box::new(again.clone()))).is_ok());
    again.origin = Origin::Imported { format: "onnx".into(), files: vec![], learnt_through: None };
    let refused = model.decide(ModelCommand::RegisterVersion(Box::new(again.clone())));
    assert_eq!(refused, Err(ModelRefusal::AlreadyRegistered(1)));
    again.artefact.sha256 = "b".repeat(64).parse().expect("valid");
    assert!(model.decide(ModelCommand::RegisterVersion(Box::new(again))).is_ok());
}

#[test]
fn a_model_has_one_champion() {
    let model = two_versions_second_champion();
    assert_eq!(model.champion(), Some(2));
    let again = model.decide(ModelCommand::PromoteVersion(promoted(2)));
    assert_eq!(again, Err(ModelRefusal::AlreadyChampion(2)));
}

#[test]
fn only_who_is_champion_still_is_succeeded() {
    let model = two_versions_second_champion();
    let succeed = |champion| {
        model
            .decide(ModelCommand::SucceedChampion { champion, promotion: promoted(1) })
            .map(|events| events.len())
    };
    assert_eq!(succeed(1), Err(ModelRefusal::NotTheChampion(1)));
    assert_eq!(succeed(2), Ok(1));
}

#[test]
fn rolling_back_makes_the_champion_before_champion_again() {
    let mut model = two_versions_second_champion();
    let events = model.decide(roll_back()).expect("granted");
    for event in events {
        model.apply(event);
    }
    assert_eq!(model.champion(), Some(1));
    assert_eq!(model.decide(roll_back()), Err(ModelRefusal::NothingToRollBackTo));
}

#[test]
fn the_champion_is_neither_retired_nor_quarantined() {
    let model = two_versions_second_champion();
    let (reason, at) = ("test".to_owned(), DateTime::UNIX_EPOCH);
    let retire = ModelVersionRetired { version: 2, by: None, reason: reason.clone(), retired_at: at };
    assert_eq!(model.decide(ModelCommand::RetireVersion(retire)), Err(ModelRefusal::IsChampion(2)));
    let quarantine = ModelVersionQuarantined { version: 2, by: None, reason, quarantined_at: at };
    let refused = model.decide(ModelCommand::QuarantineVersion(quarantine));
    assert_eq!(refused, Err(ModelRefusal::IsChampion(2)));
}

#[test]
fn a_version_out_of_service_is_not_promoted_and_not_gone_back_to() {
    let mut model = two_versions_second_champion();
    let retired =
        ModelVersionRetired { version: 1, by: None, reason: "old".into(), retired_at: DateTime::UNIX_EPOCH };
    model.apply(retired.into());
    assert_eq!(model.decide(ModelCommand::PromoteVersion(promoted(1))), Err(ModelRefusal::OutOfService(1)));
    assert_eq!(model.decide(roll_back()), Err(ModelRefusal::NothingToRollBackTo));
    assert_eq!(model.decide(ModelCommand::PromoteVersion(promoted(9))), Err(ModelRefusal::NoSuchVersion(9)));
}

fn shut_out(version: u32, by: DecidedBy) -> ModelVersionQuarantined {
    let reason = "too good to be true".to_owned();
    ModelVersionQuarantined { version, by: Some(by), reason, quarantined_at: DateTime::UNIX_EPOCH }
}

fn retirement(version: u32) -> ModelVersionRetired {
    let reason = "old".to_owned();
    ModelVersionRetired { version, by: None, reason, retired_at: DateTime::UNIX_EPOCH }
}

#[test]
fn what_the_gate_has_shut_out_no_rule_brings_back() {
    let model: Model =
        given([registered(1).into(), promoted(1).into(), registered(2).into(), shut_out(2, gate()).into()]);
    assert_eq!(model.decide(ModelCommand::PromoteVersion(promoted(2))), Err(ModelRefusal::InQuarantine(2)));
    let again = ModelCommand::QuarantineVersion(shut_out(2, gate()));
    assert_eq!(model.decide(again), Err(ModelRefusal::InQuarantine(2)));
    let mut first: Model = given([registered(1).into(), shut_out(1, gate()).into()]);
    assert_eq!(
        first.decide(ModelCommand::PromoteVersion(promoted(1))),
        Err(ModelRefusal::InQuarantine(1)),
        "nor where nobody publishes"
    );
    first.apply(retirement(1).into());
    assert_eq!(first.decide(ModelCommand::PromoteVersion(promoted(1))), Err(ModelRefusal::OutOfService(1)));
}

#[test]
fn a_person_may_promote_what_is_in_quarantine_and_it_serves_again() {
    for person in [DecidedBy::Operator, DecidedBy::Administrator { account: Uuid::nil() }] {
        let mut model: Model = given([
            registered(1).into(),
            promoted(1).into(),
            registered(2).into(),
            shut_out(2, gate()).into(),
        ]);
        let promotion = ModelVersionPromoted { by: person, ..promoted(2) };
        for event in model.decide(ModelCommand::PromoteVersion(promotion)).expect("granted") {
            model.apply(event);
        }
        assert_eq!(model.champion(), Some(2));
        model.apply(promoted(1).into());
        assert!(model.decide(ModelCommand::PromoteVersion(promoted(2))).is_ok(), "it is out of quarantine");
    }
}

#[test]
fn a_version_in_quarantine_is_retired_for_good_also_for_a_person() {
    let mut model: Model = given([registered(1).into(), shut_out(1, gate()).into()]);
    for event in model.decide(ModelCommand::RetireVersion(retirement(1))).expect("granted") {
        model.apply(event);
    }
    let promotion = ModelVersionPromoted { by: DecidedBy::Operator, ..promoted(1) };
    let refused = model.decide(ModelCommand::PromoteVersion(promotion));
    assert_eq!(refused, Err(ModelRefusal::OutOfService(1)));
    assert_eq!(
        model.decide(ModelCommand::QuarantineVersion(shut_out(1, DecidedBy::Operator))),
        Err(ModelRefusal::OutOfService(1))
    );
}

/// Versions 1 and 2, champions in turn twice each.
fn champions_in_turn() -> Vec<ModelEvent> {
    let events = [registered(1).into(), registered(2).into()];
    events.into_iter().chain([1, 2, 1, 2].map(|version| promoted(version).into())).collect()
}

#[test]
fn nobody_goes_back_from_a_champion_to_itself_when_the_one_between_is_shut_out() {
    let shut: [ModelEvent; 2] = [retirement(1).into(), shut_out(1, gate()).into()];
    for shut in shut {
        let mut model: Model = given(champions_in_turn());
        model.apply(shut);
        assert_eq!(model.champion(), Some(2));
        assert_eq!(model.decide(roll_back()), Err(ModelRefusal::NothingToRollBackTo));
    }
}

#[test]
fn a_log_in_which_a_champion_went_back_to_itself_still_has_its_champion() {
    let mut model: Model = given(champions_in_turn());
    let by = gate();
    let (reason, rolled_back_at) = ("test".to_owned(), DateTime::UNIX_EPOCH);
    model.apply(retirement(1).into());
    model.apply(PromotionRolledBack { from: 2, to: 2, by, reason, rolled_back_at }.into());
    assert_eq!(model.champion(), Some(2));
}
