//! Two nodes that live through the same market on one database, restarted one after the other.

use std::time::{Duration, Instant};

use almanac_store::Database;
use almanac_tests::{Almanac, Server};

use super::world::{World, chance, pause, some_more_sessions, told};

#[tokio::test(flavor = "multi_thread")]
async fn fault_25_two_nodes_restarted_one_after_the_other_lose_and_double_nothing() {
    let (seconds, chance) = (told("ALMANAC_TEST_SECONDS", 4), chance());
    let server = Server::start("soak-nodes").await;
    let world = World::new("soak-nodes", Some(server.url())).await;
    let first = world.live(None).expect("the first node starts");
    world.load.at(vec![first.address.clone()]);
    world.people(&first).await;
    let mut nodes = vec![first, world.live(None).expect("the second node starts")];
    let addresses = |nodes: &[Almanac]| nodes.iter().map(|node| node.address.clone()).collect::<Vec<_>>();
    world.load.at(addresses(&nodes));
    world.say("two nodes");

    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut stopped, mut killed) = (0, 0);
    while Instant::now() < until {
        pause(200 + chance.below(3_000)).await;
        let leaves = nodes.remove(0);
        world.load.at(addresses(&nodes));
        if chance.below(2) == 0 {
            assert!(leaves.stop(), "it ends well");
            stopped += 1;
        } else {
            leaves.kill();
            killed += 1;
        }
        nodes.push(world.live(None).expect("it starts again"));
        world.load.at(addresses(&nodes));
    }
    // The demo lives through a session when the log has come to rest, which people who never pause let it rarely do.
    world.load.pause().await;
    world.say("no more restarts");
    some_more_sessions(&nodes[0], 3).await;
    world.say("three more sessions");
    world.until_sent().await;
    world.say("everything is sent");
    for node in nodes {
        assert!(node.stop(), "it ends well");
    }
    world.say("both have ended");
    let database = Database::open(&server.url()).await.expect("it answers");
    let figures = [("nodes stopped in order", stopped.to_string()), ("nodes killed", killed.to_string())];
    world.check(&database, &figures).await;
}
