//! What the gate decides without a person, and what it leaves to one.

use almanac_actors::settings::Promotion;
use almanac_domain::model::{ModelCommand, ModelVersionRegistered, Origin};
use almanac_domain::trial::TrialEnd;
use almanac_projections::models::{self, Model, TimelineEntry, VersionStatus};
use almanac_projections::predictions::{self, Filter};
use almanac_projections::trials;
use uuid::Uuid;

use crate::trials::{ALICE, does, live, promotion, quiet, registered};
use crate::world::{PATIENCE, World};

async fn model(world: &World) -> Model {
    models::find(world.database.pool(), &world.settings.model, i64::MAX).await.unwrap().unwrap()
}

async fn timeline(world: &World) -> Vec<TimelineEntry> {
    models::timeline(world.database.pool(), &world.settings.model, i64::MAX).await.unwrap()
}

/// The first version once more, as the next one.
fn next(first: &ModelVersionRegistered, version: u32) -> ModelVersionRegistered {
    let training_run = Uuid::from_u128(0x900 + u128::from(version));
    ModelVersionRegistered { version, training_run, ..first.clone() }
}

fn suspicious(registration: ModelVersionRegistered) -> ModelVersionRegistered {
    let leak_checks = vec!["purge".to_owned(), "suspicion: a hit rate of 0.97".to_owned()];
    ModelVersionRegistered { leak_checks, ..registration }
}

fn imported(registration: ModelVersionRegistered) -> ModelVersionRegistered {
    let origin = Origin::Imported { format: "onnx".to_owned(), files: vec![], learnt_through: None };
    let mut imported = ModelVersionRegistered { origin, ..registration };
    imported.artefact.sha256 = "b".repeat(64).parse().unwrap();
    imported
}

fn registering(registration: ModelVersionRegistered) -> ModelCommand {
    ModelCommand::RegisterVersion(Box::new(registration))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_good_to_be_true_is_shut_out_until_a_person_decides_and_then_not_again() {
    let (world, _) = quiet(0).await;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    let first = registered(world.database.database()).await;
    does(&parts, registering(suspicious(next(&first, 2)))).await;
    does(&parts, registering(imported(suspicious(next(&first, 3))))).await;
    running.run_until_idle(PATIENCE).await.unwrap();
    let found = model(&world).await;
    let statuses: Vec<_> = found.versions.iter().map(|version| version.status).collect();
    let (shut, champion) = (VersionStatus::Quarantined, VersionStatus::Champion);
    assert_eq!(statuses, [shut, shut, champion], "from the newest to the oldest");
    let quarantines = |timeline: &[TimelineEntry]| -> Vec<_> {
        let found = timeline.iter().filter(|entry| entry.event == "ModelVersionQuarantined");
        found.map(|entry| (entry.version, entry.by.clone(), entry.reason.clone())).collect()
    };
    let by = Some("gate: too-good-to-be-true".to_owned());
    let reason = Some("a hit rate of 0.97".to_owned());
    let mut by_the_gate = quarantines(&timeline(&world).await);
    by_the_gate.sort_unstable();
    assert_eq!(by_the_gate, [(Some(2), by.clone(), reason.clone()), (Some(3), by, reason)]);

    does(&parts, promotion(&parts, 2)).await;
    let back = ModelCommand::RollBack { by: ALICE, reason: "a test".into(), at: parts.clock.now() };
    does(&parts, back).await;
    running.run_until_idle(PATIENCE).await.unwrap();
    running.stop().await;
    let (_, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    let found = model(&world).await;
    assert_eq!((found.champion, found.versions[1].status), (Some(1), VersionStatus::Able));
    assert_eq!(quarantines(&timeline(&world).await).len(), 2, "what a person decides stands");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_version_that_the_gate_may_speak_of_goes_on_trial_though_later_ones_may_not() {
    let (mut world, _) = quiet(0).await;
    let (_, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    running.stop().await;
    world.settings.training.promotion = Promotion::Trial;
    let (parts, running) = world.keep_the_log().await;
    let first = registered(world.database.database()).await;
    for registration in [next(&first, 2), imported(next(&first, 3)), suspicious(next(&first, 4))] {
        does(&parts, registering(registration)).await;
    }
    running.stop().await;
    let (_, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    let found = trials::list(world.database.pool(), &world.settings.model, i64::MAX).await.unwrap();
    let found: Vec<_> = found.iter().map(|trial| (trial.version, trial.opened_by.as_str())).collect();
    assert_eq!(found, [(2, "gate: trial")]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_a_champion_has_to_fall_silent_the_newest_version_takes_its_place() {
    let (mut world, sessions) = quiet(12).await;
    world.settings.training.promotion = Promotion::Trial;
    world.settings.expire_after = 10;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    let left = &sessions[sessions.len() - 12..];
    live(&world, &running, &left[..2]).await;
    let first = registered(world.database.database()).await;
    does(&parts, registering(ModelVersionRegistered { trained_through: left[1], ..next(&first, 2) })).await;
    live(&world, &running, &left[2..4]).await;
    assert_eq!(model(&world).await.champion, Some(1), "there is time for the trial");
    live(&world, &running, &left[4..]).await;

    assert_eq!(model(&world).await.champion, Some(2));
    let trial = trials::list(world.database.pool(), &world.settings.model, i64::MAX).await.unwrap().remove(0);
    assert_eq!((trial.version, trial.ended_by), (2, Some(TrialEnd::ChampionChanged)));
    let promoted = timeline(&world).await.into_iter().rfind(|entry| entry.event == "ModelVersionPromoted");
    let promoted = promoted.unwrap();
    assert_eq!((promoted.version, promoted.by.as_deref()), (Some(2), Some("gate: succession")));
    assert!(promoted.reason.unwrap().starts_with("version 1 learnt from data up to"));
    let published = predictions::list(world.database.pool(), &Filter::default(), None, 1000).await.unwrap();
    assert!(published.items.iter().all(|it| it.abstention.as_deref() != Some("expired_model")));
    assert!(published.items.iter().any(|it| it.as_of == left[11]), "nobody fell silent");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trained_version_becomes_the_first_champion_though_an_imported_one_came_after_it() {
    let (mut world, _) = quiet(0).await;
    let (_, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    running.stop().await;
    // Another model of which the service was away while both versions came.
    let first = registered(world.database.database()).await;
    world.settings.model = "other".parse().unwrap();
    let first = ModelVersionRegistered { model: world.settings.model.clone(), ..first };
    let (parts, running) = world.keep_the_log().await;
    does(&parts, registering(next(&first, 1))).await;
    does(&parts, registering(imported(next(&first, 2)))).await;
    running.stop().await;
    let (_, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    assert_eq!(model(&world).await.champion, Some(1));
    let timeline = timeline(&world).await;
    let decided: Vec<_> =
        timeline.iter().filter_map(|entry| Some((entry.version?, entry.by.as_deref()?))).collect();
    assert_eq!(decided, [(1, "gate: first-version")]);
    running.stop().await;
}
