//! Hundred-event commands beside the stock event store of cqrs-es on postgres-es, into the same table.

use std::time::{Duration, Instant};

use almanac_store::Database;
use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::PersistedEventStore;
use cqrs_es::{Aggregate, AggregateContext, EventStore};
use futures::future::join_all;
use postgres_es::PostgresEventRepository;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::commands::{commands, settle};
use crate::cpu::Used;
use crate::note::{Note, Write, id, issued};
use crate::table::{Goal, Table, Turn, millis};

const EVENTS: usize = 100;

const TURNS: usize = 3;

const TIME: Duration = Duration::from_secs(2);

pub async fn measure(database: &Database, url: &str, table: &mut Table) {
    let pool = PgPoolOptions::new().max_connections(32).connect(url).await.unwrap();
    for clients in [1, 8, 32] {
        let (mut ours, mut theirs) = (vec![], vec![]);
        for _ in 0..TURNS {
            settle(database).await;
            ours.push(commands(database, clients, EVENTS, TIME).await);
            settle(database).await;
            theirs.push(stock(&pool, clients).await);
        }
        let (ours, theirs) = (Turn::median(&ours), Turn::median(&theirs));
        table.row(
            &format!("hundred-event commands, {clients} at once; stock postgres-es"),
            ours,
            theirs,
            Goal::AtLeast { value: ours.rate / theirs.rate, bound: 5.0 },
        );
    }
    pool.close().await;
}

/// The same commands through the stock store: load, decide, commit.
async fn stock(pool: &PgPool, clients: usize) -> Turn {
    let before = Used::now(pool).await;
    let began = Instant::now();
    let tasks = (0..clients).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let store = PersistedEventStore::<_, Note>::new_event_store(PostgresEventRepository::new(pool));
            let mut times = vec![];
            while began.elapsed() < TIME {
                let given = Instant::now();
                execute(&store).await;
                times.push(millis(given.elapsed()));
            }
            times
        })
    });
    let times: Vec<f64> = join_all(tasks).await.into_iter().flat_map(Result::unwrap).collect();
    let took = began.elapsed();
    let cpu = Used::now(pool).await.since(before, times.len());
    Turn { cpu, ..Turn::new(times.len(), took, times) }
}

async fn execute(store: &PersistedEventStore<PostgresEventRepository, Note>) {
    let mut context = store.load_aggregate(&id().to_string()).await.unwrap();
    let sink = EventSink::default();
    context.aggregate().handle(Write(EVENTS), &(), &sink).await.unwrap();
    let issued = issued();
    // What our metadata holds, so that the rows are alike.
    let metadata = [
        ("at", "2024-05-06T12:00:00.000000Z".to_owned()),
        ("command_id", issued.command_id.to_string()),
        ("correlation_id", issued.correlation_id.to_string()),
        ("account", issued.account.unwrap_or_default().to_string()),
    ];
    let metadata = metadata.map(|(name, value)| (name.to_owned(), value)).into();
    store.commit(sink.collect().await, context, metadata).await.unwrap();
}
