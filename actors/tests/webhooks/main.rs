//! Webhooks, from a due message to a receiver on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hostile;
mod receiver;
mod retries;
mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use almanac_actors::dispatcher::{Received, WebhookSettings, verify};
use almanac_actors::trade::{Progress, Trade};
use chrono::TimeDelta;
use tokio::time::Instant;

use receiver::{Behaviour, Receiver};
use world::{World, quick, work_off};

#[tokio::test]
async fn fault_32_an_independent_library_verifies_what_a_receiver_gets() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::status("204 No Content", "")).await;
    let (endpoint, secrets) = world.endpoint(&receiver.url()).await;
    let ids = world.due(endpoint, 2).await;
    work_off(&world.dispatcher(quick())).await;

    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    let theirs = standardwebhooks::Webhook::new(&secrets.current().to_string()).unwrap();
    for request in &requests {
        theirs.verify(&request.body, &request.headers).expect("the library trusts the message");
        let mut touched = request.body.clone();
        touched[2] ^= 1;
        assert!(theirs.verify(&touched, &request.headers).is_err());
        assert_eq!((request.path.as_str(), request.header("content-type")), ("/hooks", "application/json"));
    }
    let got: BTreeSet<String> = requests.iter().map(receiver::Request::id).collect();
    assert_eq!(got, ids.iter().map(ToString::to_string).collect());
    for id in ids {
        assert_eq!(world.delivery(id).await.state, "delivered");
        let attempts = world.attempts(id).await;
        assert_eq!((attempts.len(), attempts[0].status), (1, Some(204)));
    }
}

#[tokio::test]
async fn fault_36_after_a_rotation_a_receiver_with_either_secret_trusts_the_message() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::status("200 OK", "")).await;
    let (endpoint, old) = world.endpoint(&receiver.url()).await;
    let new = world.rotate(endpoint, &old).await;
    let dispatcher = world.dispatcher(quick());
    world.due(endpoint, 1).await;
    work_off(&dispatcher).await;
    world.advance(TimeDelta::hours(25));
    world.due(endpoint, 1).await;
    work_off(&dispatcher).await;

    let trusted = |request: &receiver::Request, secret| {
        let timestamp = request.header("webhook-timestamp").parse().unwrap();
        let (id, signature) = (request.header("webhook-id"), request.header("webhook-signature"));
        let message = Received { id, timestamp, signature, body: &request.body };
        verify([secret], message, timestamp).is_ok()
    };
    let requests = receiver.requests();
    assert!(trusted(&requests[0], old.current()) && trusted(&requests[0], new.current()));
    assert!(!trusted(&requests[1], old.current()), "the old secret is out of use after a day");
    assert!(trusted(&requests[1], new.current()));
}

#[tokio::test]
async fn fault_33_a_black_hole_does_not_delay_the_others() {
    let world = World::new().await;
    let (hole, well) =
        (Receiver::start(Behaviour::BlackHole).await, Receiver::start(Behaviour::status("200 OK", "")).await);
    let (into_the_hole, _) = world.endpoint(&hole.url()).await;
    let (to_the_well, _) = world.endpoint(&well.url()).await;
    let lost = world.due(into_the_hole, 300).await;
    world.advance(TimeDelta::milliseconds(1));
    let wanted = world.due(to_the_well, 100).await;

    let total_timeout = Duration::from_secs(6);
    let dispatcher = world.dispatcher(WebhookSettings { total_timeout, ..quick() });
    let started = Instant::now();
    while well.requests().len() < wanted.len() {
        dispatcher.pass().await.unwrap();
        assert!(
            started.elapsed() < total_timeout,
            "they waited for the black hole: {}",
            dispatcher.observe()
        );
    }
    work_off(&dispatcher).await;
    for id in wanted {
        assert_eq!(world.delivery(id).await.attempts, 1);
    }
    // The hole was tried, then left alone: what waited for it went back untried, and none of it is lost.
    assert!(hole.connections() <= quick().per_endpoint, "{} connections", hole.connections());
    for id in lost {
        assert_eq!(world.delivery(id).await.state, "due");
    }
}

#[tokio::test]
async fn fault_34_what_was_under_way_when_the_dispatcher_died_arrives_with_the_same_id() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::BlackHole).await;
    let (endpoint, _) = world.endpoint(&receiver.url()).await;
    let ids = world.due(endpoint, 20).await;
    let lease = Duration::from_secs(1);
    let settings = || WebhookSettings { lease, per_endpoint: 20, ..quick() };

    let doomed = world.dispatcher(settings());
    while receiver.requests().len() < ids.len() {
        assert_eq!(doomed.pass().await.unwrap(), Progress::More);
    }
    drop(doomed);
    receiver.will(Behaviour::status("200 OK", ""));
    let successor = world.dispatcher(settings());
    let deadline = Instant::now() + Duration::from_secs(15);
    while receiver.requests().len() < 2 * ids.len() {
        successor.pass().await.unwrap();
        assert!(Instant::now() < deadline, "{} requests", receiver.requests().len());
    }
    work_off(&successor).await;
    let repeated: BTreeSet<String> = receiver.requests()[20..].iter().map(receiver::Request::id).collect();
    assert_eq!(repeated, ids.iter().map(ToString::to_string).collect());
    for id in ids {
        assert_eq!(world.delivery(id).await.state, "delivered");
    }
}
