//! A model trained elsewhere becomes a version that the gate leaves alone: at once on the command line, or by a run.

use almanac_actors::Parts;
use almanac_actors::ingestion::ingest_path;
use almanac_actors::trainer::{ImportNowError, OnnxFile, Outcome, import_onnx, rebuild};
use almanac_domain::model::{ModelVersionRegistered, Origin};
use almanac_domain::training_run::{
    FeatureSet, ImportedFile, ModelImport, TrainingCancelled, TrainingPlan, TrainingReason,
    TrainingRequested, TrainingRun as Aggregate, TrainingRunCommand,
};
use almanac_domain::values::{Horizon, Mode, Session, StoredObject};
use almanac_ml::simulator::{Market, Settings};
use almanac_projections::models;
use almanac_projections::training_runs::{self, TrainingRun};
use almanac_store::log::{EventKey, Issued};
use chrono::Days;
use uuid::Uuid;

use crate::restarts::live;
use crate::world::{PATIENCE, World, count, events, write_market};

const ALICE: Uuid = Uuid::from_u128(0xa11ce);

fn file(name: &str, horizon: u32) -> OnnxFile {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../ml/tests/fixtures/onnx");
    let bytes = std::fs::read(folder.join(format!("{name}.onnx"))).unwrap();
    OnnxFile { horizon: Horizon::new(horizon).unwrap(), bytes }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_model_is_a_version_once_that_the_gate_never_promotes_and_that_can_be_made_again() {
    let market = Market::new(&Settings::of_years(8, 3, 5));
    let last = *market.sessions().last().unwrap();
    let world = World::at_the_close_of(last, Mode::Simulated).await;
    let (parts, running) = world.keep_the_log().await;
    let model = parts.settings.model.clone();
    let files = || vec![file("forest", 5), file("ridge", 1)];
    let nothing = import_onnx(&parts, &model, files(), None, &mut |_| {}).await;
    assert!(matches!(nothing, Err(ImportNowError::NoBars)), "{nothing:?}");

    write_market(&world.inbox(), &market, market.sessions());
    ingest_path(&parts, &world.inbox(), &mut |_| {}).await.unwrap();
    running.run_until_idle(PATIENCE).await.unwrap();
    let refused = import_onnx(&parts, &model, vec![file("refused_tree_circle", 1)], None, &mut |_| {}).await;
    assert!(matches!(refused, Err(ImportNowError::Refused(_))), "{refused:?}");

    let through = last - Days::new(400);
    let report = import_onnx(&parts, &model, files(), Some(through), &mut |_| {}).await.unwrap();
    assert_eq!((report.version, report.repeated), (1, false));
    assert!(report.scored_from > through && report.suspicions.is_empty(), "{report:#?}");
    let again = import_onnx(&parts, &model, files(), Some(through), &mut |_| {}).await.unwrap();
    assert_eq!((again.version, again.repeated, again.artefact), (1, true, report.artefact));
    running.stop().await;

    // With everybody at work the gate makes the first version that was trained here the champion, and not this one.
    let (_, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    let found = models::find(world.database.pool(), &model, i64::MAX).await.unwrap().unwrap();
    assert_ne!(found.champion, Some(1));
    let log = events(world.database.database()).await;
    let event = log.iter().find(|event| event.event_type == "ModelVersionRegistered").unwrap();
    let registered: ModelVersionRegistered =
        serde_json::from_value(event.payload["ModelVersionRegistered"].clone()).unwrap();
    let Origin::Imported { format, files, learnt_through } = registered.origin else {
        panic!("it was imported")
    };
    assert_eq!((format.as_str(), files.len(), learnt_through), ("onnx", 2, Some(through)));
    assert_eq!(files, report.files);

    let made_again = rebuild(&parts, &model, 1, &mut |_| {}).await.unwrap();
    assert_eq!(made_again.outcome, Outcome::SameBytes, "{made_again:#?}");
    running.stop().await;
}

/// Stores files and asks for a run that brings them in, as an administrator would.
async fn ask(parts: &Parts, run: u128, files: Vec<OnnxFile>, learnt_through: Option<Session>) -> EventKey {
    let mut named = vec![];
    for OnnxFile { horizon, bytes } in files {
        let object = parts.objects.put("imports", bytes, "onnx").await.unwrap();
        let sha256 = object.sha256.parse().unwrap();
        let object = StoredObject { key: object.key, sha256, bytes: object.len };
        named.push(ImportedFile { horizon, object });
    }
    let import = ModelImport { files: named, learnt_through };
    let horizons = import.horizons();
    let plan = TrainingPlan {
        family: "onnx".into(),
        feature_set: FeatureSet::Core,
        horizons,
        sentiment: false,
        seed: parts.settings.training.seed,
    };
    let request = TrainingRequested {
        model: parts.settings.model.clone(),
        reason: TrainingReason::Manual,
        figures: vec![],
        plan,
        import: Some(import),
        requested_by: Some(ALICE),
    };
    order(parts, run, TrainingRunCommand::RequestTraining(request)).await
}

async fn order(parts: &Parts, run: u128, command: TrainingRunCommand) -> EventKey {
    let issued = Issued::new(parts.entropy.uuid_v7(parts.clock.now()));
    let run = Uuid::from_u128(run).to_string();
    parts.bus.execute::<Aggregate>(&run, command, &issued).await.unwrap().last().unwrap().clone()
}

async fn run(parts: &Parts, id: u128) -> TrainingRun {
    training_runs::find(parts.database.pool(), Uuid::from_u128(id)).await.unwrap().unwrap()
}

/// A service at rest whose first version was trained here, with a year that an imported model may not have seen.
async fn at_rest() -> (World, Session) {
    let (mut world, sessions) = World::simulated(0).await;
    world.settings.training.retrain_every = 0;
    world.settings.training.watch.pause = u32::MAX;
    let (_, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    running.stop().await;
    (world, *sessions.last().unwrap() - Days::new(400))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_asked_for_is_a_run_whose_version_follows_from_it_and_is_there_once() {
    let (world, through) = at_rest().await;
    let (parts, running) = world.serve();
    let files = || vec![file("ridge", 1), file("forest", 5)];
    let asked = ask(&parts, 1, files(), Some(through)).await;
    running.run_until_idle(PATIENCE).await.unwrap();
    let first = run(&parts, 1).await;
    assert_eq!((first.state.as_str(), first.version), ("completed", Some(2)), "{first:#?}");
    assert!(first.rows.is_some_and(|rows| rows > 0) && first.as_of.is_some(), "{first:#?}");

    let log = events(&parts.database).await;
    let by_type = |name: &str| log.iter().rfind(|event| event.event_type == name).unwrap();
    let registration = by_type("ModelVersionRegistered");
    let registered: ModelVersionRegistered =
        serde_json::from_value(registration.payload["ModelVersionRegistered"].clone()).unwrap();
    let named: Vec<_> = first.import.unwrap().files.into_iter().map(|file| file.sha256).collect();
    let origin = Origin::Imported { format: "onnx".into(), files: named, learnt_through: Some(through) };
    assert_eq!((registered.training_run, registered.origin), (Uuid::from_u128(1), origin));
    let started = by_type("TrainingStarted");
    for (event, cause) in
        [(started, &asked), (registration, &started.key), (by_type("TrainingCompleted"), &registration.key)]
    {
        assert_eq!(event.metadata["causation_id"], cause.to_string(), "{}", event.key);
        assert_eq!(event.correlation_id(), started.correlation_id(), "{}", event.key);
    }

    // What came in already is the version it was, whoever brings it.
    ask(&parts, 2, files(), Some(through)).await;
    running.run_until_idle(PATIENCE).await.unwrap();
    let again = run(&parts, 2).await;
    assert_eq!((again.state.as_str(), again.version), ("completed", Some(2)), "{again:#?}");
    let report =
        import_onnx(&parts, &parts.settings.model, files(), Some(through), &mut |_| {}).await.unwrap();
    assert_eq!((report.version, report.repeated), (2, true));
    assert_eq!(count(&parts.database, "ModelVersionRegistered").await, 2);
    // Said to have learnt other sessions, it is scored on others: another version.
    ask(&parts, 3, files(), None).await;
    running.run_until_idle(PATIENCE).await.unwrap();
    assert_eq!(run(&parts, 3).await.version, Some(3));
    let model = models::find(parts.database.pool(), &parts.settings.model, i64::MAX).await.unwrap().unwrap();
    assert_eq!(model.champion, Some(1), "no gate promotes what was brought in");
    let unknown = model.versions.iter().find(|version| version.version == 3).unwrap();
    assert!(unknown.verdicts.iter().all(|verdict| verdict.starts_with("It may have learnt")), "{unknown:#?}");
    let made_again = rebuild(&parts, &parts.settings.model, 2, &mut |_| {}).await.unwrap();
    assert_eq!(made_again.outcome, Outcome::SameBytes, "{made_again:#?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_cannot_be_used_fails_with_its_reason_and_those_behind_it_go_on() {
    let (world, through) = at_rest().await;
    let (parts, running) = world.keep_the_log().await;
    let objects = world.folder.join("objects");
    let place =
        |run: TrainingRun| objects.join(format!("imports/{}.onnx", run.import.unwrap().files[0].sha256));
    let broken = OnnxFile { bytes: b"no model at all".to_vec(), ..file("ridge", 1) };
    ask(&parts, 1, vec![broken], Some(through)).await;
    ask(&parts, 2, vec![file("refused_tree_circle", 1)], Some(through)).await;
    ask(&parts, 3, vec![file("tree", 1)], Some(through)).await;
    ask(&parts, 4, vec![file("vote", 1)], Some(through)).await;
    ask(&parts, 5, vec![file("levels", 1)], Some(through)).await;
    let cancelled = TrainingCancelled { by: ALICE };
    order(&parts, 5, TrainingRunCommand::CancelTraining(cancelled)).await;
    ask(&parts, 6, vec![file("ridge", 1)], Some(through)).await;
    running.run_until_idle(PATIENCE).await.unwrap();
    running.stop().await;
    std::fs::remove_file(place(run(&parts, 3).await)).unwrap();
    std::fs::write(place(run(&parts, 4).await), b"another model").unwrap();

    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    for (id, reason) in [
        (1, "file_refused: horizon 1: "),
        (2, "file_refused: horizon 1: "),
        (3, "file_missing: the object imports/"),
        (4, "file_damaged: the object imports/"),
    ] {
        let failed = run(&parts, id).await;
        assert_eq!((failed.state.as_str(), failed.version), ("failed", None), "{failed:#?}");
        assert!(failed.failure.as_ref().unwrap().starts_with(reason), "{failed:#?}");
    }
    assert_eq!(run(&parts, 5).await.state, "cancelled");
    assert_eq!(run(&parts, 6).await.version, Some(2));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_cut_off_after_each_event_of_an_import_brings_it_in_once() {
    let (world, through) = at_rest().await;
    let (parts, running) = world.keep_the_log().await;
    ask(&parts, 1, vec![file("ridge", 1)], Some(through)).await;
    running.run_until_idle(PATIENCE).await.unwrap();
    running.stop().await;
    let asked = events(&parts.database).await.last().unwrap().ordinal;
    let world = tokio::task::spawn_blocking(move || {
        let mut deaths = 0;
        while !live(&world, asked + deaths + 1) {
            deaths += 1;
        }
        assert!(deaths >= 3, "{deaths} deaths are not one for each event");
        world
    })
    .await
    .unwrap();
    let log = events(world.database.database()).await;
    let followed: Vec<_> =
        log.iter().filter(|event| event.ordinal > asked).map(|event| event.event_type.as_str()).collect();
    assert_eq!(followed, ["TrainingStarted", "ModelVersionRegistered", "TrainingCompleted"]);
}
