//! Events of other versions of the program in a real log: older ones are read as today's, newer ones are not guessed.

use std::sync::Arc;

use almanac_domain::UnreadableEvent;
use almanac_domain::event::STREAMS;
use almanac_domain::model::{DecidedBy, Model, ModelCommand, ModelEvent, ModelVersionPromoted};
use almanac_domain::prediction::{Prediction, PredictionCommand};
use almanac_projections::{all, models, predictions, webhooks};
use almanac_store::StoreError;
use almanac_store::log::rebuild::{BuildState, Tended};
use almanac_store::log::{
    CommandError, EventKey, Handler, HandlerError, Issued, LogReader, OnUnknown, Recorded, State, Step,
    Subscription,
};
use almanac_store::testing::TestDatabase;
use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::market::{id_of, model, publish, register, session, slot};
use crate::story::{AAA, BBB, Story, own_tables};

/// A row as another version of the program wrote it, the next of its stream.
async fn wrote(story: &Story, stream: (&str, &str), event: (&str, &str), body: Value) -> EventKey {
    let metadata = json!({ "at": story.now(), "correlation_id": Uuid::from_u128(0xabc) });
    let sequence: i64 = sqlx::query_scalar(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         select $1, $2, coalesce(max(sequence), 0) + 1, $3, $4, $5, $6
           from events where aggregate_type = $1 and aggregate_id = $2 returning sequence",
    )
    .bind(stream.0)
    .bind(stream.1)
    .bind(event.0)
    .bind(event.1)
    .bind(json!({ event.0: body }))
    .bind(metadata)
    .fetch_one(story.pool())
    .await
    .unwrap();
    EventKey { aggregate_type: stream.0.into(), aggregate_id: stream.1.into(), sequence }
}

fn issued(n: u128) -> Issued {
    Issued::new(Uuid::from_u128(0xe0_0000 + n))
}

fn promotion(version: u32, story: &Story) -> ModelCommand {
    ModelCommand::PromoteVersion(ModelVersionPromoted {
        version,
        by: DecidedBy::Gate { rule: "a test".into() },
        reason: "a test".into(),
        promoted_at: story.now(),
    })
}

#[tokio::test]
async fn an_event_of_an_older_version_is_read_as_todays_by_aggregates_and_by_projections() {
    let mut story = Story::told().await;
    register(&mut story, 4).await;
    let body = json!({ "version": 4, "reason": "too old", "retired_at": story.now() });
    let key = wrote(&story, ("model", "us-daily"), ("ModelVersionRetired", "1.0"), body).await;
    story.catch_up().await;
    let stored = LogReader::new(&story.database).by_key(&key).await.unwrap().unwrap();
    assert_eq!(stored.payload["ModelVersionRetired"].get("by"), None, "the row stays as it was written");
    assert_eq!(stored.recomputed_hash(), stored.event_hash, "and so does what its hash is over");
    let ModelEvent::ModelVersionRetired(retired) = stored.decode().unwrap() else { panic!("{stored:?}") };
    assert_eq!((retired.version, retired.by), (4, None));

    let timeline = models::timeline(story.pool(), &model(), i64::MAX).await.unwrap();
    let entry = timeline.last().unwrap();
    assert_eq!((entry.version, entry.by.as_deref()), (Some(4), None));
    let refused = story.bus().execute::<Model>("us-daily", promotion(4, &story), &issued(1)).await;
    let Err(CommandError::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.to_string(), "version 4 is no longer in service");
}

#[tokio::test]
async fn an_event_with_a_field_more_is_read_as_what_is_known_of_it() {
    let mut story = Story::told().await;
    register(&mut story, 4).await;
    let body = json!({
        "version": 4, "by": null, "reason": "r", "retired_at": story.now(), "successor": 9,
    });
    wrote(&story, ("model", "us-daily"), ("ModelVersionRetired", "2.1"), body).await;
    story.catch_up().await;
    let timeline = models::timeline(story.pool(), &model(), i64::MAX).await.unwrap();
    assert_eq!(timeline.last().unwrap().version, Some(4));
    let refused = story.bus().execute::<Model>("us-daily", promotion(4, &story), &issued(2)).await;
    assert!(matches!(refused, Err(CommandError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn fault_17_nothing_is_decided_on_a_stream_with_an_event_of_a_newer_version() {
    let story = Story::told().await;
    for (n, (event, version)) in
        [("ModelVersionSold", "1.0"), ("ModelVersionPromoted", "3.0")].into_iter().enumerate()
    {
        wrote(&story, ("model", "us-daily"), (event, version), json!({ "version": 1 })).await;
        let command = promotion(3, &story);
        let refused = story.bus().execute::<Model>("us-daily", command, &issued(10 + n as u128)).await;
        let Err(CommandError::Broken(StoreError::UnreadableStream(why))) = refused else {
            panic!("{refused:?}")
        };
        assert!(why.is_unknown() && why.to_string().contains("a newer version of the program"), "{why}");
        assert!(story.bus().load::<Model>("us-daily").await.is_err(), "nor is it shown as if it were whole");
    }
}

#[tokio::test]
async fn fault_17_in_a_batch_only_the_stream_that_cannot_be_read_is_refused() {
    let mut story = Story::told().await;
    let slots = [AAA, BBB].map(|instrument| slot(2, instrument, session((2024, 1, 10)), 1));
    let [first, second] = slots.each_ref().map(|slot| id_of(slot).to_string());
    for slot in slots {
        publish(&mut story, slot, 0.001).await;
    }
    wrote(&story, ("prediction", &first), ("PredictionDisputed", "1.0"), json!({})).await;
    let void = PredictionCommand::VoidPrediction { sessions_without_bar: 99, at: story.now() };
    let commands = vec![(first, void.clone()), (second, void)];
    let outcomes = story.bus().execute_batch::<Prediction>(commands, &issued(20)).await.unwrap();
    assert!(
        matches!(outcomes[0], Err(CommandError::Broken(StoreError::UnreadableStream(_)))),
        "{outcomes:?}"
    );
    assert!(outcomes[1].is_ok(), "{outcomes:?}");
}

/// The same handler in a newer version of the program, which knows the event and has nothing to do about it.
struct Newer(Arc<dyn Handler>);

#[async_trait]
impl Handler for Newer {
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
        match self.0.apply(conn, event).await {
            Err(HandlerError::Unknown(UnreadableEvent::UnknownEvent { .. })) => Ok(()),
            other => other,
        }
    }
}

#[tokio::test]
async fn fault_17_at_an_event_of_a_newer_version_a_projection_waits_or_passes_by_as_it_declares() {
    let story = Story::told().await;
    let unknown = wrote(&story, ("prediction", "x"), ("PredictionDisputed", "1.0"), json!({})).await;
    wrote(&story, ("portfolio", "y"), ("PortfolioOpened", "1.0"), json!({})).await;
    let head = story.database.seal().await;
    let at = LogReader::new(&story.database).ordinal_of(&unknown).await.unwrap().unwrap();
    let mut waited = vec![];
    for subscription in story.subscriptions() {
        match subscription.run_until(head).await {
            Ok(()) => {}
            Err(_) => waited.push(subscription.name()),
        }
        let status = subscription.status().await.unwrap();
        assert_eq!((status.state, status.error), (State::Running, None), "waiting is not remembered");
        let reached = if waited.contains(&subscription.name()) { at - 1 } else { head };
        assert_eq!(status.position, reached, "{}", subscription.name());
    }
    assert_eq!(waited, [predictions::NAME, almanac_projections::mail::NAME, webhooks::NAME]);

    // A node of the older version waits as often as it looks; one of the newer version beside it goes on.
    let older = story.subscriptions().iter().find(|one| one.name() == predictions::NAME).unwrap();
    let Step::Waits { ordinal, error } = older.step().await.unwrap() else { panic!("it went on") };
    assert!(ordinal == at && error.contains("PredictionDisputed"), "{ordinal}: {error}");
    let newer = Arc::new(Newer(Arc::new(predictions::Predictions)));
    let newer = Subscription::install(&story.database, newer).await.unwrap();
    assert!(newer.run_until(at).await.is_ok());
    // A rebuild under way waits there as well, and has not failed.
    older.request_rebuild(None).await.unwrap();
    let stands = async || {
        let build = older.builds().await.unwrap().remove(0);
        (build.state, build.ordinal, build.error)
    };
    while older.tend().await.unwrap() == Tended::More {}
    let (state, ordinal, waits_for) = stands().await;
    assert!(state == BuildState::Warming && (1..at).contains(&ordinal), "{state:?} at {ordinal}");
    assert!(waits_for.is_some_and(|why| why.contains("PredictionDisputed")));
    while newer.tend().await.unwrap() == Tended::More {}
    assert_eq!(stands().await, (BuildState::Ready, at, None));
    older.run_until(head).await.unwrap();
}

#[tokio::test]
async fn what_a_projection_declares_to_pass_by_has_no_part_in_its_rows() {
    let story = Story::told().await;
    let events = LogReader::new(&story.database).after(0, 1000).await.unwrap();
    let aggregates: Vec<&str> = STREAMS.iter().map(|stream| stream.aggregate).collect();
    for handler in all() {
        let OnUnknown::StopAt(read) = handler.on_unknown() else {
            panic!("{} declares nothing", handler.name())
        };
        assert!(read.iter().all(|aggregate| aggregates.contains(aggregate)), "{read:?}");
        let alone = TestDatabase::new().await;
        let _installed = Subscription::install(&alone, handler.clone()).await.unwrap();
        let mut transaction = own_tables(&alone, handler.name()).await;
        for event in events.iter().filter(|event| !read.contains(&event.key.aggregate_type.as_str())) {
            handler.apply(&mut transaction, event).await.unwrap();
        }
        let tables: Vec<String> = sqlx::query_scalar(
            "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where n.nspname = current_schema and c.relkind = 'r'",
        )
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
        assert!(!tables.is_empty());
        for table in tables {
            let count = format!("select count(*) from {table}");
            let rows: i64 = sqlx::query_scalar(&count).fetch_one(&mut *transaction).await.unwrap();
            assert_eq!(rows, 0, "{} has rows in {table} of what it would pass by", handler.name());
        }
    }
}
