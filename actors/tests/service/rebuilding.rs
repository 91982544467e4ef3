//! A version trained again from the log and the objects, whatever has come since.

use almanac_actors::Parts;
use almanac_actors::ingestion::ingest_path;
use almanac_actors::supervisor::Running;
use almanac_actors::trainer::{Outcome, RebuildError, RebuildReport, rebuild, train_now};
use almanac_domain::model::{Model, ModelCommand, ModelVersionRegistered};
use almanac_domain::values::{Mode, Session};
use almanac_ml::simulator::{Market, Settings};
use almanac_projections::instruments;
use almanac_store::log::Issued;
use uuid::Uuid;

use crate::world::{PATIENCE, World, events, write_market};

/// A version that was trained on all sessions but the last five, news included.
async fn trained() -> (World, Parts, Running, Market) {
    let market = Market::new(&Settings::of_years(8, 3, 5));
    let (past, _) = split(&market);
    let mut world = World::at_the_close_of(*past.last().unwrap(), Mode::Simulated).await;
    world.settings.training.sentiment = true;
    write_market(&world.inbox(), &market, past);
    let (parts, running) = world.keep_the_log().await;
    ingest_path(&parts, &world.inbox(), &mut |_| {}).await.unwrap();
    running.run_until_idle(PATIENCE).await.unwrap();
    train_now(&parts, parts.settings.training.plan(), &mut |_| {}).await.unwrap();
    running.run_until_idle(PATIENCE).await.unwrap();
    (world, parts, running, market)
}

fn split(market: &Market) -> (&[Session], &[Session]) {
    market.sessions().split_at(market.sessions().len() - 5)
}

async fn again(parts: &Parts) -> Result<RebuildReport, RebuildError> {
    rebuild(parts, &parts.settings.model, 1, &mut |_| {}).await
}

async fn registered(world: &World) -> ModelVersionRegistered {
    let log = events(world.database.database()).await;
    let event = log.iter().find(|event| event.event_type == "ModelVersionRegistered").unwrap();
    serde_json::from_value(event.payload["ModelVersionRegistered"].clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_comes_out_byte_for_byte_whatever_has_come_and_was_corrected_since() {
    let (world, parts, running, market) = trained().await;
    let recorded = registered(&world).await;
    let recipe = recorded.recipe.clone().unwrap();
    assert_eq!(
        (recipe.parameters["family.alpha"].as_str(), recipe.parameters["scale"].as_str()),
        ("1000.0", "har")
    );

    // Later sessions with their news, and another close for a bar it has learnt from.
    let (past, future) = split(&market);
    world.close(*future.last().unwrap());
    write_market(&world.folder.join("later"), &market, future);
    ingest_path(&parts, &world.folder.join("later"), &mut |_| {}).await.unwrap();
    let listings = instruments::listings(world.database.pool()).await.unwrap();
    let listing = listings.iter().find(|listing| listing.delisted_after.is_none()).unwrap();
    let corrected = past[past.len() - 40];
    let before = parts.market.view().await.unwrap().closes(listing.id, corrected, corrected).unwrap().1;
    let close = before * 1.01;
    let row = format!("{},{corrected},{close},{close},{close},{close},1000", listing.symbol);
    std::fs::create_dir_all(world.folder.join("corrected")).unwrap();
    std::fs::write(
        world.folder.join("corrected/one.csv"),
        format!("symbol,date,open,high,low,close,volume\n{row}\n"),
    )
    .unwrap();
    ingest_path(&parts, &world.folder.join("corrected"), &mut |_| {}).await.unwrap();
    running.run_until_idle(PATIENCE).await.unwrap();
    let now = parts.market.view().await.unwrap().closes(listing.id, corrected, corrected).unwrap().1;
    assert!((now - close).abs() < 1e-9 && (now - before).abs() > 1e-9, "the correction is known now");

    let report = again(&parts).await.unwrap();
    assert_eq!(report.outcome, Outcome::SameBytes, "{report:#?}");
    assert_eq!(report.artefact.as_str(), report.artefact_again);
    assert_eq!(report.features.as_ref().unwrap().as_str(), report.features_again);
    assert_eq!(report.dataset, recorded.dataset);
    assert_eq!(report.processor, Some(report.processor_again.clone()));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_come_out_the_same_is_named_and_what_is_missing_too() {
    let (world, parts, running, _) = trained().await;
    let model = parts.settings.model.clone();
    // A version whose record claims another seed than the one its artefact was made with.
    let first = registered(&world).await;
    let mut second = ModelVersionRegistered { version: 2, training_run: Uuid::from_u128(2), ..first.clone() };
    second.plan.seed += 1;
    // And one whose record claims another penalty.
    let mut third = ModelVersionRegistered { version: 3, training_run: Uuid::from_u128(3), ..first.clone() };
    third.recipe.as_mut().unwrap().parameters.insert("family.alpha".into(), "999.0".into());
    for (number, version) in [(2, second), (3, third)] {
        let command = ModelCommand::RegisterVersion(Box::new(version));
        let issued = Issued::new(Uuid::from_u128(number));
        parts.bus.execute::<Model>(model.as_str(), command, &issued).await.unwrap();
    }
    running.run_until_idle(PATIENCE).await.unwrap();
    for (version, words) in [(2, "the seed"), (3, "the family and its choices")] {
        let report = rebuild(&parts, &model, version, &mut |_| {}).await.unwrap();
        assert_eq!(report.outcome, Outcome::Different);
        assert!(report.first_difference.as_ref().unwrap().starts_with(words), "{report:#?}");
    }
    let unknown = rebuild(&parts, &model, 9, &mut |_| {}).await.unwrap_err();
    assert_eq!(unknown.to_string(), format!("the model {model} has no version 9"));

    let datasets = world.folder.join("objects/datasets");
    std::fs::remove_file(datasets.join(format!("{}.json", first.dataset))).unwrap();
    let missing = again(&parts).await.unwrap_err();
    assert!(matches!(missing, RebuildError::Trade(_)), "{missing:?}");
    running.stop().await;
}
