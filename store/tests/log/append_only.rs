//! The log keeps what it was given, unchanged, or refuses it.

use almanac_store::log::LogReader;
use almanac_store::testing::TestDatabase;
use sqlx::Executor;

use crate::counter::{Command, Counter, bus, count, issued, sealed};

#[tokio::test]
async fn fault_12_update_delete_and_truncate_are_refused_whoever_asks() {
    let database = TestDatabase::new().await;
    count(&database, &["a"]).await;
    database.seal().await;
    for table in ["events", "event_log"] {
        for statement in [
            format!("update {table} set event_type = 'Forged'"),
            format!("update {table} set event_type = 'Forged' where false"),
            format!("delete from {table}"),
            format!("delete from {table} where false"),
            format!("truncate {table}"),
            format!("truncate {table} cascade"),
            format!("set session_replication_role = replica; delete from {table}"),
        ] {
            let refused = database.pool().execute(statement.as_str()).await.expect_err(&statement);
            assert!(refused.to_string().contains("append-only"), "{statement}: {refused}");
        }
    }
    assert_eq!(sealed(&database).await, [("a".to_owned(), 1)]);
}

#[tokio::test]
async fn fault_14_texts_at_the_edge_of_unicode_are_read_back_with_the_same_digest() {
    let database = TestDatabase::new().await;
    let bus = bus(&database);
    let texts = [
        "",
        "€ \u{10ffff} \u{1f600}",
        "\u{1}\u{1f}\u{7f}\u{80}",
        "e\u{301} \u{e9}",
        "\u{fb33}\r\n\t\"\\/",
        "\u{feff}\u{200f}",
    ];
    for text in texts {
        bus.execute::<Counter>("a", Command::Say(text.into()), &issued()).await.unwrap();
    }
    bus.execute::<Counter>("b", Command::Count { by: -((1 << 53) - 1) }, &issued()).await.unwrap();
    database.seal().await;
    sealed(&database).await;
    let read: Vec<String> = LogReader::new(&database)
        .stream("counter", "a")
        .await
        .unwrap()
        .iter()
        .map(|event| event.payload["Said"]["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(read, texts);
}

#[tokio::test]
async fn a_touched_event_no_longer_has_its_digest() {
    let database = TestDatabase::new().await;
    count(&database, &["a"]).await;
    database.seal().await;
    let forge = "alter table events disable trigger events_append_only; \
                 update events set payload = '{\"Counted\": {\"by\": 2}}'";
    database.pool().execute(forge).await.unwrap();
    let event = LogReader::new(&database).at_ordinal(1).await.unwrap().unwrap();
    assert_ne!(event.recomputed_hash(), event.event_hash);
}
