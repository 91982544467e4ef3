//! Receivers and names that mean harm.

use std::sync::Arc;
use std::time::Duration;

use almanac_actors::dispatcher::{Reach, WebhookSettings};
use tokio::time::Instant;

use crate::receiver::{Behaviour, Receiver};
use crate::world::{NameServer, World, quick, work_off};

fn public() -> WebhookSettings {
    WebhookSettings { reach: Reach::PublicHttps, ..quick() }
}

#[tokio::test]
async fn fault_39_a_url_that_leads_inside_is_not_called_although_it_is_stored() {
    let world = World::new().await;
    let inside = Receiver::start(Behaviour::status("200 OK", "")).await;
    let port = inside.port;
    for url in [
        inside.url(),
        format!("https://127.0.0.1:{port}/"),
        format!("https://localhost:{port}/"),
        format!("https://2130706433:{port}/"),
        format!("https://0x7f000001:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
    ] {
        let (endpoint, _) = world.endpoint(&url).await;
        let id = world.due(endpoint, 1).await[0];
        work_off(&world.dispatcher(public())).await;
        let delivery = world.delivery(id).await;
        assert_eq!(delivery.state, "failed", "{url}");
        assert_eq!(delivery.last_error.as_deref(), Some("the URL of the endpoint may not be called"));
    }
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn fault_39_a_name_is_connected_to_only_where_all_its_addresses_are_public() {
    let world = World::new().await;
    let inside = Receiver::start(Behaviour::Mute).await;
    let names = NameServer::of(&[
        ("private.example", &["127.0.0.1"]),
        ("metadata.example", &["169.254.169.254"]),
        ("mixed.example", &["93.184.215.14", "127.0.0.1"]),
        ("mixed-six.example", &["2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:127.0.0.1"]),
        ("translated.example", &["64:ff9b::7f00:1"]),
    ]);
    for name in ["private", "metadata", "mixed", "mixed-six", "translated"] {
        let (endpoint, _) = world.endpoint(&format!("https://{name}.example:{}/", inside.port)).await;
        let id = world.due(endpoint, 1).await[0];
        let resolver = Arc::clone(&names) as _;
        work_off(&world.dispatcher_asking(resolver, public())).await;
        let error = world.delivery(id).await.last_error.unwrap();
        assert!(error.contains("is not public"), "{name}: {error}");
        assert!(!error.contains("example"), "the URL stays in the vault: {error}");
    }
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn fault_40_a_hostile_answer_costs_no_more_than_the_limits() {
    let total_timeout = Duration::from_secs(2);
    let bomb = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 100000\r\nconnection: close\r\n\r\n{}",
        "\0".repeat(100_000)
    );
    for (behaviour, state, status) in [
        (Behaviour::SlowLoris, "due", None),
        (Behaviour::BlackHole, "due", None),
        (Behaviour::Headers(100_000), "due", None),
        (Behaviour::EndlessBody, "delivered", Some(200)),
        (Behaviour::Answer(bomb), "delivered", Some(200)),
        (Behaviour::Answer("not HTTP at all\r\n\r\n".to_owned()), "due", None),
        (Behaviour::Answer(String::new()), "due", None),
    ] {
        let world = World::new().await;
        let receiver = Receiver::start(behaviour.clone()).await;
        let (endpoint, _) = world.endpoint(&receiver.url()).await;
        let id = world.due(endpoint, 1).await[0];
        let started = Instant::now();
        work_off(&world.dispatcher(WebhookSettings { total_timeout, ..quick() })).await;
        assert!(started.elapsed() < total_timeout + Duration::from_secs(3), "{behaviour:?}");
        assert_eq!(world.delivery(id).await.state, state, "{behaviour:?}");
        let attempts = world.attempts(id).await;
        assert_eq!((attempts.len(), attempts[0].status), (1, status), "{behaviour:?}: {attempts:?}");
        let excerpt = attempts[0].response_excerpt.clone().unwrap_or_default();
        assert!(excerpt.chars().count() <= 1024, "{behaviour:?}: {} characters", excerpt.chars().count());
    }
}

#[tokio::test]
async fn fault_40_a_handshake_that_never_ends_is_broken_off() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::Mute).await;
    let (endpoint, _) = world.endpoint(&format!("https://127.0.0.1:{}/", receiver.port)).await;
    let id = world.due(endpoint, 1).await[0];
    let started = Instant::now();
    work_off(&world.dispatcher(quick())).await;
    assert!(started.elapsed() < Duration::from_secs(5));
    let delivery = world.delivery(id).await;
    assert_eq!(delivery.state, "due");
    assert!(delivery.last_error.unwrap().contains("no answer in time"));
    assert_eq!(receiver.connections(), 1);
}
