//! What is answered as done is on the disk, and whoever cannot be answered is told so in time.

use std::str::FromStr;

use almanac_store::Database;
use almanac_store::log::{CommandError, Extras, Sequencer};
use almanac_store::testing::{OwnServer, TestDatabase};
use futures::future::join_all;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};

use crate::counter::{Command, Counter, an_account, bus, issued};

async fn synchronous_commit(database: &Database) -> String {
    sqlx::query_scalar("select current_setting('synchronous_commit')")
        .fetch_one(database.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_setting_that_answers_before_the_disk_has_does_not_hold_for_the_log() {
    let server = OwnServer::start().await;
    // As an administrator would for the whole database, before and while the service runs.
    let mut owner = PgConnection::connect(server.url()).await.unwrap();
    let name: String =
        sqlx::query_scalar("select current_database()::text").fetch_one(&mut owner).await.unwrap();
    let alter = |what: &str| format!("alter database {name} {what}");
    owner.execute(alter("set synchronous_commit = off").as_str()).await.unwrap();
    let database = Database::open(server.url()).await.unwrap();
    assert_eq!(synchronous_commit(&database).await, "on");
    for stronger in ["remote_apply", "local"] {
        owner.execute(alter(&format!("set synchronous_commit = {stronger}")).as_str()).await.unwrap();
        let database = Database::open(server.url()).await.unwrap();
        assert_eq!(synchronous_commit(&database).await, stronger, "what is as good or better is kept");
    }
    owner.execute(alter("reset synchronous_commit").as_str()).await.unwrap();
    owner.execute("alter system set synchronous_commit = on").await.unwrap();
    owner.execute("select pg_reload_conf()").await.unwrap();
    let options = PgConnectOptions::from_str(server.url()).unwrap();
    let database = Database::connect(options, 1).await.unwrap();
    assert_eq!(synchronous_commit(&database).await, "on");
    owner.execute("alter system set synchronous_commit = off").await.unwrap();
    owner.execute("select pg_reload_conf()").await.unwrap();
    while sqlx::query_scalar::<_, String>("select current_setting('synchronous_commit')")
        .fetch_one(&mut owner)
        .await
        .unwrap()
        != "off"
    {
        tokio::task::yield_now().await;
    }
    assert_eq!(synchronous_commit(&database).await, "on", "a session that lasts keeps what it began with");
}

#[tokio::test]
async fn commands_that_wait_for_somebody_s_lock_are_refused_in_time_and_hold_up_nobody() {
    let database = TestDatabase::new().await;
    let bus = bus(&database);
    // Somebody has taken the address, and does not end the transaction.
    let mut somebody = database.pool().begin().await.unwrap();
    somebody
        .execute("insert into claims (kind, value, owner) values ('email', 'a@b', gen_random_uuid())")
        .await
        .unwrap();
    let names: Vec<_> = (0..12).map(|number| format!("c{number}")).collect();
    let waiting = names.iter().map(|name| {
        let extras = Extras::none().take_claim("email", "a@b", an_account());
        let bus = bus.clone();
        async move { bus.execute_with::<Counter>(name, Command::Count { by: 1 }, &issued(), extras).await }
    });
    let others = async {
        for _ in 0..30 {
            bus.execute::<Counter>("else", Command::Count { by: 1 }, &issued()).await.unwrap();
        }
    };
    let (refused, ()) = tokio::join!(join_all(waiting), others);
    for refused in refused {
        assert!(matches!(refused, Err(CommandError::Conflict)), "{refused:?}: it may be given again");
    }
    somebody.rollback().await.unwrap();
    assert_eq!(database.seal().await, 30, "what was refused has left nothing");
    assert_eq!(Sequencer::stall(&database).await.unwrap(), None);
    let extras = Extras::none().take_claim("email", "a@b", an_account());
    bus.execute_with::<Counter>("c0", Command::Count { by: 1 }, &issued(), extras).await.unwrap();
}

/// A lane gives up on a lock at once, and so goes alone whoever met it.
#[tokio::test]
async fn a_command_whose_stream_is_locked_is_refused_in_time() {
    let database = TestDatabase::new().await;
    let mut somebody = database.pool().begin().await.unwrap();
    crate::counter::insert(&mut somebody, "a", 1).await;
    let refused = bus(&database).execute::<Counter>("a", Command::Count { by: 1 }, &issued()).await;
    let Err(CommandError::Broken(error)) = refused else { panic!("{refused:?}") };
    assert!(error.is_passing(), "{error}");
    somebody.rollback().await.unwrap();
    assert_eq!(database.seal().await, 0);
}
