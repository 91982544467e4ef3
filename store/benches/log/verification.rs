//! Verifying the whole log as `almanac verify` does, and its parts one after the other on one core.

use std::hint::black_box;
use std::time::{Duration, Instant};

use almanac_store::Database;
use almanac_store::log::canonical::canonical;
use almanac_store::log::{Frontier, LogReader, Recorded, Sequencer};
use almanac_store::transparency::verify::{self, Given};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::cpu::Used;
use crate::sealing::fill;
use crate::table::{Goal, Table, median};

const AT_ONCE: i64 = 2_000;

/// Looking at the parts of so many events tells enough.
const ENOUGH: i64 = 100_000;

const TURNS: usize = 3;

pub async fn measure(database: &Database, table: &mut Table) {
    let mut sequencer = Sequencer::seize(database).await.unwrap();
    let mut head = sequencer.seal_all().await.unwrap();
    if head < ENOUGH {
        fill(database).await;
        head = sequencer.seal_all().await.unwrap();
    }
    whole(database, head, table).await;
    parts(database, head.min(ENOUGH), table).await;
}

/// By the wall's clock both cores and the server count, by the processor's only this process.
async fn whole(database: &Database, head: i64, table: &mut Table) {
    let (mut wall, mut client, mut server) = (vec![], vec![], vec![]);
    for _ in 0..TURNS {
        let (before, began) = (Used::now(database.pool()).await, Instant::now());
        let report = verify::database(database, Given::default(), |_| {}).await.unwrap();
        wall.push(head as f64 / began.elapsed().as_secs_f64());
        assert!(report.is_sound(), "{report:?}");
        let used = Used::now(database.pool()).await.since(before, head as usize);
        client.push(used.clients);
        server.push(used.server);
    }
    let (client, server) = (median(client), median(server));
    let a_core = 1e6 / client.max(f64::EPSILON);
    table.row(
        &format!("verifying {head} events as `almanac verify` does: events/s for each core it uses itself"),
        format!("{a_core:.0} events/s a core, {:.0} by the clock", median(wall)),
        format!("processor {client:.1}+{server:.1} us"),
        Goal::AtLeast { value: a_core / 150_000.0, bound: 1.0 },
    );
}

async fn parts(database: &Database, head: i64, table: &mut Table) {
    let reader = LogReader::new(database);
    let (mut frontier, mut ordinal, mut bytes) = (Frontier::default(), 0, 0);
    let (mut reading, mut verifying, mut hashing) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    while ordinal < head {
        let asked = Instant::now();
        let events = reader.after(ordinal, AT_ONCE.min(head - ordinal)).await.unwrap();
        reading += asked.elapsed();
        let verified = Instant::now();
        for event in &events {
            let hash = event.recomputed_hash();
            assert_eq!(hash, event.event_hash, "event {} is what was sealed", event.ordinal);
            frontier.push(&hash);
        }
        verifying += verified.elapsed();
        let forms: Vec<String> = events.iter().map(form).collect();
        bytes += forms.iter().map(String::len).sum::<usize>();
        let hashed = Instant::now();
        for form in &forms {
            black_box(Sha256::digest(form));
        }
        hashing += hashed.elapsed();
        ordinal += events.len() as i64;
    }
    black_box(frontier.root());
    let rate = |time: Duration| format!("{:.0} events/s", head as f64 / time.as_secs_f64());
    table.row(
        &format!(
            "digests and tree of {head} events read before, {} bytes each, on one core; SHA-256 alone",
            bytes as i64 / head.max(1)
        ),
        rate(verifying),
        rate(hashing),
        Goal::None { value: hashing.as_secs_f64() / verifying.as_secs_f64() },
    );
    table.row(
        "reading them and making their canonical forms, one chunk after the other",
        rate(reading),
        "",
        Goal::TOLD,
    );
}

/// About what is hashed of an event.
fn form(event: &Recorded) -> String {
    canonical(&json!({
        "aggregate_type": event.key.aggregate_type,
        "aggregate_id": event.key.aggregate_id,
        "sequence": event.key.sequence,
        "event_type": event.event_type,
        "event_version": event.event_version,
        "payload": *event.payload,
        "metadata": *event.metadata,
        "event_id": event.event_id,
        "recorded_at": event.recorded_at,
        "ordinal": event.ordinal,
    }))
}
