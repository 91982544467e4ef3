//! Outboxes: what is due is worked off by whoever comes, once at a time, and never forgotten.

use std::time::Duration;

use almanac_store::outbox::mail::{self, NewMail};
use almanac_store::outbox::webhook::{self, Attempt, NewDelivery};
use almanac_store::testing::TestDatabase;
use chrono::TimeDelta;
use serde_json::json;

use crate::counter::{an_account, noon};

const LEASE: Duration = Duration::from_secs(60);

fn new_mail(key: &str) -> NewMail {
    NewMail {
        key: key.into(),
        account: an_account(),
        kind: "round".into(),
        payload: json!({"stocks": []}),
        ordinal: 7,
        message_id: format!("<{key}@example.com>"),
        due_at: noon(),
    }
}

async fn put(database: &TestDatabase, keys: &[&str]) {
    let mut connection = database.pool().acquire().await.unwrap();
    for key in keys {
        mail::put(&mut connection, &new_mail(key)).await.unwrap();
    }
}

#[tokio::test]
async fn the_same_mail_decided_twice_is_one_mail_and_two_senders_share_the_work() {
    let database = TestDatabase::new().await;
    put(&database, &["a", "b", "c", "a"]).await;
    let early = mail::claim_due(database.pool(), noon() - TimeDelta::seconds(1), 10, LEASE).await.unwrap();
    assert_eq!(early, []);
    let first = mail::claim_due(database.pool(), noon(), 2, LEASE).await.unwrap();
    let second = mail::claim_due(database.pool(), noon(), 10, LEASE).await.unwrap();
    assert_eq!((first.len(), second.len()), (2, 1));
    for due in first.iter().chain(&second) {
        assert!(mail::sent(database.pool(), due, noon()).await.unwrap());
        assert!(!mail::sent(database.pool(), due, noon()).await.unwrap(), "it is noted once");
    }
    assert_eq!(mail::next_due(database.pool()).await.unwrap(), None);
    assert!(mail::latest(database.pool(), 9).await.unwrap().iter().all(|mail| mail.state == "sent"));
}

#[tokio::test]
async fn a_sender_whose_lease_ran_out_can_no_longer_note_anything() {
    let database = TestDatabase::new().await;
    put(&database, &["a"]).await;
    let slow = mail::claim_due(database.pool(), noon(), 1, Duration::ZERO).await.unwrap().remove(0);
    let fast = mail::claim_due(database.pool(), noon(), 1, LEASE).await.unwrap().remove(0);
    assert_eq!((slow.attempts, fast.attempts), (1, 2));
    assert!(!mail::failed(database.pool(), &slow, "too late", None).await.unwrap());
    assert!(mail::sent(database.pool(), &fast, noon()).await.unwrap());
}

#[tokio::test]
async fn a_failed_mail_is_due_again_later_or_given_up() {
    let database = TestDatabase::new().await;
    put(&database, &["a"]).await;
    let later = noon() + TimeDelta::minutes(5);
    let due = mail::claim_due(database.pool(), noon(), 1, LEASE).await.unwrap().remove(0);
    assert!(mail::failed(database.pool(), &due, "451 try later", Some(later)).await.unwrap());
    assert_eq!(mail::claim_due(database.pool(), noon(), 1, LEASE).await.unwrap(), []);
    assert_eq!(mail::next_due(database.pool()).await.unwrap(), Some(later));
    let due = mail::claim_due(database.pool(), later, 1, LEASE).await.unwrap().remove(0);
    assert!(mail::failed(database.pool(), &due, "550 no such user", None).await.unwrap());
    let state = mail::latest(database.pool(), 1).await.unwrap().remove(0);
    assert_eq!((state.state.as_str(), state.attempts), ("failed", 2));
    assert_eq!(state.last_error.as_deref(), Some("550 no such user"));
}

#[tokio::test]
async fn a_message_keeps_its_id_over_every_attempt_and_a_resend() {
    let database = TestDatabase::new().await;
    let pool = database.pool();
    let (id, endpoint) = (an_account(), an_account());
    let delivery = NewDelivery {
        id,
        key: "fanout:7:e".into(),
        endpoint,
        account: an_account(),
        ordinal: 7,
        event_type: "prediction.published".into(),
        payload: json!({"ordinal": 7}),
        due_at: noon(),
    };
    let mut connection = pool.acquire().await.unwrap();
    let again = NewDelivery { id: an_account(), ..delivery.clone() };
    webhook::put(&mut connection, &[delivery.clone(), again.clone()]).await.unwrap();
    webhook::put(&mut connection, &[again]).await.unwrap();
    drop(connection);

    let attempt = |n, error: Option<&str>| Attempt {
        n,
        at: noon(),
        status: Some(if error.is_some() { 503 } else { 204 }),
        error: error.map(str::to_owned),
        duration_ms: 12,
        response_excerpt: None,
    };
    let due = webhook::claim_due(pool, noon(), 10, LEASE).await.unwrap();
    assert_eq!(due.len(), 1);
    assert!(webhook::attempted(pool, &due[0], &attempt(1, Some("503")), Some(noon())).await.unwrap());
    let due = webhook::claim_due(pool, noon(), 10, LEASE).await.unwrap().remove(0);
    assert!(webhook::attempted(pool, &due, &attempt(2, None), None).await.unwrap());
    assert_eq!(webhook::get(pool, id).await.unwrap().unwrap().state, "delivered");
    assert!(webhook::resend(pool, id, noon()).await.unwrap());
    let again = webhook::claim_due(pool, noon(), 10, LEASE).await.unwrap().remove(0);
    assert_eq!((again.id, again.attempts), (id, 3));
    assert!(webhook::attempted(pool, &again, &attempt(3, Some("410")), None).await.unwrap());
    assert_eq!(webhook::attempts_of(pool, id).await.unwrap().len(), 3);
    assert_eq!(webhook::deliveries_of(pool, endpoint, 5).await.unwrap()[0].state, "failed");
    assert!(!webhook::resend(pool, an_account(), noon()).await.unwrap());
}
