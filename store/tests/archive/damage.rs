//! Exports that are not what was exported.

use std::fs;
use std::path::Path;

use almanac_store::archive::{Archive, ArchiveError, Damage, Format};
use almanac_store::testing::{ScratchFolder, TestDatabase};
use futures::TryStreamExt;
use sha2::{Digest, Sha256};

use crate::lived::{self, everything, exported, folder, imported, random};

/// What somebody does to a text.
type Change = fn(String) -> String;

const SECOND: &str = "events-000000001501-000000003000";

async fn copies(format: Format) -> (ScratchFolder, TestDatabase) {
    let (database, folder) = (lived::database().await, folder());
    exported(&database, &folder, format).await;
    (folder, TestDatabase::new().await)
}

async fn damage_found(database: &TestDatabase, folder: &Path) -> Damage {
    match imported(database, folder).await {
        Err(ArchiveError::Damaged(damage)) => damage,
        Err(other) => panic!("{other}"),
        Ok(done) => panic!("{done:?}"),
    }
}

/// Changes a file of the export and lets the manifest agree, as somebody would who means it.
fn forge(folder: &Path, file: &str, change: impl Fn(String) -> String) {
    let path = folder.join(file);
    let text = fs::read_to_string(&path).unwrap();
    let changed = change(text.clone());
    assert_ne!(changed, text);
    fs::write(&path, &changed).unwrap();
    let path = folder.join("manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for segment in manifest["segments"].as_array_mut().unwrap() {
        if segment["file"] == file {
            segment["bytes"] = changed.len().into();
            segment["sha256"] = hex::encode(Sha256::digest(&changed)).into();
        }
    }
    fs::write(&path, manifest.to_string()).unwrap();
}

#[tokio::test]
async fn a_flipped_byte_anywhere_is_found_and_its_file_is_named_before_anything_of_it_is_written() {
    for format in [Format::Jsonl, Format::Parquet] {
        let (folder, database) = copies(format).await;
        let path = folder.join(format!("{SECOND}.{format}"));
        let sound = fs::read(&path).unwrap();
        let draw = random();
        for _ in 0..8 {
            let mut bytes = sound.clone();
            let place = draw.below(bytes.len() as u64) as usize;
            bytes[place] ^= 1 << draw.below(8);
            fs::write(&path, &bytes).unwrap();
            let damage = damage_found(&database, &folder).await;
            assert_eq!(damage.file, format!("{SECOND}.{format}"));
            assert_eq!(everything(&database).await.0.len(), 1_500, "only the segment before it");
            // Whoever looks for the place gets an error too, or sound events, and never panics.
            let archive = Archive::open(&folder).unwrap();
            let read: Result<Vec<_>, _> = archive.batches_though_damaged().try_collect().await;
            assert!(read.is_err() || read.unwrap().concat().len() as i64 == archive.manifest().head.size);
        }
        fs::write(&path, &sound[..sound.len() - 1]).unwrap();
        assert!(damage_found(&database, &folder).await.reason.contains("size"));
        fs::remove_file(&path).unwrap();
        assert!(damage_found(&database, &folder).await.reason.contains("missing"));
        fs::write(&path, &sound).unwrap();
        imported(&database, &folder).await.unwrap();
    }
}

#[tokio::test]
async fn fault_12_a_forged_export_is_refused_by_the_line_of_its_first_forged_event() {
    let file = &format!("{SECOND}.jsonl");
    let forgeries: [(&str, Change); 6] = [
        ("digest", |text| text.replacen("\"by\":1600,", "\"by\":1601,", 1)),
        ("form", |text| text.replacen("\"by\":1600,", "\"by\": 1600,", 1)),
        ("stands in its place", |text| {
            let mut lines: Vec<_> = text.lines().collect();
            lines.swap(106, 107);
            lines.join("\n") + "\n"
        }),
        ("stands in its place", |text| {
            let mut lines: Vec<_> = text.lines().collect();
            lines.remove(106);
            lines.join("\n") + "\n"
        }),
        ("EOF", |text| text[..text.find("\"by\":1600,").unwrap()].to_owned()),
        ("as_of", |text| {
            let line = text.lines().nth(106).unwrap();
            let moment = line.find("\"as_of\":\"2024").unwrap();
            text.replacen(line, &format!("{}5{}", &line[..moment + 12], &line[moment + 13..]), 1)
        }),
    ];
    for (reason, change) in forgeries {
        let (folder, database) = copies(Format::Jsonl).await;
        forge(&folder, file, change);
        let damage = damage_found(&database, &folder).await;
        assert_eq!(
            (damage.file.as_str(), damage.row, damage.ordinal),
            (file.as_str(), Some(107), Some(1_607)),
            "{damage}"
        );
        assert!(damage.reason.contains(reason), "{damage}");
    }
    let (folder, database) = copies(Format::Jsonl).await;
    forge(&folder, file, |text| text.clone() + text.lines().next_back().unwrap() + "\n");
    assert!(damage_found(&database, &folder).await.reason.contains("after its last event"));
}

#[tokio::test]
async fn a_manifest_or_a_checkpoint_that_does_not_fit_the_events_is_refused() {
    let changes: [(&str, &str, Change); 4] = [
        ("manifest.json", "manifest.json", |text| text.replacen("\"head\"", "\"heads\"", 1)),
        ("manifest.json", "manifest.json", |text| text.replacen("\"last\": 1500", "\"last\": 1499", 1)),
        ("checkpoints.jsonl", "checkpoints.jsonl", |text| text.replacen("\"size\":3306", "\"size\":3305", 1)),
        ("checkpoints.jsonl", "checkpoints.jsonl", |text| text.replacen('\u{2014}', "-", 1)),
    ];
    for (file, named, change) in changes {
        let (folder, database) = copies(Format::Jsonl).await;
        let path = folder.join(file);
        let text = fs::read_to_string(&path).unwrap();
        let other = change(text.clone());
        assert_ne!(other, text, "{file}");
        fs::write(&path, other).unwrap();
        assert_eq!(damage_found(&database, &folder).await.file, named);
        assert_eq!(everything(&database).await.0.len(), 0);
    }
}

#[tokio::test]
async fn a_folder_without_an_export_and_one_of_a_later_version_are_told_apart_from_damage() {
    let empty = folder();
    let refused = Archive::open(&empty).unwrap_err();
    assert!(matches!(refused, ArchiveError::NotAnExport(_)) && !refused.is_tampering(), "{refused}");
    let (folder, _) = copies(Format::Jsonl).await;
    let path = folder.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap().replacen("\"version\": 1", "\"version\": 2", 1);
    fs::write(&path, text).unwrap();
    let refused = Archive::open(&folder).unwrap_err();
    assert!(matches!(refused, ArchiveError::Foreign { .. }) && !refused.is_tampering(), "{refused}");
}
