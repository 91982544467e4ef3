//! What an owner of the database can do to the log, and what verification says then.

use almanac_store::testing::TestDatabase;
use almanac_store::transparency::LogTree;
use almanac_store::transparency::verify::{Bad, Flaw};

use crate::counter::key as event;
use crate::world::{append, bad, forge, publish, rehash, verified, verified_with};

/// Twenty sealed events, with published heads at 10 and 20.
async fn log() -> TestDatabase {
    let database = TestDatabase::new().await;
    for _ in 0..2 {
        append(&database, 10).await;
        database.seal().await;
        publish(&database).await;
    }
    database
}

const OF: &str = "position = (select position from event_log where ordinal =";

#[tokio::test]
async fn fault_12_an_untouched_log_is_sound() {
    let database = log().await;
    append(&database, 3).await;
    let report = verified(&database).await;
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.events, report.unsealed, report.checkpoints.checked), (20, 3, 2));
    let empty = TestDatabase::new().await;
    let empty = verified(&empty).await;
    assert!(empty.is_sound(), "{empty:?}");
}

#[tokio::test]
async fn a_head_that_was_copied_out_of_a_mail_is_read() {
    let database = log().await;
    let mut kept = publish(&database).await;
    kept.note = format!("\r\n  {}  ", kept.note.trim_end().replace('\n', " \r\n"));
    let report = verified_with(&database, &[&kept]).await;
    assert!(report.is_sound() && report.checkpoints.checked == 3, "{report:?}");
}

#[tokio::test]
async fn fault_12_a_flipped_byte_is_named_in_any_part_of_an_event() {
    for change in [
        "payload = jsonb_set(payload, '{Said,text}', '\"number_6\"')",
        "metadata = '{\"at\": \"2024-01-01T00:00:00Z\"}'",
        "event_type = 'Sang'",
        "event_version = '1.1'",
        "aggregate_id = 's61'",
        "sequence = 99",
        "recorded_at = recorded_at + interval '1 microsecond'",
        "event_id = gen_random_uuid()",
    ] {
        let database = log().await;
        forge(&database, &format!("update events set {change} where {OF} 7)")).await;
        let report = verified(&database).await;
        assert_eq!(report.first_bad, Some(bad(7, Flaw::Altered)), "{change}");
        if !change.starts_with("aggregate_id") && !change.starts_with("sequence") {
            assert_eq!(report.flaw_count, 1, "nothing after it is blamed: {change}");
        }
        assert_eq!(report.checkpoints.failures, [], "the digests are the published ones");
    }
}

#[tokio::test]
async fn fault_12_a_flipped_byte_in_what_the_log_keeps_of_an_event_is_named() {
    for (change, what) in [
        ("event_hash = set_byte(event_hash, 31, get_byte(event_hash, 31) # 1)", Flaw::Altered),
        ("event_type = 'Sang'", Flaw::Altered),
        ("aggregate_id = 's61'", Flaw::Altered),
        ("as_of = as_of - interval '1 day'", Flaw::Misdated),
    ] {
        let database = log().await;
        forge(&database, &format!("update event_log set {change} where ordinal = 7")).await;
        assert_eq!(verified(&database).await.first_bad, Some(bad(7, what)), "{change}");
    }
}

#[tokio::test]
async fn fault_12_a_deleted_event_is_named() {
    let database = log().await;
    forge(&database, &format!("delete from events where {OF} 7)")).await;
    let report = verified(&database).await;
    assert_eq!((report.first_bad, report.flaw_count), (Some(bad(7, Flaw::Missing)), 1));

    let database = log().await;
    forge(&database, &format!("delete from events where {OF} 7); delete from event_log where ordinal = 7"))
        .await;
    let report = verified(&database).await;
    assert_eq!(report.first_bad, Some(bad(7, Flaw::Missing)));
    assert_eq!(report.checkpoints.failures.len(), 2, "without its digest no head fits");

    let database = log().await;
    forge(&database, "delete from event_log where ordinal = 7").await;
    assert_eq!(verified(&database).await.first_bad, Some(bad(7, Flaw::Missing)));
}

#[tokio::test]
async fn fault_12_a_deleted_event_is_named_though_all_after_it_moved_up_and_were_hashed_anew() {
    let database = log().await;
    let remove = format!(
        "delete from events where {OF} 5); delete from event_log where ordinal = 5;
         update event_log set ordinal = ordinal + 1000 where ordinal > 5;
         update event_log set ordinal = ordinal - 1001 where ordinal > 1000;
         delete from log_checkpoints"
    );
    forge(&database, &remove).await;
    rehash(&database).await;
    // The fifth event was the first of stream s4; its second one was the twelfth and is the eleventh now.
    let what = Flaw::OutOfStream { key: event("s4", 2), expected: 1 };
    assert_eq!(verified(&database).await.first_bad, Some(bad(11, what)));
}

#[tokio::test]
async fn fault_12_two_swapped_events_are_named() {
    let database = log().await;
    let positions: Vec<i64> =
        sqlx::query_scalar("select position from event_log where ordinal in (7, 12) order by ordinal")
            .fetch_all(database.pool())
            .await
            .unwrap();
    let (first, second) = (positions[0], positions[1]);
    forge(
        &database,
        &format!(
            "update event_log set position = -1 where ordinal = 7;
             update event_log set position = {first} where ordinal = 12;
             update event_log set position = {second} where ordinal = 7"
        ),
    )
    .await;
    let report = verified(&database).await;
    assert_eq!(report.first_bad, Some(bad(7, Flaw::Swapped { with: 12 })));
    assert_eq!(report.flaws[1], bad(12, Flaw::Swapped { with: 7 }));

    let database = log().await;
    let swap = "update event_log set ordinal = 1000 where ordinal = 7;
                update event_log set ordinal = 7 where ordinal = 12;
                update event_log set ordinal = 12 where ordinal = 1000";
    forge(&database, swap).await;
    let report = verified(&database).await;
    assert_eq!(report.first_bad, Some(bad(7, Flaw::Swapped { with: 12 })));
    assert_eq!(report.checkpoints.failures.len(), 2, "and the digests stand in another order");
}

/// Takes everything after the first `size` events away, with every trace of it.
async fn cut(database: &TestDatabase, size: i64) {
    let cut = format!(
        "delete from events where position in (select position from event_log where ordinal > {size});
         delete from event_log where ordinal > {size};
         delete from log_checkpoints where size > {size}"
    );
    forge(database, &cut).await;
    rehash(database).await;
}

#[tokio::test]
async fn fault_12_a_cut_tail_is_named_by_a_head_that_was_kept_elsewhere() {
    let database = log().await;
    append(&database, 4).await;
    database.seal().await;
    let kept = publish(&database).await;
    cut(&database, 22).await;
    assert!(verified(&database).await.is_sound(), "without a published head nobody can tell");
    let report = verified_with(&database, &[&kept]).await;
    assert_eq!(report.first_bad, Some(bad(23, Flaw::TailCut { published: 24 })));
    let failure = &report.checkpoints.failures[0];
    assert_eq!((failure.size, failure.given), (Some(24), true));
}

#[tokio::test]
async fn fault_12_a_tail_that_was_cut_carelessly_is_named_by_what_is_left() {
    let database = log().await;
    let cut = "delete from events where position in (select position from event_log where ordinal > 18);
               delete from event_log where ordinal > 18";
    forge(&database, cut).await;
    let report = verified(&database).await;
    assert_eq!((report.first_bad, report.events), (Some(bad(19, Flaw::Missing)), 20));
}

#[tokio::test]
async fn fault_12_a_log_hashed_anew_is_named_by_a_head_that_was_kept_elsewhere() {
    let database = log().await;
    let kept = publish(&database).await;
    forge(
        &database,
        &format!(
            "update events set payload = '{{\"Said\": {{\"text\": \"hit\"}}}}' where {OF} 14); delete from log_checkpoints"
        ),
    )
    .await;
    rehash(&database).await;
    assert!(verified(&database).await.is_sound(), "without a published head nobody can tell");
    let report = verified_with(&database, &[&kept]).await;
    assert_eq!(
        report.first_bad,
        Some(Bad { ordinal: 1, until: Some(20), what: Flaw::Rewritten { size: 20 } })
    );
}

#[tokio::test]
async fn fault_12_the_more_heads_were_kept_the_closer_a_change_is_named() {
    let database = log().await;
    let forgery = format!("update events set payload = '{{\"Said\": {{\"text\": \"hit\"}}}}' where {OF} 14)");
    forge(&database, &forgery).await;
    rehash(&database).await;
    let report = verified(&database).await;
    assert_eq!(
        report.first_bad,
        Some(Bad { ordinal: 11, until: Some(20), what: Flaw::Rewritten { size: 20 } })
    );
}

#[tokio::test]
async fn fault_12_a_log_hashed_anew_is_named_to_the_event_where_tiles_are_left() {
    let database = TestDatabase::new().await;
    append(&database, 600).await;
    database.seal().await;
    LogTree::new(&database).fill().await.unwrap();
    let forgery =
        format!("update events set payload = '{{\"Said\": {{\"text\": \"hit\"}}}}' where {OF} 300)");
    forge(&database, &forgery).await;
    rehash(&database).await;
    assert_eq!(verified(&database).await.first_bad, Some(bad(300, Flaw::Rehashed)));
}

#[tokio::test]
async fn fault_12_a_digest_changed_together_with_its_event_no_longer_leads_to_the_head() {
    let database = log().await;
    forge(&database, "delete from log_checkpoints").await;
    forge(&database, &format!("update events set event_version = '1.1' where {OF} 14)")).await;
    let hash = almanac_store::log::LogReader::new(&database).at_ordinal(14).await.unwrap().unwrap();
    let hash = hex::encode(hash.recomputed_hash());
    forge(&database, &format!("update event_log set event_hash = '\\x{hash}' where ordinal = 14")).await;
    let report = verified(&database).await;
    assert_eq!(
        report.first_bad,
        Some(Bad { ordinal: 1, until: Some(20), what: Flaw::Rewritten { size: 20 } })
    );
}

#[tokio::test]
async fn fault_12_an_event_that_was_taken_out_of_the_log_but_not_deleted_is_named() {
    let database = log().await;
    // The last event of its stream, so that no gap in the stream shows it.
    let take_out = "delete from event_log where ordinal = 15;
                    update event_log set ordinal = ordinal + 1000 where ordinal > 15;
                    update event_log set ordinal = ordinal - 1001 where ordinal > 1000;
                    delete from log_checkpoints";
    forge(&database, take_out).await;
    rehash(&database).await;
    let report = verified(&database).await;
    assert_eq!(report.first_bad, Some(bad(15, Flaw::PassedOver { key: event("s0", 3) })));
}

#[tokio::test]
async fn fault_12_a_recorded_head_that_was_changed_or_signed_by_another_is_told() {
    let database = log().await;
    forge(&database, "update log_checkpoints set signed_note = replace(signed_note, 'example.org', 'example.com') where size = 10").await;
    let report = verified(&database).await;
    assert!(!report.is_sound());
    assert_eq!((report.checkpoints.checked, report.checkpoints.failures.len()), (2, 1));
    assert_eq!(report.checkpoints.failures[0].size, Some(10));
}

/// Tiles are written for full ones only, so a higher one takes 65,536 events.
#[tokio::test]
async fn fault_12_a_tile_of_any_level_that_was_changed_or_removed_is_named() {
    let database = TestDatabase::new().await;
    append(&database, 66_000).await;
    database.seal().await;
    while LogTree::new(&database).fill().await.unwrap() > 0 {}
    assert!(verified(&database).await.is_sound());
    let twist = |column: &str| format!("{column} = set_byte({column}, 7, get_byte({column}, 7) # 1)");
    let (root, hashes) = (twist("root"), twist("hashes"));
    for (change, undo, level, index) in [
        (format!("update log_tiles set {root} where level = 0 and index = 3"), None, 0, 3),
        (format!("update log_tiles set {root} where level = 1"), None, 1, 0),
        (format!("update log_tiles set {hashes} where level = 1"), None, 1, 0),
        (
            "create table kept as select * from log_tiles where level = 0 and index = 9;
             delete from log_tiles where level = 0 and index = 9"
                .to_owned(),
            Some("insert into log_tiles select * from kept"),
            0,
            9,
        ),
    ] {
        forge(&database, &change).await;
        let width = 256_i64.pow(u32::try_from(level + 1).unwrap());
        let first = Bad {
            ordinal: index * width + 1,
            until: Some((index + 1) * width),
            what: Flaw::Tile { level, index },
        };
        let report = verified(&database).await;
        // A root that is wrong makes the tile above wrong as well.
        assert!(report.flaws.contains(&first), "{change}: {:?}", report.flaws);
        forge(&database, undo.unwrap_or(&change)).await;
        assert!(verified(&database).await.is_sound(), "{change}");
    }
}
