//! Clocks that jump: the order of the log and the leases do not go by them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use almanac_domain::clock::Clock;
use almanac_store::clock::Entropy;
use almanac_store::leases;
use almanac_store::log::{CommandBus, LogReader, Until, wait_for};
use almanac_store::outbox::mail::{self, NewMail};
use almanac_store::testing::TestDatabase;
use chrono::{DateTime, TimeDelta, Utc};

use crate::counter::{Command, Counter, an_account, issued, noon, sealed, totals};

const LEASE: Duration = Duration::from_secs(60);

/// A machine's clock that somebody sets, also back.
#[derive(Debug)]
struct Jumping(Mutex<DateTime<Utc>>);

impl Clock for Jumping {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

#[tokio::test]
async fn fault_21_a_clock_that_jumps_an_hour_both_ways_changes_neither_the_order_nor_who_has_a_lease() {
    let database = TestDatabase::new().await;
    let clock = Arc::new(Jumping(Mutex::new(noon())));
    let bus = CommandBus::new(database.database().clone(), clock.clone(), Entropy::system());
    let totals = totals(&database).await;
    let (holder, other) = (an_account(), an_account());
    let held = leases::take(database.pool(), "work", holder, LEASE).await.unwrap().expect("it is free");
    let mut connection = database.pool().acquire().await.unwrap();
    let new = NewMail {
        key: "a".into(),
        account: an_account(),
        kind: "round".into(),
        payload: serde_json::json!({}),
        ordinal: 1,
        message_id: "<a@example.com>".into(),
        due_at: noon() - TimeDelta::hours(2),
    };
    mail::put(&mut connection, &new).await.unwrap();
    let claimed = mail::claim_due(database.pool(), clock.now(), 9, LEASE).await.unwrap().remove(0);

    for (event, jump) in [0, 60, -60, 0, 60, -60].into_iter().enumerate() {
        *clock.0.lock().unwrap() = noon() + TimeDelta::minutes(jump);
        let done = bus.execute::<Counter>("a", Command::Count { by: 1 }, &issued()).await.unwrap();
        let sealed = database.seal().await;
        assert_eq!(sealed, event as i64 + 1, "what is committed is sealed at once");
        totals.run_until(sealed).await.unwrap();
        let key = done.last().unwrap();
        assert!(wait_for(&database, Until::Event(key), "totals", Duration::from_secs(5)).await.unwrap());
        assert_eq!(
            leases::take(database.pool(), "work", other, LEASE).await.unwrap(),
            None,
            "{jump} minutes"
        );
        assert!(leases::renew(database.pool(), &held, LEASE).await.unwrap(), "{jump} minutes");
        let due = mail::claim_due(database.pool(), clock.now(), 9, LEASE).await.unwrap();
        assert_eq!(due, [], "{jump} minutes: somebody has the mail in hand");
    }
    let expected: Vec<_> = (1..=6).map(|sequence| ("a".to_owned(), sequence)).collect();
    assert_eq!(sealed(&database).await, expected);
    let events = LogReader::new(&database).after(0, 9).await.unwrap();
    assert!(events.is_sorted_by_key(|event| event.as_of), "what is known once stays known");
    assert!(mail::sent(database.pool(), &claimed, clock.now()).await.unwrap());
}
