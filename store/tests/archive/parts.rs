//! Exports that hold a part of the log, and exports in object storage.

use std::fs;
use std::path::Path;

use almanac_store::archive::{Archive, ArchiveError, ExportWish, Format, export, export_to, fetch};
use almanac_store::objects::Objects;
use almanac_store::testing::TestDatabase;
use almanac_store::transparency::verify::{self, Bad, Flaw, Given, Report};

use crate::counter::count;
use crate::lived::{self, everything, exported, folder, imported, key, publish, wish};

async fn verified(folder: &Path) -> Report {
    let archive = Archive::open(folder).unwrap();
    let given = Given { key: Some(key().verifier().clone()), ..Given::default() };
    let (start, heads) = (archive.start().unwrap(), archive.checkpoints().unwrap());
    verify::part(archive.batches_though_damaged(), start, given, heads, |_| {}).await.unwrap()
}

#[tokio::test]
async fn fault_12_a_part_of_the_log_is_verified_against_the_heads_that_cover_it() {
    let (database, later) = (lived::database().await, folder());
    let from = ExportWish { from: Some(1_000), ..wish(Format::Jsonl) };
    let manifest = export(&database, &later, &from, &mut |_| {}).await.unwrap().manifest;
    let report = verified(&later).await;
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.events as i64, report.root), (manifest.head.size, manifest.head.root.0));
    assert_eq!((report.checkpoints.earlier, report.checkpoints.checked), (0, 2));
    let last = folder();
    let from = ExportWish { from: Some(manifest.head.size), ..wish(Format::Jsonl) };
    export(&database, &last, &from, &mut |_| {}).await.unwrap();
    let heads = verified(&last).await.checkpoints;
    assert_eq!(
        (heads.earlier, heads.checked, heads.failures.len()),
        (1, 1, 0),
        "one head lies before the part"
    );

    let file = later.join(&manifest.segments[0].file);
    let text = fs::read_to_string(&file).unwrap();
    let line = text.lines().nth(234).unwrap();
    let changed = line.replacen("\"by\":", "\"by\":1", 1);
    fs::write(&file, text.replacen(line, &changed, 1)).unwrap();
    let bad = Bad { ordinal: 1_234, until: None, what: Flaw::Altered };
    assert_eq!(verified(&later).await.first_bad, Some(bad));
    fs::write(&file, &text).unwrap();

    // What comes before is known by its digests only; that they are others shows against a head.
    let path = later.join("manifest.json");
    let honest = fs::read_to_string(&path).unwrap();
    let other = TestDatabase::new().await;
    count(&other, &["x"; 30]).await;
    sqlx::query(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         select 'counter', 'y' || n, 1, 'Counted', '1.0', '{}', '{}' from generate_series(31, 999) n",
    )
    .execute(other.pool())
    .await
    .unwrap();
    other.seal().await;
    let before = folder();
    let foreign = exported(&other, &before, Format::Jsonl).await.manifest;
    assert_eq!(foreign.head.size, 999);
    let mut manifest: serde_json::Value = serde_json::from_str(&honest).unwrap();
    manifest["after"] = serde_json::to_value(&foreign.head).unwrap();
    fs::write(&path, manifest.to_string()).unwrap();
    let report = verified(&later).await;
    assert!(!report.is_sound() && report.checkpoints.failures.len() == 2, "{report:?}");
}

#[tokio::test]
async fn an_export_in_object_storage_grows_and_comes_back_as_it_is() {
    let (database, place) = (lived::database().await, folder());
    for (objects, format) in [
        (Objects::open(&format!("file://{}/log", place.display()), []).unwrap(), Format::Jsonl),
        (Objects::open("memory:///exports", []).unwrap(), Format::Parquet),
    ] {
        let export = async || {
            let staging = folder();
            export_to(&database, &objects, &staging, &wish(format), &mut |_| {}).await.unwrap()
        };
        let first = export().await;
        assert_eq!(export().await.events, 0, "a second run brings nothing over again");
        count(&database, &["more", "more"]).await;
        publish(&database).await;
        let second = export().await;
        assert_eq!((second.events, second.checkpoints), (2, first.checkpoints + 1));

        let (back, moved) = (folder(), TestDatabase::new().await);
        fetch(&objects, &back).await.unwrap();
        assert_eq!(Archive::open(&back).unwrap().manifest(), &second.manifest);
        imported(&moved, &back).await.unwrap();
        assert_eq!(everything(&moved).await, everything(&database).await);
    }
    fs::remove_file(place.join("log/events-000000000001-000000001500.jsonl")).unwrap();
    let torn = Objects::in_folder(&place.join("log")).unwrap();
    let refused = fetch(&torn, &folder()).await.unwrap_err();
    assert!(refused.is_tampering() && refused.to_string().contains("is missing"), "{refused}");
    let nothing = Objects::in_folder(&place.join("nothing")).unwrap();
    assert!(matches!(fetch(&nothing, &folder()).await, Err(ArchiveError::NotAnExport(_))));
}
