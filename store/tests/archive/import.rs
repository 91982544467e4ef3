//! Bringing an export into another database.

use almanac_store::archive::{
    Archive, ArchiveError, Claim, ExportWish, Format, Identity, check_finished, export, import,
};
use almanac_store::log::{Recorded, Sequencer};
use almanac_store::testing::TestDatabase;
use uuid::Uuid;

use crate::counter::{Command, Counter, bus, count, issued, totals};
use crate::lived::{self, claim, everything, exported, folder, imported, imported_with, publish, wish};

async fn number(database: &TestDatabase, select: &str) -> i64 {
    sqlx::query_scalar(select).fetch_one(database.pool()).await.unwrap()
}

#[tokio::test]
async fn an_export_brought_into_an_empty_database_is_the_same_log() {
    let database = lived::database().await;
    for format in [Format::Jsonl, Format::Parquet] {
        let (one, again) = (folder(), folder());
        let manifest = exported(&database, &one, format).await.manifest;
        let moved = TestDatabase::new().await;
        let done = imported(&moved, &one).await.unwrap();
        assert_eq!((done.events, done.checkpoints), (manifest.head.size, 2));
        assert_eq!(everything(&moved).await, everything(&database).await);
        assert_eq!(exported(&moved, &again, format).await.manifest, manifest, "to the byte");
        check_finished(&moved).await.unwrap();
        assert_eq!(number(&moved, "select count(*) from claims").await, 9, "claims follow from the events");
    }
}

#[tokio::test]
async fn after_an_import_commands_sealing_and_projections_go_on() {
    let (database, folder) = (lived::database().await, folder());
    let head = exported(&database, &folder, Format::Parquet).await.manifest.head.size;
    let moved = TestDatabase::new().await;
    imported(&moved, &folder).await.unwrap();
    // In both, so that the two must stay the same log but for ids and times.
    for database in [&database, &moved] {
        bus(database).execute::<Counter>("least", Command::Count { by: 3 }, &issued()).await.unwrap();
        count(database, &["new"]).await;
        assert_eq!(database.seal().await, head + 2);
        let (events, ..) = everything(database).await;
        let keys: Vec<_> = events[head as usize..].iter().map(|event| event.key.to_string()).collect();
        assert_eq!(keys, ["counter:least:4", "counter:new:1"]);
        publish(database).await;
        let totals = totals(database).await;
        totals.run_until(head + 2).await.unwrap();
    }
    let total = "select (select sum(total) from totals)::bigint";
    assert_eq!(number(&moved, total).await, number(&database, total).await);
    let behind = "select count(*) from events e, sequencer s where (e.xid, e.position) >= (s.xid_floor, s.position_floor)";
    assert!(number(&moved, behind).await <= 2, "sealing does not look at what was imported again");
}

#[tokio::test]
async fn whoever_was_told_elsewhere_is_not_told_again() {
    let (database, folder) = (lived::database().await, folder());
    let head = exported(&database, &folder, Format::Jsonl).await.manifest.head.size;
    let moved = TestDatabase::new().await;
    imported(&moved, &folder).await.unwrap();
    for (ordinal, told) in [(1, 0), (head, 0), (head + 1, 1), (0, 1)] {
        let done = sqlx::query(
            "insert into mail_outbox (key, account, kind, payload, ordinal, message_id, next_attempt_at)
             values ($1::text, gen_random_uuid(), 'daily', '{}', $1, '', now())",
        )
        .bind(ordinal)
        .execute(moved.pool())
        .await
        .unwrap();
        assert_eq!(done.rows_affected(), told, "a mail about event {ordinal}");
    }
}

#[tokio::test]
async fn a_longer_export_goes_on_from_the_shorter_one_and_the_same_again_changes_nothing() {
    let (database, folder) = (lived::database().await, folder());
    exported(&database, &folder, Format::Jsonl).await;
    let moved = TestDatabase::new().await;
    imported(&moved, &folder).await.unwrap();
    assert_eq!(imported(&moved, &folder).await.unwrap().events, 0);
    count(&database, &["more"]).await;
    publish(&database).await;
    exported(&database, &folder, Format::Jsonl).await;
    assert_eq!(imported(&moved, &folder).await.unwrap().events, 1);
    assert_eq!(everything(&moved).await, everything(&database).await);
}

#[tokio::test]
async fn an_export_that_begins_later_fits_a_database_that_ends_there_or_later() {
    let (database, first, later) = (lived::database().await, folder(), folder());
    exported(&database, &first, Format::Jsonl).await;
    let (moved, empty) = (TestDatabase::new().await, TestDatabase::new().await);
    imported(&moved, &first).await.unwrap();
    count(&database, &["more"]).await;
    publish(&database).await;
    let wish = ExportWish { from: Some(3_000), ..wish(Format::Parquet) };
    export(&database, &later, &wish, &mut |_| {}).await.unwrap();
    assert_eq!(imported(&moved, &later).await.unwrap().events, 1);
    assert_eq!(everything(&moved).await, everything(&database).await);
    let refused = imported(&empty, &later).await.unwrap_err();
    assert!(refused.to_string().contains("begins at event 3000"), "{refused}");
}

#[tokio::test]
async fn a_new_identity_leaves_the_checkpoints_behind() {
    let (database, folder) = (lived::database().await, folder());
    exported(&database, &folder, Format::Jsonl).await;
    let moved = TestDatabase::new().await;
    import(&moved, &Archive::open(&folder).unwrap(), Identity::New, claim, &mut |_| {}).await.unwrap();
    assert_eq!(
        number(&moved, "select (select count(*) from log_checkpoints) + (select count(*) from log_keys)")
            .await,
        0
    );
    assert_eq!(everything(&moved).await.0, everything(&database).await.0);
}

#[tokio::test]
async fn a_database_that_is_in_use_or_holds_something_else_is_refused_and_left_alone() {
    let (database, folder) = (lived::database().await, folder());
    exported(&database, &folder, Format::Jsonl).await;

    let other = TestDatabase::new().await;
    count(&other, &["a"]).await;
    let refused = imported(&other, &folder).await.unwrap_err();
    assert!(refused.to_string().contains("not sealed"), "{refused}");
    other.seal().await;
    let refused = imported(&other, &folder).await.unwrap_err();
    assert!(refused.to_string().contains("needs an empty database"), "{refused}");
    assert_eq!(everything(&other).await.0.len(), 1);
    check_finished(&other).await.unwrap();

    let longer = TestDatabase::new().await;
    imported(&longer, &folder).await.unwrap();
    count(&longer, &["a"]).await;
    longer.seal().await;
    let refused = imported(&longer, &folder).await.unwrap_err();
    assert!(matches!(refused, ArchiveError::Refused(_)), "{refused}");

    let led = TestDatabase::new().await;
    let leader = tokio::spawn(Sequencer::run(led.database().clone()));
    let mut head = led.head();
    count(&led, &["a"]).await;
    head.wait_for(|head| *head == 1).await.unwrap();
    let refused = imported(&led, &folder).await.unwrap_err();
    assert!(refused.to_string().contains("another process"), "{refused}");
    leader.abort();
}

#[tokio::test]
async fn somebody_who_seals_or_writes_in_the_middle_ends_the_import_and_it_can_go_on_afterwards() {
    let (database, folder) = (lived::database().await, folder());
    exported(&database, &folder, Format::Jsonl).await;
    let moved = TestDatabase::new().await;
    let forced = moved.database().clone();
    let refused = imported_with(&moved, &folder, &mut |progress| {
        if progress.done == 1_000 {
            let forced = forced.clone();
            // As another node would that does not know of the lock.
            let seized = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let url = forced.pool().connect_options();
                    let apart = almanac_store::Database::connect((*url).clone(), 1).await.unwrap();
                    Sequencer::seize(&apart).await.unwrap();
                });
            });
            seized.join().unwrap();
        }
    })
    .await
    .unwrap_err();
    assert!(refused.to_string().contains("taken over"), "{refused}");
    let unfinished = check_finished(&moved).await.unwrap_err();
    assert!(unfinished.to_string().contains("almanac import"), "{unfinished}");
    imported(&moved, &folder).await.unwrap();
    assert_eq!(everything(&moved).await, everything(&database).await);
    check_finished(&moved).await.unwrap();
}

#[tokio::test]
async fn a_database_that_has_lived_events_itself_is_not_told_that_they_came_from_elsewhere() {
    let (database, longest) = (lived::database().await, folder());
    let (longer, folder) = (folder(), folder());
    exported(&database, &folder, Format::Jsonl).await;
    let moved = TestDatabase::new().await;
    imported(&moved, &folder).await.unwrap();
    count(&moved, &["more"]).await;
    publish(&moved).await;
    exported(&moved, &longer, Format::Jsonl).await;
    // It holds the beginning of the same log, and may still have to tell somebody of it.
    let refused = imported(&database, &longer).await.unwrap_err();
    assert!(refused.to_string().contains("has lived the events from 1 on itself"), "{refused}");
    assert_eq!(number(&database, "select count(*) from log_imports").await, 0);

    count(&moved, &["again"]).await;
    publish(&moved).await;
    exported(&moved, &longest, Format::Jsonl).await;
    let other = TestDatabase::new().await;
    imported(&other, &folder).await.unwrap();
    count(&other, &["more"]).await;
    let refused = imported(&other, &longest).await.unwrap_err();
    assert!(matches!(refused, ArchiveError::Refused(_)), "{refused}");
}

/// Owners take a claim by a first event of their stream and give it back by a second one.
fn tenants(event: &Recorded) -> Result<Option<Claim>, String> {
    let owner = Uuid::new_v5(&Uuid::nil(), event.key.aggregate_id.as_bytes());
    match event.key.aggregate_id.as_str() {
        "unreadable" => Err("no such words".to_owned()),
        name if name.starts_with("tenant") => Ok(Some(match event.key.sequence {
            1 => Claim::Taken { kind: "room".to_owned(), value: "12".to_owned(), owner },
            _ => Claim::GivenBack { owner },
        })),
        _ => Ok(None),
    }
}

async fn brought(streams: &[&str]) -> (TestDatabase, Result<Vec<(String, Uuid)>, ArchiveError>) {
    let (database, folder) = (TestDatabase::new().await, folder());
    for stream in streams {
        count(&database, &[stream]).await;
    }
    publish(&database).await;
    exported(&database, &folder, Format::Jsonl).await;
    let moved = TestDatabase::new().await;
    let archive = Archive::open(&folder).unwrap();
    let done = import(&moved, &archive, Identity::Kept, tenants, &mut |_| {}).await;
    let claims = sqlx::query_as("select kind || ' ' || value, owner from claims order by 1")
        .fetch_all(moved.pool())
        .await
        .unwrap();
    (moved, done.map(|_| claims))
}

#[tokio::test]
async fn claims_are_those_of_whoever_took_them_last_also_where_the_taking_stands_before_the_giving_back() {
    let owner = |name: &str| Uuid::new_v5(&Uuid::nil(), name.as_bytes());
    let room = |name| vec![("room 12".to_owned(), owner(name))];
    let (_, after) = brought(&["tenant a", "tenant a", "tenant b"]).await;
    assert_eq!(after.unwrap(), room("tenant b"));
    let (_, crossed) = brought(&["tenant a", "tenant b", "tenant a"]).await;
    assert_eq!(crossed.unwrap(), room("tenant b"));
    let (_, nobody) = brought(&["tenant a", "tenant a"]).await;
    assert_eq!(nobody.unwrap(), []);
}

#[tokio::test]
async fn a_claim_taken_twice_and_one_that_cannot_be_read_end_an_import_by_name() {
    let (moved, twice) = brought(&["x", "tenant a", "tenant b"]).await;
    let refused = twice.unwrap_err().to_string();
    assert!(refused.contains("event 3 takes the room 12"), "{refused}");
    check_finished(&moved).await.unwrap_err();
    let (moved, unreadable) = brought(&["x", "unreadable"]).await;
    let refused = unreadable.unwrap_err().to_string();
    assert!(
        refused.contains("event 2 (counter:unreadable:1)") && refused.contains("no such words"),
        "{refused}"
    );
    check_finished(&moved).await.unwrap_err();
}
