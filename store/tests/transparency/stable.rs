//! What must not disturb the digests: any text and number, a dump and its restoring, and erasing what is personal.

use std::process::Command as Process;

use almanac_domain::account::{Account, AccountCommand};
use almanac_store::Database;
use almanac_store::clock::Entropy;
use almanac_store::log::{Extras, LogReader};
use almanac_store::postgres::Programs;
use almanac_store::testing::{ScratchFolder, TestDatabase};
use almanac_store::transparency::verify::Flaw;
use almanac_store::vault::{self, VaultRow};
use serde_json::json;
use sqlx::Executor;

use crate::counter::{Command, Counter, an_account, bus, issued};
use crate::world::{bad, publish, verified, verified_with};

/// Dumps `from` and restores it over the empty database `to`.
async fn move_to(from: &TestDatabase, to: &TestDatabase) {
    for statement in ["drop schema public cascade", "drop schema read cascade", "create schema public"] {
        to.pool().execute(statement).await.unwrap();
    }
    let programs = Programs::find(None).unwrap().folder;
    let dump = Process::new(programs.join("pg_dump")).arg(from.url()).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let folder = ScratchFolder::new();
    let file = folder.join("dump.sql");
    let script = String::from_utf8(dump.stdout).unwrap().replace("CREATE SCHEMA public;", "");
    std::fs::write(&file, script).unwrap();
    let restored = Process::new(programs.join("psql"))
        .args(["--quiet", "--set=ON_ERROR_STOP=1", "--dbname", to.url(), "--file"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
}

/// Printed, so that a run can be repeated.
fn told_seed() -> u64 {
    let told = std::env::var("ALMANAC_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = told.unwrap_or_else(|| u64::from_le_bytes(Entropy::system().bytes::<8>()));
    println!("ALMANAC_TEST_SEED={seed}");
    seed
}

/// Any characters but U+0000, which is refused: mostly the troublesome ones of the lower planes.
fn any_text(chance: &Entropy) -> String {
    let length = chance.below(24);
    let ends = [0x80, 0x3000, 0x1_0000, 0x11_0000];
    let characters = (0..length).map(|_| {
        let end = ends[chance.below(ends.len() as u64) as usize];
        char::from_u32(1 + chance.below(end - 1) as u32).unwrap_or('\u{fffd}')
    });
    characters.collect()
}

#[tokio::test]
async fn fault_14_any_text_and_any_safe_integer_is_hashed_stably_across_dump_and_restore() {
    let (old, new) = (TestDatabase::new().await, TestDatabase::new().await);
    let bus = bus(&old);
    for text in [
        "",
        "€ \u{10ffff} \u{1f600} \u{fb33}",
        "\u{1}\u{1f}\u{7f}\u{80}\u{2028}",
        "e\u{301} \u{e9} \u{212b}",
        "\\u0000 \\ \" / \r\n\t\u{8}\u{c}",
        "\u{feff}\u{200f}\u{fffd}\u{ffff}",
    ] {
        bus.execute::<Counter>("a", Command::Say(text.into()), &issued()).await.unwrap();
    }
    // And whatever chance comes up with, in streams that stay short.
    let cases = std::env::var("ALMANAC_TEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let chance = Entropy::seeded(told_seed());
    for case in 0..cases {
        let (text, by) = (any_text(&chance), chance.below(1 << 53) as i64);
        bus.execute::<Counter>(&format!("t{}", case / 20), Command::Say(text), &issued()).await.unwrap();
        bus.execute::<Counter>(&format!("c{case}"), Command::Count { by: -by }, &issued()).await.unwrap();
    }
    for by in [-((1 << 53) - 1), -1, 0] {
        bus.execute::<Counter>(&format!("n{by}"), Command::Count { by }, &issued()).await.unwrap();
    }
    old.seal().await;
    let kept = publish(&old).await;
    let before = verified(&old).await;
    move_to(&old, &new).await;
    let after = verified_with(&new, &[&kept]).await;
    assert!(before.is_sound() && after.is_sound(), "{before:?} {after:?}");
    assert_eq!(after.root, before.root);
}

async fn put_past_the_bus(database: &Database, payload: &str) {
    sqlx::query(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         values ('counter', 'raw', 1, 'Counted', '1.0', $1::jsonb, '{}')",
    )
    .bind(payload)
    .execute(database.pool())
    .await
    .unwrap();
}

#[tokio::test]
async fn fault_14_of_duplicate_keys_one_is_left_and_is_hashed_stably() {
    let database = TestDatabase::new().await;
    put_past_the_bus(&database, r#"{"b": 1, "a": 1, "a": 2, "\u0061": 3}"#).await;
    database.seal().await;
    let event = LogReader::new(&database).at_ordinal(1).await.unwrap().unwrap();
    assert_eq!(event.payload, json!({"a": 3, "b": 1}));
    assert!(verified(&database).await.is_sound());
}

#[tokio::test]
async fn fault_14_a_number_that_came_past_the_bus_and_has_several_readings_is_told() {
    for number in ["1.5", "1e300", "9007199254740992", "-9007199254740992", "18446744073709551615", "1e-7"] {
        let database = TestDatabase::new().await;
        put_past_the_bus(&database, &format!("{{\"a\": [{number}]}}")).await;
        database.seal().await;
        assert_eq!(verified(&database).await.first_bad, Some(bad(1, Flaw::Ambiguous)), "{number}");
    }
}

#[tokio::test]
async fn fault_53_a_log_verifies_after_an_account_was_erased() {
    let database = TestDatabase::new().await;
    let (bus, account) = (bus(&database), an_account());
    let (stream, address) = (account.to_string(), "ada@example.com");
    let row = VaultRow { id: an_account(), owner: account, kind: "email".into(), value: address.into() };
    let extras = Extras::none().take_claim("email", address, account).put_vault(row);
    bus.execute_with::<Account>(&stream, AccountCommand::OpenAccount, &issued(), extras).await.unwrap();
    database.seal().await;
    let kept = publish(&database).await;

    let forget = Extras::erasing(account);
    bus.execute_with::<Account>(&stream, AccountCommand::Erase, &issued(), forget).await.unwrap();
    database.seal().await;
    publish(&database).await;
    assert_eq!(vault::of_owner(database.pool(), account, "email").await.unwrap(), []);
    let report = verified_with(&database, &[&kept]).await;
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.events, report.checkpoints.checked), (2, 3));
    let events = LogReader::new(&database).stream("account", &stream).await.unwrap();
    assert!(events.iter().all(|event| !format!("{event:?}").contains(address)));
}
