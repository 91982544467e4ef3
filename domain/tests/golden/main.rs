//! Every version of every event there has ever been can still be read.
//!
//! `<aggregate>/<Event>-<version>[-<case>].json` is a payload as that version was stored. None of these files is ever
//! changed or deleted: `MANIFEST` holds their digests. For a version that is written no more,
//! `<the same name>.today.json` says what it reads as today; that file changes with the event.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test that meets an error has failed"
)]

mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use almanac_domain::Event;
use almanac_domain::catalogue;
use almanac_domain::event::STREAMS;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A stored payload with what its file's name says of it.
struct Golden {
    /// Below this folder, without its ending.
    name: String,
    aggregate: String,
    event: String,
    version: String,
    payload: Value,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Every file of an event as it was stored.
fn all() -> Vec<Golden> {
    let mut all = vec![];
    for aggregate in fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()) {
        if !aggregate.is_dir() {
            continue;
        }
        for path in fs::read_dir(&aggregate).unwrap().map(|entry| entry.unwrap().path()) {
            let file = path.file_name().unwrap().to_str().unwrap();
            let name = file.strip_suffix(".json").unwrap_or_else(|| panic!("{file} is no golden file"));
            if name.rsplit('.').next() == Some("today") {
                continue;
            }
            let (event, rest) = name.split_once('-').unwrap_or_else(|| panic!("{file} names no version"));
            let aggregate = aggregate.file_name().unwrap().to_str().unwrap();
            all.push(Golden {
                name: format!("{aggregate}/{name}"),
                aggregate: aggregate.to_owned(),
                event: event.to_owned(),
                version: rest.split('-').next().unwrap().to_owned(),
                payload: json_of(&path),
            });
        }
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

/// What a payload reads as today: itself, or what stands beside it when its version is written no more.
fn expected(golden: &Golden) -> Value {
    let today = folder().join(format!("{}.today.json", golden.name));
    if today.exists() { json_of(&today) } else { golden.payload.clone() }
}

fn present_version(golden: &Golden) -> &'static str {
    let (_, _, version) = Event::stored()
        .find(|(aggregate, event, _)| (*aggregate, *event) == (&*golden.aggregate, &*golden.event))
        .unwrap_or_else(|| panic!("{} is of an event nobody knows any more", golden.name));
    version
}

#[test]
fn every_event_ever_stored_reads_as_todays_event_and_is_written_as_such() {
    for golden in all() {
        let Golden { name, aggregate, event, version, payload } = &golden;
        let current = Event::current(aggregate, event, version, payload)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .into_owned();
        // The upcasters alone make it whole: nothing is left to what a parser does with a missing field.
        assert_eq!(current, expected(&golden), "{name}");
        let read = Event::read(aggregate, event, version, payload)
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(read.written().unwrap(), expected(&golden), "{name}");
    }
}

#[test]
fn every_version_of_every_event_has_a_golden_file_and_every_file_an_event() {
    let kept: BTreeSet<_> =
        all().into_iter().map(|golden| (golden.aggregate, golden.event, golden.version)).collect();
    let known: BTreeSet<_> = STREAMS
        .iter()
        .flat_map(|stream| stream.kinds.iter().map(move |kind| (stream.aggregate, kind)))
        .flat_map(|(aggregate, kind)| {
            kind.versions()
                .map(move |version| (aggregate.to_owned(), kind.name.to_owned(), version.to_owned()))
        })
        .collect();
    assert_eq!(kept, known);
    for golden in all() {
        let today = folder().join(format!("{}.today.json", golden.name));
        assert_eq!(today.exists(), golden.version != present_version(&golden), "{}", golden.name);
    }
}

#[test]
fn no_golden_file_was_changed_or_deleted() {
    let manifest = fs::read_to_string(folder().join("MANIFEST")).unwrap();
    let promised: BTreeMap<String, String> = manifest
        .lines()
        .map(|line| line.split_once("  ").expect("a digest, two spaces, a name"))
        .map(|(digest, name)| (name.to_owned(), digest.to_owned()))
        .collect();
    let found: BTreeMap<String, String> = all()
        .into_iter()
        .map(|golden| format!("{}.json", golden.name))
        .map(|name| {
            let digest = hex::encode(Sha256::digest(fs::read(folder().join(&name)).unwrap()));
            (name, digest)
        })
        .collect();
    assert_eq!(found, promised, "a new file is added to MANIFEST by `sha256sum`; an old one stays as it is");
}

#[test]
fn golden_files_keep_to_the_published_schema() {
    let schema = catalogue::schema();
    let refused = |event: &Value| schema::check(&schema, event).err();
    for golden in all() {
        let exported = json!({
            "aggregate_type": golden.aggregate,
            "event_type": golden.event,
            "event_version": present_version(&golden),
            "payload": expected(&golden),
            "ordinal": 1,
        });
        assert_eq!(refused(&exported), None, "{}", golden.name);
        // The schema can say no, too: to a field that is left out, and to one that is a list of lists.
        let fields = exported["payload"][&golden.event].as_object().unwrap();
        for field in fields.keys() {
            let mut without = exported.clone();
            without["payload"][&golden.event].as_object_mut().unwrap().remove(field);
            assert!(refused(&without).is_some(), "{} without {field}", golden.name);
            let mut wrong = exported.clone();
            wrong["payload"][&golden.event][field] = json!([[]]);
            assert!(refused(&wrong).is_some(), "{} with a wrong {field}", golden.name);
        }
    }
}
