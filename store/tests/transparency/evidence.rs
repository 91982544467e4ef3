//! Evidence that somebody carries away.

use almanac_store::testing::TestDatabase;
use almanac_store::transparency::{Evidence, EvidenceRefused, NoEvidence, SigningKey};
use serde_json::json;

use crate::world::{append, key, publish};

async fn evidence() -> Evidence {
    let database = TestDatabase::new().await;
    append(&database, 300).await;
    database.seal().await;
    publish(&database).await;
    // Of another event of the stream the published head knows nothing.
    append(&database, 7).await;
    database.seal().await;
    Evidence::of(&database, "counter", "s3").await.unwrap()
}

#[tokio::test]
async fn evidence_is_verified_without_a_database_after_it_went_through_json() {
    let evidence = evidence().await;
    let text = serde_json::to_string(&evidence).unwrap();
    let read: Evidence = serde_json::from_str(&text).unwrap();
    assert_eq!(read, evidence);
    let proven = read.verify(Some(key().verifier())).unwrap();
    assert_eq!((proven.events, proven.head.size, proven.key_is_trusted), (43, 300, true));
    assert!(!read.verify(None).unwrap().key_is_trusted);
    let recorded_at = serde_json::to_value(&read).unwrap()["events"][0]["recorded_at"].clone();
    assert_eq!(recorded_at.as_str().unwrap().len(), "2024-01-02T03:04:05.000006Z".len(), "six digits always");
}

#[tokio::test]
async fn forged_evidence_is_refused_whatever_was_changed() {
    let evidence = evidence().await;
    let good = serde_json::to_value(&evidence).unwrap();
    for (place, forged) in [
        ("/events/4/payload/Said/text", json!("number 32")),
        ("/events/4/payload/Said/more", json!(1)),
        ("/events/4/metadata/at", json!("2024-01-01T00:00:00Z")),
        ("/events/4/event_type", json!("Sang")),
        ("/events/4/event_version", json!("1.1")),
        ("/events/4/recorded_at", json!("2024-01-01T00:00:00Z")),
        ("/events/4/event_id", json!("00000000-0000-0000-0000-000000000000")),
        ("/events/4/hash", json!("00".repeat(32))),
        ("/events/4/ordinal", json!(33)),
        ("/events/4/inclusion/0", json!("00".repeat(32))),
        ("/events/4/inclusion", json!([])),
        ("/checkpoint", json!("example.org\n300\nAAAA\n\n\u{2014} example.org AAAAAAA=\n")),
        ("/version", json!(2)),
    ] {
        let mut value = good.clone();
        match (place.rsplit_once('/').unwrap(), value.pointer_mut(place)) {
            (_, Some(there)) => *there = forged,
            ((parent, name), None) => value.pointer_mut(parent).unwrap()[name] = forged,
        }
        let read: Evidence = serde_json::from_value(value).unwrap();
        assert!(read.verify(Some(key().verifier())).is_err(), "{place}");
    }
}

#[tokio::test]
async fn evidence_that_leaves_an_event_out_or_orders_them_anew_is_refused() {
    let evidence = evidence().await;
    let mut without_first = evidence.clone();
    without_first.events.remove(0);
    let mut without_middle = evidence.clone();
    without_middle.events.remove(5);
    let mut reordered = evidence.clone();
    reordered.events.swap(1, 2);
    let empty = Evidence { events: vec![], ..evidence };
    for forged in [without_first, without_middle, reordered, empty] {
        assert!(matches!(forged.verify(None), Err(EvidenceRefused::Stream)));
    }
}

#[tokio::test]
async fn fault_13_evidence_under_a_key_of_the_forger_is_refused_by_who_knows_the_key() {
    let database = TestDatabase::new().await;
    append(&database, 10).await;
    database.seal().await;
    publish(&database).await;
    let mut evidence = Evidence::of(&database, "counter", "s3").await.unwrap();
    let forger = SigningKey::from_seed("example.org", [1; 32]).unwrap();
    let head = almanac_store::transparency::TreeHead::open(&evidence.checkpoint, key().verifier()).unwrap();
    evidence.checkpoint = head.signed(&forger).unwrap();
    evidence.verifier_key = forger.verifier().clone();
    assert!(evidence.verify(None).is_ok(), "it agrees with itself");
    let refused = evidence.verify(Some(key().verifier()));
    assert!(matches!(refused, Err(EvidenceRefused::OtherLog { .. })), "{refused:?}");
}

#[tokio::test]
async fn there_is_no_evidence_before_a_head_is_published_or_of_what_is_not_there() {
    let database = TestDatabase::new().await;
    append(&database, 3).await;
    database.seal().await;
    let early = Evidence::of(&database, "counter", "s1").await;
    assert!(matches!(early, Err(NoEvidence::NotYet)), "{early:?}");
    publish(&database).await;
    append(&database, 7).await;
    database.seal().await;
    let uncovered = Evidence::of(&database, "counter", "s5").await;
    assert!(matches!(uncovered, Err(NoEvidence::NotYet)), "{uncovered:?}");
    let absent = Evidence::of(&database, "counter", "nobody").await;
    assert!(matches!(absent, Err(NoEvidence::Absent)), "{absent:?}");
}
