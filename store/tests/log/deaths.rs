//! Processes that die at a chosen instant: what they leave behind is whole, and whoever comes next goes on with it.

use almanac_store::Database;
use almanac_store::log::LogReader;
use almanac_store::testing::TestDatabase;

use crate::counter::{Counter, bus, key, sealed};
use crate::victim;

/// More than one transaction of the sequencer holds.
const EVENTS: i64 = 4_500;

/// Events without a chance or a time of this machine in them, so that two databases have the same digests.
async fn filled() -> TestDatabase {
    let database = TestDatabase::new().await;
    sqlx::query(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata,
                             event_id, recorded_at)
         select 'counter', 's' || n % 7, n / 7 + 1, 'Counted', '1.0', '{\"Counted\": {\"by\": 1}}', '{}',
                md5(n::text)::uuid, timestamptz '2024-05-06 12:00:00Z' + n * interval '1 ms'
           from generate_series(0, $1 - 1) n order by n",
    )
    .bind(EVENTS)
    .execute(database.pool())
    .await
    .unwrap();
    database
}

/// What the log holds, down to the tree.
async fn log(database: &Database) -> (Vec<String>, Vec<Vec<u8>>) {
    let rows =
        "select jsonb_build_array(ordinal, aggregate_type, aggregate_id, sequence, position, event_type,
                                         encode(event_hash, 'hex'), as_of)::text
                  from event_log order by ordinal";
    let tree = "select unnest(frontier) from sequencer";
    (
        sqlx::query_scalar(rows).fetch_all(database.pool()).await.unwrap(),
        sqlx::query_scalar(tree).fetch_all(database.pool()).await.unwrap(),
    )
}

#[tokio::test]
async fn fault_06_a_sequencer_killed_at_each_failpoint_leaves_the_log_of_an_uninterrupted_one() {
    let undisturbed = filled().await;
    assert_eq!(undisturbed.seal().await, EVENTS);
    let expected = log(&undisturbed).await;
    assert_eq!(expected.0.len() as i64, EVENTS);
    for death in [
        "seal.after_read=abort@1",
        "seal.after_read=abort@2",
        "seal.after_insert=abort@1",
        "seal.after_insert=abort@2",
        "seal.before_commit=abort@2",
        "seal.after_commit=abort@1",
        "seal.after_commit=abort@3",
        "seal.after_notify=abort@1",
    ] {
        let database = filled().await;
        let status = victim::run_until_it_ends(database.url(), victim::SEALING, death).await;
        assert_eq!(status.code(), None, "{death}: it was to be killed");
        let next = tokio::time::timeout(std::time::Duration::from_secs(20), database.seal()).await;
        assert_eq!(next, Ok(EVENTS), "{death}: the next one goes on");
        assert_eq!(sealed(&database).await.len() as i64, EVENTS, "{death}");
        assert!(log(&database).await == expected, "after {death} the log is another");
    }
}

#[tokio::test]
async fn fault_11_a_command_whose_process_dies_between_commit_and_answer_has_one_effect_when_given_again() {
    let (id, command, issued) = victim::the_command();
    // The lane that reads the stream comes first, then the one that writes.
    for (death, is_done) in [
        ("lane.after_done=abort@1", false),
        ("lane.after_done=abort@2", true),
        ("append.after_commit=abort", true),
    ] {
        let database = TestDatabase::new().await;
        let status = victim::run_until_it_ends(database.url(), victim::COMMANDING, death).await;
        assert_eq!(status.code(), None, "{death}: it was to be killed");
        let again = bus(&database).execute::<Counter>(id, command.clone(), &issued).await.unwrap();
        assert_eq!(again.events, [key("a", 1), key("a", 2)], "{death}");
        assert_eq!(again.repeated, is_done, "{death}");
        assert_eq!(bus(&database).load::<Counter>(id).await.unwrap().events, 2, "{death}: one effect");
        database.seal().await;
        assert_eq!(LogReader::new(&database).head().await.unwrap(), 2, "{death}");
    }
}

#[tokio::test]
async fn fault_11_a_command_whose_connection_is_lost_between_commit_and_answer_is_answered_by_its_first_outcome()
 {
    let (id, command, issued) = victim::the_command();
    let database = TestDatabase::new().await;
    let cut_off =
        victim::run_until_it_ends(database.url(), victim::COMMANDING, "lane.after_done=error").await;
    assert!(cut_off.success(), "it looks up what became of its command: {cut_off}");
    let again = bus(&database).execute::<Counter>(id, command, &issued).await.unwrap();
    assert!(again.repeated);
    assert_eq!(bus(&database).load::<Counter>(id).await.unwrap().events, 2, "one effect");
}
