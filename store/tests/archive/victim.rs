//! Killed with SIGKILL in the middle of an export or import: this test program, started once more.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use almanac_store::Database;
use almanac_store::archive::{Archive, Format, Progress, check_finished, export};
use almanac_store::testing::TestDatabase;

use crate::lived::{self, everything, exported, folder, imported, imported_with, wish};

/// Where the victims stop and wait for their end: within and at the end of segments.
const PLACES: [i64; 4] = [1_000, 1_500, 2_500, 3_000];

async fn kill_at(place: i64, victim: &str, url: &str, folder: &Path) {
    let reached = folder.join("reached");
    let _ = fs::remove_file(&reached);
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", victim])
        .env("ALMANAC_VICTIM_URL", url)
        .env("ALMANAC_VICTIM_PLACE", place.to_string())
        .env("ALMANAC_VICTIM_FOLDER", folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..4_000 {
        if reached.exists() {
            process.kill().unwrap();
            process.wait().unwrap();
            fs::remove_file(&reached).unwrap();
            return;
        }
        assert_eq!(process.try_wait().unwrap(), None, "the victim ended by itself");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process.kill().unwrap();
    panic!("the victim never came to its place");
}

struct Victim {
    database: Database,
    folder: std::path::PathBuf,
    place: i64,
}

impl Victim {
    async fn new() -> Self {
        let of = |name: &str| std::env::var(name).unwrap();
        Self {
            database: Database::open(&of("ALMANAC_VICTIM_URL")).await.unwrap(),
            folder: of("ALMANAC_VICTIM_FOLDER").into(),
            place: of("ALMANAC_VICTIM_PLACE").parse().unwrap(),
        }
    }

    fn wait_at_place(&self, progress: Progress) {
        if progress.done >= self.place {
            fs::write(self.folder.join("reached"), "").unwrap();
            loop {
                std::thread::park();
            }
        }
    }
}

#[tokio::test]
async fn an_export_killed_again_and_again_goes_on_and_is_the_one_that_was_never_killed() {
    let database = lived::database().await;
    let whole = folder();
    let expected = exported(&database, &whole, Format::Jsonl).await.manifest;
    let torn = folder();
    for place in PLACES {
        kill_at(place, "victim::exports", database.url(), &torn).await;
        let manifest = Archive::open(&torn).unwrap().manifest().clone();
        assert!(!manifest.complete && manifest.head.size <= place, "{}", manifest.head.size);
        // Whatever there is, is a whole export of the beginning.
        let moved = TestDatabase::new().await;
        assert_eq!(imported(&moved, &torn).await.unwrap().head.size, place / 1_500 * 1_500);
    }
    assert_eq!(exported(&database, &torn, Format::Jsonl).await.manifest, expected);
    for segment in &expected.segments {
        assert_eq!(fs::read(torn.join(&segment.file)).unwrap(), fs::read(whole.join(&segment.file)).unwrap());
    }
}

#[tokio::test]
async fn an_import_killed_again_and_again_goes_on_and_is_the_one_that_was_never_killed() {
    let database = lived::database().await;
    for format in [Format::Jsonl, Format::Parquet] {
        let export = folder();
        exported(&database, &export, format).await;
        let moved = TestDatabase::new().await;
        for place in PLACES {
            kill_at(place, "victim::imports", moved.url(), &export).await;
            assert!(check_finished(&moved).await.is_err(), "nobody may work on half a log");
        }
        let rest = imported(&moved, &export).await.unwrap();
        assert!((1..1_000).contains(&rest.events), "it went on where it was killed: {}", rest.events);
        assert_eq!(everything(&moved).await, everything(&database).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it is started by the test that kills it"]
async fn exports() {
    let victim = Victim::new().await;
    let wish = wish(Format::Jsonl);
    export(&victim.database, &victim.folder, &wish, &mut |progress| victim.wait_at_place(progress))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it is started by the test that kills it"]
async fn imports() {
    let victim = Victim::new().await;
    imported_with(&victim.database, &victim.folder, &mut |progress| victim.wait_at_place(progress))
        .await
        .unwrap();
}
