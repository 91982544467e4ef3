//! How fast verification and proofs are, printed:
//! `cargo nextest run -p almanac-store --run-ignored only --no-capture speed_of_verification`.

use std::hint::black_box;
use std::time::Instant;

use almanac_store::log::LogReader;
use almanac_store::testing::TestDatabase;
use almanac_store::transparency::LogTree;
use sha2::{Digest, Sha256};

use crate::world::verified;

const EVENTS: i64 = 200_000;

fn rate(count: usize, began: Instant) -> String {
    format!("{:.0}/s", count as f64 / began.elapsed().as_secs_f64())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, and needs the machine for itself"]
async fn speed_of_verification_and_proofs() {
    let database = TestDatabase::new().await;
    sqlx::query(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         select 'prediction', gen_random_uuid()::text, 1, 'PredictionPublished', '1.0',
                jsonb_build_object('slot', jsonb_build_object('model', 'us-daily', 'version', 3, 'instrument', gen_random_uuid()::text),
                                   'quantiles', jsonb_build_array('-0.0213', '-0.0101', '0.0007', '0.0113', '0.0241'),
                                   'filling', repeat('x', 400)),
                jsonb_build_object('at', '2024-01-02T03:04:05.000006Z', 'command_id', gen_random_uuid()::text)
           from generate_series(1, $1)",
    )
    .bind(EVENTS)
    .execute(database.pool())
    .await
    .unwrap();
    database.seal().await;

    let events = LogReader::new(&database).after(0, 20_000).await.unwrap();
    let began = Instant::now();
    for event in &events {
        black_box(event.recomputed_hash());
    }
    println!("canonical form and digest, one core: {}", rate(events.len(), began));
    let texts: Vec<String> =
        events.iter().map(|event| event.payload.to_string() + &event.metadata.to_string()).collect();
    let bytes: usize = texts.iter().map(String::len).sum();
    let began = Instant::now();
    for text in &texts {
        black_box(Sha256::digest(text));
    }
    println!("SHA-256 alone over {} bytes each, one core: {}", bytes / texts.len(), rate(texts.len(), began));

    let began = Instant::now();
    assert!(verified(&database).await.is_sound());
    println!("verification of the database: {}", rate(EVENTS as usize, began));

    let tree = LogTree::new(&database);
    let began = Instant::now();
    while tree.fill().await.unwrap() > 0 {}
    println!("filling tiles: {} events", rate(EVENTS as usize, began));
    let began = Instant::now();
    for n in 0..200 {
        black_box(tree.inclusion(1 + n * 997, EVENTS - n).await.unwrap().unwrap());
    }
    println!("inclusion proofs: {}", rate(200, began));
    let began = Instant::now();
    for n in 0..200 {
        black_box(tree.consistency(1 + n * 997, EVENTS - n).await.unwrap().unwrap());
    }
    println!("consistency proofs: {}", rate(200, began));
}
