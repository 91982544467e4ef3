//! What holds for every projection of the crate, also for the one that is added tomorrow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use almanac_domain::Event;
use almanac_projections::all;
use almanac_store::Database;
use almanac_store::log::{Handler, HandlerError, LogReader, Recorded, Subscription};
use almanac_store::testing::TestDatabase;
use async_trait::async_trait;
use sqlx::PgConnection;

use crate::story::{Story, own_tables};

/// Where projections put what others are told.
const OUTBOXES: [&str; 2] = ["mail_outbox", "webhook_deliveries"];

/// Applies every event twice.
struct Twice(Arc<dyn Handler>);

#[async_trait]
impl Handler for Twice {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn version(&self) -> i32 {
        self.0.version()
    }

    fn schema_sql(&self) -> Option<&'static str> {
        self.0.schema_sql()
    }

    async fn apply(&self, conn: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        self.0.apply(conn, event).await?;
        self.0.apply(conn, event).await
    }
}

async fn effects(story: &Story) -> (i64, i64) {
    let count = "select (select count(*) from mail_outbox), (select count(*) from webhook_deliveries)";
    sqlx::query_as(count).fetch_one(story.pool()).await.unwrap()
}

async fn start_over(story: &Story) {
    sqlx::query("update subscriptions set last_ordinal = 0, generation = generation + 1")
        .execute(story.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_story_holds_every_event_that_can_be_stored() {
    let story = Story::told().await;
    let events = LogReader::new(&story.database).after(0, 1000).await.unwrap();
    let told: BTreeSet<(String, String)> =
        events.into_iter().map(|event| (event.key.aggregate_type, event.event_type)).collect();
    let stored: BTreeSet<(String, String)> =
        Event::stored().map(|(aggregate, name, _)| (aggregate.to_owned(), name.to_owned())).collect();
    assert_eq!(told, stored);
}

#[tokio::test]
async fn fault_23_a_rebuild_from_zero_equals_the_live_tables_and_tells_nobody_again() {
    let story = Story::told().await;
    let told = effects(&story).await;
    assert!(told.0 > 0 && told.1 > 0, "{told:?}");
    for subscription in story.subscriptions() {
        let rebuilt = subscription.rebuild().await.unwrap();
        assert_eq!(rebuilt.differences, Vec::<String>::new(), "{}", subscription.name());
    }
    assert_eq!(effects(&story).await, told);
}

#[tokio::test]
async fn fault_23_applying_each_event_twice_changes_nothing() {
    let story = Story::told().await;
    let told = effects(&story).await;
    start_over(&story).await;
    let head = story.database.seal().await;
    for handler in all() {
        // The live tables are emptied first, so that they hold nothing but what was applied twice.
        let name = handler.name();
        empty(&story, name).await;
        let twice = Subscription::install(&story.database, Arc::new(Twice(handler.clone()))).await.unwrap();
        twice.run_until(head).await.unwrap();
        let once = Subscription::install(&story.database, handler).await.unwrap();
        let compared = once.compare_with_fresh().await.unwrap();
        assert_eq!((compared.ordinal, compared.differences), (head, vec![]), "{name}");
    }
    assert_eq!(effects(&story).await, told);
}

async fn empty(story: &Story, name: &str) {
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', n.nspname, c.relname) from pg_class c
           join pg_namespace n on n.oid = c.relnamespace
           join subscriptions s on s.schema_name = n.nspname where s.name = $1 and c.relkind = 'r'",
    )
    .bind(name)
    .fetch_all(story.pool())
    .await
    .unwrap();
    assert!(!tables.is_empty());
    let truncate = format!("truncate {}", tables.join(", "));
    sqlx::query(&truncate).execute(story.pool()).await.unwrap();
}

#[tokio::test]
async fn fault_23_living_through_the_log_again_over_full_tables_changes_nothing() {
    let story = Story::told().await;
    let told = effects(&story).await;
    start_over(&story).await;
    let head = story.catch_up().await;
    for subscription in story.subscriptions() {
        let compared = subscription.compare_with_fresh().await.unwrap();
        assert_eq!((compared.ordinal, compared.differences), (head, vec![]), "{}", subscription.name());
    }
    assert_eq!(effects(&story).await, told);
}

#[tokio::test]
async fn every_projection_gets_along_with_its_own_tables() {
    let story = Story::told().await;
    let events = LogReader::new(&story.database).after(0, 1000).await.unwrap();
    for handler in all() {
        let alone = TestDatabase::new().await;
        let _installed = Subscription::install(&alone, handler.clone()).await.unwrap();
        let mut transaction = own_tables(&alone, handler.name()).await;
        for event in &events {
            if let Err(error) = handler.apply(&mut transaction, event).await {
                panic!("{} at {}: {error}", handler.name(), event.key);
            }
        }
        transaction.commit().await.unwrap();
    }
}

/// What the tables of `name` and the outboxes hold, whatever the order of the rows.
async fn rows(database: &Database, name: &str) -> BTreeMap<String, Vec<String>> {
    let mut tables: Vec<(String, String)> = sqlx::query_as(
        "select c.relname::text, format('%I.%I', n.nspname, c.relname) from pg_class c
           join pg_namespace n on n.oid = c.relnamespace
           join subscriptions s on s.schema_name = n.nspname where s.name = $1 and c.relkind = 'r'",
    )
    .bind(name)
    .fetch_all(database.pool())
    .await
    .unwrap();
    tables.extend(OUTBOXES.map(|outbox| (outbox.to_owned(), outbox.to_owned())));
    let mut rows = BTreeMap::new();
    for (table, place) in tables {
        let select = format!("select t::text from {place} t order by 1");
        rows.insert(table, sqlx::query_scalar(&select).fetch_all(database.pool()).await.unwrap());
    }
    rows
}

#[tokio::test]
async fn fault_23_a_batch_of_events_gives_the_rows_of_the_events_one_by_one() {
    let story = Story::told().await;
    let events = LogReader::new(&story.database).after(0, 1000).await.unwrap();
    let mut told = BTreeSet::new();
    for handler in all() {
        let name = handler.name();
        let mut results = vec![];
        for is_batch in [false, true] {
            let alone = TestDatabase::new().await;
            let _installed = Subscription::install(&alone, handler.clone()).await.unwrap();
            let mut transaction = own_tables(&alone, name).await;
            let bulk = if is_batch { handler.rows(&events).unwrap() } else { None };
            if let Some(bulk) = bulk {
                bulk.write(&mut transaction).await.unwrap();
            } else {
                for event in &events {
                    handler.apply(&mut transaction, event).await.unwrap();
                }
            }
            transaction.commit().await.unwrap();
            results.push(rows(&alone, name).await);
        }
        assert!(results[0].values().any(|rows| !rows.is_empty()), "{name}");
        assert_eq!(results[0], results[1], "{name}");
        told.extend(OUTBOXES.into_iter().flat_map(|outbox| results[0][outbox].clone()));
    }
    for word in ["session:", "prediction.published", "prediction.scored", "round.completed"] {
        assert!(told.iter().any(|row| row.contains(word)), "{word}");
    }
}
