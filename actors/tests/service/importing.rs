//! A model trained elsewhere becomes a version that the gate leaves alone.

use almanac_actors::ingestion::ingest_path;
use almanac_actors::trainer::{ImportNowError, OnnxFile, Outcome, import_onnx, rebuild};
use almanac_domain::model::{ModelVersionRegistered, Origin};
use almanac_domain::values::{Horizon, Mode};
use almanac_ml::simulator::{Market, Settings};
use almanac_projections::models;
use chrono::Days;

use crate::world::{PATIENCE, World, events, write_market};

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
