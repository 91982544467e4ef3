//! The parts of the log that compute: what is checked before an append, the canonical form, the digest of an event,
//! the tree. `cargo bench --profile dev -p almanac-store --bench pure`.
#![allow(missing_docs, reason = "criterion's macro makes the public function")]

use std::hint::black_box;

use almanac_store::log::canonical::{canonical, check_storable};
use almanac_store::log::{EventKey, Frontier, Recorded};
use chrono::DateTime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A published prediction, the most frequent event there is.
fn payload() -> Value {
    json!({"PredictionPublished": {
        "slot": {
            "model": "us-daily", "version": 1, "model_sequence": 2, "role": {"kind": "published"},
            "round": Uuid::from_u128(1), "instrument": Uuid::from_u128(2), "as_of": "2024-01-05", "horizon": 1,
            "target": "2024-01-08", "target_closes_at": "2024-01-08T21:00:00Z",
            "next_opens_at": "2024-01-08T14:30:00Z", "mode": "simulated", "dataset": "e".repeat(64),
        },
        "forecast": {
            "close": "100.25", "expected": "0.0012345678", "scale": "0.0151234567", "probability_up": "0.53",
            "interval_80": {"low": "-0.0187654321", "high": "0.0212345678"},
            "interval_95": {"low": "-0.0337654321", "high": "0.0362345678"},
        },
        "published_at": "2024-01-05T22:00:00Z", "void_after_sessions": 3,
    }})
}

fn event() -> Recorded {
    Recorded {
        ordinal: 123_456,
        as_of: DateTime::UNIX_EPOCH,
        key: EventKey {
            aggregate_type: "prediction".to_owned(),
            aggregate_id: Uuid::from_u128(3).to_string(),
            sequence: 1,
        },
        event_type: "PredictionPublished".to_owned(),
        event_version: "1.0".to_owned(),
        payload: payload().into(),
        metadata: json!({
            "at": "2024-01-05T22:00:00.000000Z", "command_id": Uuid::from_u128(4),
            "correlation_id": Uuid::from_u128(5),
        })
        .into(),
        recorded_at: DateTime::UNIX_EPOCH,
        event_id: Uuid::from_u128(6),
        event_hash: [0; 32],
    }
}

fn pure(criterion: &mut Criterion) {
    let (payload, event) = (payload(), event());
    let form = canonical(&payload);
    let mut group = criterion.benchmark_group("log");
    group.throughput(Throughput::Bytes(form.len() as u64));
    group.bench_function("check_storable", |bencher| bencher.iter(|| check_storable(black_box(&payload))));
    group.bench_function("canonical", |bencher| bencher.iter(|| canonical(black_box(&payload))));
    group.bench_function("sha256 alone", |bencher| bencher.iter(|| Sha256::digest(black_box(&form))));
    group.bench_function("parse", |bencher| bencher.iter(|| serde_json::from_str::<Value>(black_box(&form))));
    group.throughput(Throughput::Elements(1));
    group.bench_function("event hash", |bencher| bencher.iter(|| black_box(&event).recomputed_hash()));
    group.bench_function("tree: add a leaf", |bencher| {
        let mut frontier = Frontier::default();
        bencher.iter(|| frontier.push(black_box(&event.event_hash)));
    });
    group.finish();
}

criterion_group!(benches, pure);
criterion_main!(benches);
