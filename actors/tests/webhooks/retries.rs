//! When a message is tried again, when later, and when never.

use std::time::{Duration, Instant};

use almanac_actors::dispatcher::WebhookSettings;
use almanac_actors::trade::Trade;
use almanac_store::outbox::webhook as outbox;
use chrono::TimeDelta;

use crate::receiver::{Behaviour, Receiver};
use crate::world::{World, quick, work_off};

#[tokio::test]
async fn fault_35_a_message_is_tried_ten_times_at_growing_distances_and_can_be_sent_again_by_hand() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::status("500 Internal Server Error", "")).await;
    let (endpoint, _) = world.endpoint(&receiver.url()).await;
    let id = world.due(endpoint, 1).await[0];
    let dispatcher = world.dispatcher(quick());
    let mut waits = Vec::new();
    loop {
        work_off(&dispatcher).await;
        let delivery = world.delivery(id).await;
        if delivery.state == "failed" {
            break;
        }
        waits.push((delivery.next_attempt_at - world.now()).num_seconds());
        world.advance(delivery.next_attempt_at - world.now() - TimeDelta::milliseconds(1));
        let sent = receiver.requests().len();
        work_off(&dispatcher).await;
        assert_eq!(receiver.requests().len(), sent, "not before its time");
        world.advance(TimeDelta::milliseconds(1));
    }
    let schedule = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
    assert_eq!(waits.len(), schedule.len());
    for (wait, least) in waits.into_iter().zip(schedule) {
        assert!((least..=least * 6 / 5).contains(&wait), "{wait} s instead of {least} s");
    }
    let attempts = world.attempts(id).await;
    assert_eq!(attempts.len(), 10);
    assert_eq!(attempts[9].response_excerpt.as_deref(), Some("noted"));
    assert!(receiver.requests().iter().all(|request| request.id() == id.to_string()));

    receiver.will(Behaviour::status("200 OK", ""));
    outbox::resend(world.database.pool(), id, world.now()).await.unwrap();
    work_off(&dispatcher).await;
    assert_eq!(world.delivery(id).await.state, "delivered");
    assert_eq!(receiver.requests().last().unwrap().id(), id.to_string());
}

#[tokio::test]
async fn what_waits_behind_a_slow_receiver_stays_claimed_and_after_a_kill_comes_back_within_one_lease() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::BlackHole).await;
    let (endpoint, _) = world.endpoint(&receiver.url()).await;
    let ids = world.due(endpoint, 3).await;
    let lease = Duration::from_secs(1);
    let slow = WebhookSettings { lease, per_endpoint: 1, total_timeout: Duration::from_secs(60), ..quick() };
    let (dispatcher, other) = (world.dispatcher(slow.clone()), world.dispatcher(slow.clone()));
    dispatcher.pass().await.unwrap();
    let claimed = Instant::now();
    // Until long after the leases they were claimed with have run out.
    while claimed.elapsed() < lease * 3 {
        dispatcher.pass().await.unwrap();
        other.pass().await.unwrap();
    }
    for id in &ids {
        assert_eq!(world.delivery(*id).await.attempts, 1, "nobody else has claimed it");
    }
    // As after a kill: nobody shows any more that they are not forgotten.
    drop(dispatcher);
    receiver.will(Behaviour::status("200 OK", ""));
    while world.delivery(ids[2]).await.state != "delivered" {
        other.pass().await.unwrap();
    }
    work_off(&other).await;
    for id in ids {
        let delivery = world.delivery(id).await;
        assert_eq!((delivery.state.as_str(), delivery.attempts), ("delivered", 2));
    }
}

#[tokio::test]
async fn fault_35_a_receiver_that_asks_for_a_pause_gets_it() {
    let noon = "Mon, 04 Mar 2024 12:00:00 GMT";
    for (asked, least, most) in [
        ("retry-after: 120\r\n", 120, 120),
        ("retry-after: Mon, 04 Mar 2024 12:10:00 GMT\r\n", 600, 600),
        ("retry-after: 99999999999999999999\r\n", 86_400, 86_400),
        ("retry-after: -5\r\n", 5, 6),
        ("retry-after: soon\r\n", 5, 6),
        ("retry-after: 1\r\n", 5, 6),
        ("", 5, 6),
    ] {
        let world = World::new().await;
        let receiver = Receiver::start(Behaviour::status("503 Service Unavailable", asked)).await;
        let (endpoint, _) = world.endpoint(&receiver.url()).await;
        let id = world.due(endpoint, 1).await[0];
        work_off(&world.dispatcher(quick())).await;
        let wait = (world.delivery(id).await.next_attempt_at - world.now()).num_seconds();
        assert!((least..=most).contains(&wait), "{asked:?} at {noon}: {wait} s");
    }
}

#[tokio::test]
async fn fault_35_an_overloaded_receiver_is_not_sent_the_rest() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let world = World::new().await;
        let receiver = Receiver::start(Behaviour::status(status, "retry-after: 60\r\n")).await;
        let (endpoint, _) = world.endpoint(&receiver.url()).await;
        let ids = world.due(endpoint, 50).await;
        let dispatcher = world.dispatcher(quick());
        work_off(&dispatcher).await;
        assert!(receiver.requests().len() <= quick().per_endpoint, "{} requests", receiver.requests().len());

        receiver.will(Behaviour::status("200 OK", ""));
        for _ in 0..20 {
            world.advance(TimeDelta::seconds(61));
            work_off(&dispatcher).await;
        }
        for id in ids {
            assert_eq!(world.delivery(id).await.state, "delivered");
        }
    }
}

#[tokio::test]
async fn fault_35_redirects_are_not_followed() {
    let world = World::new().await;
    let elsewhere = Receiver::start(Behaviour::status("200 OK", "")).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("location: {}\r\n", elsewhere.url());
        let receiver = Receiver::start(Behaviour::status(status, &location)).await;
        let (endpoint, _) = world.endpoint(&receiver.url()).await;
        let id = world.due(endpoint, 1).await[0];
        work_off(&world.dispatcher(quick())).await;
        let delivery = world.delivery(id).await;
        assert_eq!(delivery.state, "due");
        assert!(delivery.last_error.unwrap().contains("redirects are not followed"));
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn fault_35_an_endpoint_that_is_gone_is_disabled_and_not_called_again() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::status("410 Gone", "")).await;
    let (endpoint, _) = world.endpoint(&receiver.url()).await;
    let first = world.due(endpoint, 1).await[0];
    let dispatcher = world.dispatcher(quick());
    work_off(&dispatcher).await;
    assert!(!world.is_enabled(endpoint).await);
    assert_eq!(world.delivery(first).await.state, "failed");

    world.project().await;
    let second = world.due(endpoint, 1).await[0];
    work_off(&dispatcher).await;
    let refused = world.delivery(second).await;
    assert_eq!(
        (refused.state.as_str(), refused.last_error.as_deref()),
        ("failed", Some("the endpoint is disabled"))
    );
    assert_eq!(receiver.requests().len(), 1);
}
