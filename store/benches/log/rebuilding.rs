//! Building the largest projection from zero beside `COPY events TO STDOUT`, in a database of its own.

use std::fs;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use almanac_domain::prediction::{Prediction, PredictionCommand, PredictionPublished};
use almanac_projections::predictions::Predictions;
use almanac_store::Database;
use almanac_store::log::rebuild::BuildState;
use almanac_store::log::{Sequencer, Subscription};
use futures::TryStreamExt;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::cpu::Used;
use crate::note::{bus, issued};
use crate::table::{Goal, Table, median};

/// So many predictions are published; half of them are scored.
const PREDICTIONS: i64 = 60_000;

/// How often the copy and the rebuild take turns.
const TURNS: usize = 3;

pub async fn measure(main: &Database, url: &str, table: &mut Table) {
    sqlx::query("create database rebuilding").execute(main.pool()).await.unwrap();
    let options = PgConnectOptions::from_str(url).unwrap().database("rebuilding");
    let database = Database::connect(options.clone(), 8).await.unwrap();
    database.migrate().await.unwrap();
    publish_and_score_one(&database).await;
    multiply(&database).await;
    let head = Sequencer::seize(&database).await.unwrap().seal_all().await.unwrap();

    let predictions = Subscription::install(&database, Arc::new(Predictions)).await.unwrap();
    let began = Instant::now();
    predictions.run_until(head).await.unwrap();
    let following = head as f64 / began.elapsed().as_secs_f64();

    let events = head as usize;
    let (mut copies, mut rebuilds, mut warming) = (vec![], vec![], vec![]);
    let (mut copying, mut clients, mut server) = (vec![], vec![], vec![]);
    let mut memory = 0;
    for _ in 0..TURNS {
        let before = Used::now(database.pool()).await;
        copies.push(copy(&options).await.as_secs_f64());
        let after = Used::now(database.pool()).await;
        copying.push(after.since(before, events).server);
        let resident = Memory::begin();
        let began = Instant::now();
        predictions.request_rebuild(None).await.unwrap();
        while predictions.builds().await.unwrap()[0].state == BuildState::Warming {
            predictions.tend().await.unwrap();
        }
        warming.push(began.elapsed().as_secs_f64());
        while predictions.builds().await.unwrap()[0].compared_at.is_none() {
            predictions.tend().await.unwrap();
        }
        rebuilds.push(began.elapsed().as_secs_f64());
        memory = memory.max(resident.end());
        let used = Used::now(database.pool()).await.since(after, events);
        clients.push(used.clients);
        server.push(used.server);
        let differences = predictions.builds().await.unwrap().remove(0).differences;
        assert_eq!(differences, Vec::<String>::new(), "a rebuild gives the same rows");
        predictions.switch(false).await.unwrap();
        predictions.drop_builds().await.unwrap();
    }
    let (took, warmed, yardstick) = (median(rebuilds), median(warming), median(copies));
    table.row(
        &format!("predictions from {head} events, followed from zero"),
        format!("{following:.0} events/s"),
        "",
        Goal::TOLD,
    );
    table.row(
        &format!(
            "rebuild of predictions from {head} events, compared with the live rows; COPY events TO STDOUT"
        ),
        format!(
            "{took:.2} s, {:.0} events/s, processor {:.1}+{:.1} us",
            head as f64 / took,
            median(clients),
            median(server)
        ),
        format!(
            "{yardstick:.2} s, {:.0} events/s, processor of the server {:.1} us",
            head as f64 / yardstick,
            median(copying)
        ),
        Goal::AtMost { value: took / yardstick, bound: 4.0 },
    );
    table.row(
        "the same without the comparison",
        format!("{warmed:.2} s"),
        "",
        Goal::None { value: warmed / yardstick },
    );
    table.row("memory it took on top", format!("{memory} MB"), "", Goal::TOLD);
    database.pool().close().await;
}

async fn copy(options: &PgConnectOptions) -> Duration {
    let mut connection = PgConnection::connect_with(options).await.unwrap();
    let began = Instant::now();
    let mut rows = connection.copy_out_raw("copy events to stdout").await.unwrap();
    let mut bytes = 0;
    while let Some(row) = rows.try_next().await.unwrap() {
        bytes += row.len();
    }
    assert!(bytes > 0);
    began.elapsed()
}

/// One prediction through the real commands.
async fn publish_and_score_one(database: &Database) {
    let published: PredictionPublished = serde_json::from_value(json!({
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
            "quantiles": [
                {"level": "0.1", "value": "-0.0187654321"}, {"level": "0.5", "value": "0.0012345678"},
                {"level": "0.9", "value": "0.0212345678"},
            ],
            "drift": "0.0005123456", "half_width_80": "1.3123456789", "half_width_95": "2.3123456789",
            "volatility": "0.0170912345",
            "fifths": ["0.2109876543", "0.1876543219", "0.1830000001", "0.1965555555", "0.2218024682"],
        },
        "scoring_rule": almanac_domain::scoring::RULE, "void_after_sessions": 3,
        "published_at": "2024-01-05T22:00:00Z",
    }))
    .unwrap();
    let (bus, id) = (bus(database), Uuid::from_u128(3).to_string());
    let score = PredictionCommand::ScorePrediction {
        session: published.slot.target,
        realised: serde_json::from_value(json!("0.0125123456")).unwrap(),
        close: serde_json::from_value(json!("101.5")).unwrap(),
        batches: vec![Uuid::from_u128(4)],
        at: published.slot.target_closes_at,
    };
    let publish = PredictionCommand::PublishPrediction(Box::new(published));
    bus.execute::<Prediction>(&id, publish, &issued()).await.unwrap();
    bus.execute::<Prediction>(&id, score, &issued()).await.unwrap();
}

/// As many more, under ids and for instruments of their own: all published first, then every second one scored.
async fn multiply(database: &Database) {
    let mut transaction = database.pool().begin().await.unwrap();
    for (sequence, every) in [(1, 1), (2, 2)] {
        sqlx::query(
            "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
             select aggregate_type, md5('p' || n)::uuid::text, sequence, event_type, event_version,
                    case when sequence = 1
                         then jsonb_set(payload, '{PredictionPublished,slot,instrument}', to_jsonb(md5('i' || n % 500)::uuid))
                         else payload end,
                    metadata
               from events, generate_series(1, $2, $3) n where sequence = $1 order by n",
        )
        .bind(sequence)
        .bind(PREDICTIONS)
        .bind(every)
        .execute(&mut *transaction)
        .await
        .unwrap();
    }
    transaction.commit().await.unwrap();
}

/// The peak of this process's memory between two moments, as Linux accounts it.
struct Memory(u64);

impl Memory {
    fn begin() -> Self {
        // Lets the peak begin anew; where that is not allowed, the figure is too large.
        let _ = fs::write("/proc/self/clear_refs", "5");
        Self(Self::kilobytes("VmRSS:"))
    }

    fn end(self) -> u64 {
        Self::kilobytes("VmHWM:").saturating_sub(self.0) / 1024
    }

    fn kilobytes(name: &str) -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
    }
}
