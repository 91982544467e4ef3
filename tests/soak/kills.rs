//! The whole process killed at random, its database with it now and then.

use almanac_store::Database;
use almanac_store::postgres::{PostgresServer, Settings};
use almanac_tests::kill_postmaster;

use super::world::{World, chance, pause, some_more_sessions, told};

/// Instants at which a life may end by itself, with how often each is reached at most before it does.
const DEATHS: [(&str, u64); 12] = [
    ("append.before_insert", 20),
    ("append.after_insert", 20),
    ("append.after_commit", 20),
    ("seal.after_read", 20),
    ("seal.after_insert", 20),
    ("seal.before_commit", 20),
    ("seal.after_commit", 20),
    ("step.after_apply", 60),
    ("step.after_commit", 60),
    ("object.after_put", 2),
    ("mail.after_taken", 2),
    ("webhook.after_answer", 2),
];

#[tokio::test(flavor = "multi_thread")]
async fn fault_25_killed_at_random_under_load_nothing_is_lost_and_nothing_is_there_twice() {
    let (kills, chance) = (told("ALMANAC_TEST_KILLS", 2), chance());
    let world = World::new("soak-kills", None).await;
    let first = world.live(None).expect("the first life begins");
    world.load.at(vec![first.address.clone()]);
    world.people(&first).await;
    first.kill();

    let (mut at_failpoints, mut before_ready, mut with_database) = (0, 0, 0);
    for kill in 1..=kills {
        let failpoint = (chance.below(3) == 0).then(|| {
            let (name, most) = DEATHS[chance.below(DEATHS.len() as u64) as usize];
            format!("{name}=abort@{}", 1 + chance.below(most))
        });
        let longest = 50 + chance.below(2_500);
        match world.live(failpoint.as_deref()) {
            None => before_ready += 1,
            Some(mut life) => {
                world.load.at(vec![life.address.clone()]);
                let mut waited = 0;
                while waited < longest && !life.has_ended() {
                    pause(25).await;
                    waited += 25;
                }
                at_failpoints += u64::from(life.has_ended());
                life.kill();
            }
        }
        if chance.below(4) == 0 {
            kill_postmaster(&world.folder.path().join("postgres"));
            with_database += 1;
        }
        if kill % 20 == 0 {
            println!("{kill} deaths, {} commands answered", world.load.done());
        }
    }

    let last = world.live(None).expect("the last life begins");
    world.load.at(vec![last.address.clone()]);
    some_more_sessions(&last, 3).await;
    world.until_sent().await;
    // Everyone ends with an answer before the service does.
    world.load.pause().await;
    assert!(last.stop(), "it ends well");
    let server = PostgresServer::start(world.folder.path(), Settings::durable()).await.expect("it starts");
    let database = Database::open(server.url()).await.expect("it answers");
    let figures = [
        ("kills", kills.to_string()),
        ("of them at a failpoint", (at_failpoints + before_ready).to_string()),
        ("of them before the service was ready", before_ready.to_string()),
        ("of them with kill -9 of PostgreSQL", with_database.to_string()),
    ];
    world.check(&database, &figures).await;
}
