//! Processes that die in the middle.

use std::collections::BTreeSet;
use std::time::Instant;

use almanac_actors::supervisor::{Role, Service};
use almanac_store::Database;
use almanac_store::log::LogReader;

use crate::world::{PATIENCE, World, events};

/// What the log says, without the order in which independent things came and the times of this machine.
async fn said(database: &Database) -> BTreeSet<String> {
    events(database)
        .await
        .into_iter()
        .map(|event| format!("{} {} {}", event.key, event.event_type, event.payload))
        .collect()
}

/// One life of the service, which is ended without a word when the log has `until` events; true when it came to rest
/// before.
pub fn live(world: &World, until: i64) -> bool {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let rested = runtime.block_on(async {
        let database = Database::open(world.database.url()).await.unwrap();
        let parts = world.parts_over(database.clone());
        let running = Service::start(&parts, &[Role::Worker]);
        let reader = LogReader::new(&database);
        let began = Instant::now();
        let killed = async {
            while reader.head().await.unwrap() < until {
                assert!(began.elapsed() < PATIENCE, "the log does not reach {until} events");
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            rested = running.run_until_idle(PATIENCE) => { rested.unwrap(); true }
            () = killed => false,
        }
    });
    // Every task is dropped where it stands, as good as killed.
    runtime.shutdown_background();
    rested
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_30_a_service_cut_off_again_and_again_says_what_one_says_that_never_was() {
    let (quiet, sessions) = World::simulated(1).await;
    let (_, running) = quiet.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    quiet.close(sessions[sessions.len() - 1]);
    running.run_until_idle(PATIENCE).await.unwrap();
    running.stop().await;
    let expected = said(&quiet.database).await;

    let (world, _) = World::simulated(1).await;
    let mut deaths = 0;
    let world = tokio::task::spawn_blocking(move || {
        for closed in [sessions[sessions.len() - 2], sessions[sessions.len() - 1]] {
            world.close(closed);
            let mut until = 3;
            while !live(&world, until) {
                deaths += 1;
                until += 9;
            }
        }
        assert!(deaths >= 5, "{deaths} deaths are not many");
        world
    })
    .await
    .unwrap();
    let found = said(&world.database).await;
    let missing: Vec<_> = expected.difference(&found).collect();
    let doubled: Vec<_> = found.difference(&expected).collect();
    assert!(missing.is_empty() && doubled.is_empty(), "missing {missing:#?}\nnot expected {doubled:#?}");
}
