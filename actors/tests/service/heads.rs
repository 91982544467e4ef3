//! The Notary at work: what it signs, and what it refuses to.

use std::os::unix::fs::PermissionsExt;

use almanac_actors::Parts;
use almanac_actors::notary::Notary;
use almanac_actors::supervisor::{ActorState, Role, Service};
use almanac_actors::trade::{Progress, Trade, TradeError};
use almanac_domain::instrument::{Instrument, InstrumentCommand, InstrumentListed};
use almanac_domain::values::{Mode, Symbol};
use almanac_store::log::{Issued, LogReader};
use almanac_store::testing::TestDatabase;
use almanac_store::transparency::verify::{self, Given};
use almanac_store::transparency::{SigningKey, TreeHead, checkpoint};
use chrono::TimeDelta;
use uuid::Uuid;

use crate::world::{PATIENCE, World, day};

async fn world() -> World {
    let mut world = World::at_the_close_of(day("2024-03-04"), Mode::Simulated).await;
    world.settings.log.key = Some(world.folder.join("log.key"));
    "almanac.example".clone_into(&mut world.settings.log.host);
    world
}

/// Seals one more event.
async fn happen(parts: &Parts, database: &TestDatabase) {
    let number = LogReader::new(database).head().await.unwrap().unsigned_abs();
    let symbol: Symbol = format!("T{number}").parse().unwrap();
    let listed = InstrumentListed {
        exchange: "XNYS".parse().unwrap(),
        symbol,
        first_session: day("2024-03-04"),
        name: None,
        sector: None,
    };
    let (id, issued) =
        (Uuid::from_u128(number.into()).to_string(), Issued::new(parts.entropy.uuid_v7(parts.clock.now())));
    parts.bus.execute::<Instrument>(&id, InstrumentCommand::ListInstrument(listed), &issued).await.unwrap();
    database.seal().await;
}

/// Passes until nothing is due.
async fn rest(notary: &Notary) -> Result<(), TradeError> {
    while notary.pass().await? == Progress::More {}
    Ok(())
}

async fn sizes(parts: &Parts) -> Vec<i64> {
    let page = checkpoint::page(parts.database.pool(), None, 100).await.unwrap();
    page.iter().map(|head| head.size).rev().collect()
}

#[tokio::test]
async fn a_head_is_signed_every_few_minutes_if_anything_was_sealed_since() {
    let world = world().await;
    let parts = world.parts();
    let notary = Notary::new(&parts);
    rest(&notary).await.unwrap();
    assert_eq!(sizes(&parts).await, [0; 0], "an empty log has nothing to sign");
    happen(&parts, &world.database).await;
    rest(&notary).await.unwrap();
    happen(&parts, &world.database).await;
    world.clock.advance_to(parts.clock.now() + TimeDelta::minutes(4));
    rest(&notary).await.unwrap();
    assert_eq!(sizes(&parts).await, [1], "the last one is not old enough");
    world.clock.advance_to(parts.clock.now() + TimeDelta::minutes(1));
    rest(&notary).await.unwrap();
    world.clock.advance_to(parts.clock.now() + TimeDelta::minutes(60));
    rest(&notary).await.unwrap();
    assert_eq!(sizes(&parts).await, [1, 2], "without anything new there is nothing to sign");

    let mode = std::fs::metadata(world.folder.join("log.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let key = checkpoint::key_of_log(parts.database.pool()).await.unwrap().unwrap();
    assert_eq!(key.name(), "almanac.example");
    let newest = checkpoint::newest(parts.database.pool()).await.unwrap().unwrap();
    for note in [parts.objects.latest_head().await.unwrap(), parts.objects.head_of(2).await.unwrap()] {
        assert_eq!(note.as_ref(), Some(&newest.note));
    }
    let first = parts.objects.head_of(1).await.unwrap().unwrap();
    assert_eq!(TreeHead::open(&first, &key).unwrap().size, 1);
}

#[tokio::test]
async fn a_service_signs_by_itself_and_its_log_verifies() {
    let mut world = world().await;
    world.settings.log.checkpoint_every = TimeDelta::zero();
    let (parts, running) = world.keep_the_log().await;
    for _ in 0..3 {
        happen(&parts, &world.database).await;
        running.run_until_idle(PATIENCE).await.unwrap();
    }
    assert_eq!(sizes(&parts).await, [1, 2, 3]);
    let report = verify::database(&parts.database, Given::default(), |_| ()).await.unwrap();
    assert!(report.is_sound() && report.checkpoints.checked == 3, "{report:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_node_without_the_key_of_the_log_signs_nothing_and_says_so() {
    let mut world = world().await;
    let parts = world.parts();
    happen(&parts, &world.database).await;
    rest(&Notary::new(&parts)).await.unwrap();
    world.settings.log.key = Some(world.folder.join("elsewhere.key"));
    let parts = world.parts();
    let notary = Notary::new(&parts);
    happen(&parts, &world.database).await;
    world.clock.advance_to(parts.clock.now() + TimeDelta::minutes(10));
    rest(&notary).await.unwrap();
    assert_eq!(sizes(&parts).await, [1]);
    let idle = notary.observe()["idle"].as_str().unwrap().to_owned();
    assert!(idle.contains("is not on this node"), "{idle}");
    assert!(!world.folder.join("elsewhere.key").exists(), "no second key is made");
}

#[tokio::test]
async fn a_key_of_another_name_than_the_setting_is_held_up() {
    let mut world = world().await;
    rest(&Notary::new(&world.parts())).await.unwrap();
    world.settings.log.host = "moved.example".to_owned();
    rest(&Notary::new(&world.parts())).await.expect("the host may change, the log keeps its name");
    world.settings.log.origin = Some("other.example".to_owned());
    let error = rest(&Notary::new(&world.parts())).await.unwrap_err();
    assert!(error.to_string().contains("`almanac.example`"), "{error}");
}

#[tokio::test]
async fn fault_13_a_log_restored_to_an_earlier_point_is_not_signed() {
    let world = world().await;
    let parts = world.parts();
    let notary = Notary::new(&parts);
    for _ in 0..3 {
        happen(&parts, &world.database).await;
        world.clock.advance_to(parts.clock.now() + TimeDelta::minutes(10));
        rest(&notary).await.unwrap();
    }
    // The database of an older backup, beside the object storage of today.
    let restored = TestDatabase::new().await;
    let parts = world.parts_over(restored.database().clone());
    let error = rest(&Notary::new(&parts)).await.unwrap_err();
    assert!(error.to_string().contains("the log ends at 0"), "{error}");
    // It grows past the lost heads with another history.
    for _ in 0..5 {
        happen(&parts, &restored).await;
    }
    let notary = Notary::new(&parts);
    for _ in 0..2 {
        let error = rest(&notary).await.unwrap_err();
        assert!(error.to_string().contains("two histories"), "{error}");
    }
    assert!(notary.observe()["refused"].is_string());
    assert_eq!(sizes(&parts).await, [0; 0]);
}

#[tokio::test]
async fn fault_13_a_head_that_object_storage_contradicts_is_not_recorded_and_health_says_so() {
    let mut world = world().await;
    let parts = world.parts();
    happen(&parts, &world.database).await;
    rest(&Notary::new(&parts)).await.unwrap();
    // Another history of the same size was published, and `latest` was lost or put back since.
    let key = SigningKey::read(&world.folder.join("log.key")).unwrap().unwrap();
    let other = TreeHead { origin: "almanac.example".into(), size: 2, root: [7; 32] }.signed(&key).unwrap();
    std::fs::write(world.folder.join("objects/checkpoints/2"), other).unwrap();
    happen(&parts, &world.database).await;
    world.settings.log.checkpoint_every = TimeDelta::zero();
    let error = rest(&Notary::new(&world.parts())).await.unwrap_err();
    assert!(error.to_string().contains("two histories"), "{error}");
    assert_eq!(sizes(&parts).await, [1], "the database has not recorded what storage contradicts");

    let running = Service::start(&world.parts(), &[Role::Log]);
    let held = || running.reports().into_iter().find(|report| report.state == ActorState::Held);
    while held().is_none() {
        tokio::task::yield_now().await;
    }
    let report = held().unwrap();
    assert_eq!(report.name, "notary");
    assert!(report.error.is_some_and(|error| error.contains("two histories")));
    std::fs::remove_file(world.folder.join("objects/checkpoints/2")).unwrap();
    while held().is_some() {
        running.ring();
        tokio::task::yield_now().await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_head_that_did_not_reach_object_storage_is_published_when_the_notary_begins_anew() {
    let world = world().await;
    let parts = world.parts();
    happen(&parts, &world.database).await;
    rest(&Notary::new(&parts)).await.unwrap();
    let published = world.folder.join("objects/checkpoints");
    std::fs::remove_dir_all(&published).unwrap();
    rest(&Notary::new(&parts)).await.unwrap();
    assert!(published.join("1").exists() && published.join("latest").exists());
}
