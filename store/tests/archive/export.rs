//! Making exports, and making them longer.

use std::fs;
use std::path::Path;
use std::time::Duration;

use almanac_store::archive::{Archive, ArchiveError, ExportWish, Format, export};
use almanac_store::log::Sequencer;
use almanac_store::testing::TestDatabase;

use crate::counter::count;
use crate::lived::{self, LIVED, exported, folder, forge, publish, wish};

/// An export that takes longer than this never ends.
const LONGEST: Duration = Duration::from_secs(30);

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn the_same_log_gives_the_same_files() {
    let database = lived::database().await;
    for format in [Format::Jsonl, Format::Parquet] {
        let (one, other) = (folder(), folder());
        let done = exported(&database, &one, format).await;
        exported(&database, &other, format).await;
        assert_eq!(files(&one), files(&other));
        assert_eq!((done.events, done.checkpoints), (done.manifest.head.size, 2));
        assert_eq!(done.manifest.origin.as_deref(), Some("log.example.org"));
        assert!(done.manifest.complete && done.manifest.head.size > LIVED);
        assert_eq!(done.manifest.segments.len(), 3);
    }
}

#[tokio::test]
async fn a_longer_log_extends_the_export_and_changes_none_of_its_segments() {
    let database = lived::database().await;
    for format in [Format::Jsonl, Format::Parquet] {
        let folder = folder();
        let first = exported(&database, &folder, format).await;
        let before = files(&folder);
        assert_eq!(exported(&database, &folder, format).await.events, 0);
        assert_eq!(files(&folder), before, "a second run changes nothing");

        count(&database, &["more", "more"]).await;
        publish(&database).await;
        let second = exported(&database, &folder, format).await;
        assert_eq!((second.events, second.checkpoints), (2, first.checkpoints + 1));
        assert_eq!(second.manifest.segments[..3], first.manifest.segments);
        let after = files(&folder);
        for (name, bytes) in before.iter().filter(|(name, _)| name.starts_with("events-")) {
            assert!(after.contains(&(name.clone(), bytes.clone())), "{name} was changed");
        }
    }
}

#[tokio::test]
async fn what_an_interrupted_run_has_left_behind_is_never_read_and_made_anew() {
    let database = lived::database().await;
    let (whole, torn) = (folder(), folder());
    exported(&database, &whole, Format::Jsonl).await;
    exported(&database, &torn, Format::Jsonl).await;
    // As after a kill between the name of a segment and the manifest, with a draft and a longer last segment besides.
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(torn.join("manifest.json")).unwrap()).unwrap();
    let segments = manifest["segments"].as_array_mut().unwrap();
    segments.truncate(1);
    let short = folder();
    let shorter = ExportWish { segment_events: 1_500, ..ExportWish::default() };
    exported_up_to(&database, &short, &shorter).await;
    manifest["head"] =
        serde_json::from_slice::<serde_json::Value>(&fs::read(short.join("manifest.json")).unwrap()).unwrap()
            ["head"]
            .take();
    fs::write(torn.join("manifest.json"), manifest.to_string()).unwrap();
    fs::write(torn.join("events-000000001501-000000003000.jsonl.unfinished"), "half a li").unwrap();
    fs::write(torn.join("events-000000001501-000000002222.jsonl"), "of a shorter log\n").unwrap();
    fs::write(torn.join("manifest.json.unfinished"), "{").unwrap();
    fs::write(torn.join("checkpoints.jsonl.unfinished"), "{").unwrap();
    let not_ours = ["notes.txt", "symphony.unfinished", "events.jsonl.unfinished", ".unfinished"];
    for name in not_ours {
        fs::write(torn.join(name), "not ours").unwrap();
    }
    assert_eq!(Archive::open(&torn).unwrap().manifest().head.size, 1_500);

    exported(&database, &torn, Format::Jsonl).await;
    for name in not_ours {
        fs::remove_file(torn.join(name)).expect(name);
    }
    assert_eq!(files(&torn), files(&whole));
}

/// An export of the first segment alone, by way of a run that is dropped there.
async fn exported_up_to(database: &TestDatabase, folder: &Path, wish: &ExportWish) {
    let stop = std::panic::AssertUnwindSafe(async {
        export(database, folder, wish, &mut |progress| assert!(progress.done < 1_500, "far enough")).await
    });
    futures::FutureExt::catch_unwind(stop).await.expect_err("it was dropped");
}

#[tokio::test]
async fn an_export_of_another_log_or_in_another_way_is_not_gone_on_with() {
    let (database, other) = (lived::database().await, TestDatabase::new().await);
    let folder = folder();
    exported(&database, &folder, Format::Jsonl).await;
    let before = files(&folder);
    let mut refusals = vec![];
    for wish in [
        ExportWish { format: Some(Format::Parquet), ..wish(Format::Jsonl) },
        ExportWish { from: Some(2), ..wish(Format::Jsonl) },
    ] {
        refusals.push(export(&database, &folder, &wish, &mut |_| {}).await.unwrap_err());
    }
    refusals.push(export(&other, &folder, &ExportWish::default(), &mut |_| {}).await.unwrap_err());
    sqlx::query(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         select 'counter', 'x' || n, 1, 'Counted', '1.0', '{}', '{}' from generate_series(1, 4000) n",
    )
    .execute(other.pool())
    .await
    .unwrap();
    Sequencer::seize(&other).await.unwrap().seal_all().await.unwrap();
    refusals.push(export(&other, &folder, &ExportWish::default(), &mut |_| {}).await.unwrap_err());
    for refusal in refusals {
        assert!(matches!(refusal, ArchiveError::Refused(_)), "{refusal}");
    }
    assert_eq!(files(&folder), before);
}

#[tokio::test]
async fn an_export_may_begin_later() {
    let database = lived::database().await;
    let (whole, later) = (folder(), folder());
    let head = exported(&database, &whole, Format::Parquet).await.manifest.head;
    let wish = ExportWish { from: Some(1_000), ..wish(Format::Parquet) };
    let manifest = export(&database, &later, &wish, &mut |_| {}).await.unwrap().manifest;
    assert_eq!(manifest.head, head, "the root is that of the whole log");
    assert_eq!(manifest.after.size, 999);
    assert_eq!(manifest.segments[0].file, "events-000000001000-000000001500.parquet");
    let beyond = ExportWish { from: Some(head.size + 2), ..wish };
    assert!(export(&database, &folder(), &beyond, &mut |_| {}).await.is_err());
}

#[tokio::test]
async fn fault_12_what_was_touched_is_not_exported_as_if_it_were_sound() {
    for (statement, ordinal) in [
        ("update events set payload = '{\"Counted\": {\"by\": 2}}' where position = 1234", 1_234),
        ("update event_log set event_hash = sha256('x') where ordinal = 7", 7),
        ("update event_log set as_of = as_of - interval '1 microsecond' where ordinal = 3000", 3_000),
        ("delete from events where position = 2000", 2_000),
        ("delete from event_log where ordinal = 3", 3),
    ] {
        let database = lived::database().await;
        forge(&database, statement).await;
        let folder = folder();
        let wanted = wish(Format::Jsonl);
        let mut untold = |_| {};
        let exported = tokio::time::timeout(LONGEST, export(&database, &folder, &wanted, &mut untold)).await;
        let refused = exported.expect("it neither goes on nor ends").unwrap_err();
        assert!(
            matches!(refused, ArchiveError::Tampered { ordinal: found, .. } if found == ordinal),
            "{statement}: {refused}"
        );
        assert!(refused.is_tampering());
        assert!(!Archive::open(&folder).unwrap().manifest().complete);
    }
}
