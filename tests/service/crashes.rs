//! Killed at any instant, started again: nothing is lost and nothing is there twice.

use std::collections::{BTreeMap, BTreeSet};

use almanac_tests::{Folder, Person, eventually};
use serde_json::Value;

use super::demo::{QUICK, demo_in};

/// So many times the demo is killed; the moments are spread over its work by a fixed sequence.
const KILLS: u64 = 5;

async fn every_event(admin: &Person) -> Vec<Value> {
    let (mut events, mut cursor) = (vec![], String::new());
    loop {
        let page = admin.get(&format!("/admin/events?limit=500{cursor}")).await;
        events.extend(page["items"].as_array().expect("events").iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return events,
        }
    }
}

#[tokio::test]
async fn fault_30_the_demo_killed_again_and_again_goes_on_without_loss_or_doubling() {
    let folder = Folder::new("killed");
    for kill in 0..KILLS {
        let almanac = demo_in(&folder, QUICK, &[]);
        let reader = Person::at(&almanac.address);
        // Between 40 and 1,000 ms after the next event: within ingesting, publishing, mailing or scoring.
        let head = reader.get("/status").await["head"].as_i64().unwrap_or(0);
        eventually("another event", || async {
            (reader.get("/status").await["head"].as_i64()? > head).then_some(())
        })
        .await;
        tokio::time::sleep(std::time::Duration::from_millis(40 + 240 * kill)).await;
        almanac.kill();
    }

    let almanac = demo_in(&folder, QUICK, &[]);
    let admin = Person::at(&almanac.address);
    let (email, password) = almanac.administrator();
    admin.sign_in(email, password).await;
    let head = admin.get("/status").await["head"].as_i64().expect("a head");
    eventually("three more rounds", || async {
        (admin.get("/status").await["head"].as_i64()? > head + 60).then_some(())
    })
    .await;

    let events = every_event(&admin).await;
    let ordinals: BTreeSet<i64> = events.iter().filter_map(|event| event["ordinal"].as_i64()).collect();
    assert_eq!(ordinals.len(), events.len(), "no ordinal twice");
    assert_eq!(ordinals.first(), Some(&1));
    assert_eq!(ordinals.last().copied(), Some(ordinals.len() as i64), "no gap");

    let mut streams: BTreeMap<(String, String), i64> = BTreeMap::new();
    let (mut slots, mut scored) = (BTreeSet::new(), BTreeSet::new());
    let mut in_order = events.clone();
    in_order.sort_by_key(|event| event["ordinal"].as_i64());
    for event in &in_order {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let stream = (text("aggregate_type"), text("aggregate_id"));
        let last = streams.entry(stream).or_default();
        *last += 1;
        assert_eq!(event["sequence"].as_i64(), Some(*last), "a stream keeps its order: {event}");
        match text("event_type").as_str() {
            "PredictionPublished" => {
                let slot = &event["payload"]["PredictionPublished"]["slot"];
                let slot = format!("{} {} {}", slot["instrument"], slot["as_of"], slot["horizon"]);
                assert!(slots.insert(slot), "a slot is published once: {event}");
            }
            "PredictionScored" => assert!(scored.insert(text("aggregate_id")), "a score is never repeated"),
            _other => {}
        }
    }
    assert!(slots.len() > 16, "the demo went on: {} slots", slots.len());

    let rounds = in_order.iter().filter(|event| event["event_type"] == "RoundCompleted").count();
    let sessions: BTreeSet<_> = in_order
        .iter()
        .filter(|event| event["event_type"] == "RoundOpened")
        .map(|event| event["payload"]["RoundOpened"]["session"].to_string())
        .collect();
    assert!(sessions.len() - rounds <= 1, "{rounds} of {} rounds are complete", sessions.len());
    let user = Person::at(&almanac.address);
    let (email, password) = &almanac.sign_ins[0];
    user.sign_in(email, password).await;
    let mails = user.get("/mails?limit=500").await["items"].as_array().expect("mails").clone();
    let ids: BTreeSet<_> = mails.iter().map(|mail| mail["id"].to_string()).collect();
    assert_eq!(ids.len(), mails.len(), "no mail is there twice");
    let mailed: BTreeSet<_> = mails.iter().map(|mail| mail["session"].to_string()).collect();
    assert_eq!(mailed.len(), mails.len(), "one mail a session");
}

#[tokio::test]
async fn the_demo_asked_to_stop_ends_well_and_starts_again_with_the_same_sign_ins() {
    let folder = Folder::new("stopped");
    let almanac = demo_in(&folder, QUICK, &[]);
    let before = almanac.sign_ins.clone();
    assert!(almanac.stop(), "it ends with success");
    let again = demo_in(&folder, QUICK, &[]);
    assert_eq!(again.sign_ins, before);
}
