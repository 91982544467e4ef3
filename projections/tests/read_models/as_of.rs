//! Replay: what a query answers for an earlier ordinal is what it answered when that was the last one.

use std::sync::Arc;

use almanac_projections::{models, moment, predictions, track_record};
use almanac_store::log::{Handler, LogReader, Recorded, Subscription};
use almanac_store::testing::TestDatabase;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::market::{horizon, model};
use crate::story::{CHAPTERS, Chapter, Story};

async fn answers(pool: &PgPool, as_of: i64) -> Value {
    let name = model();
    let by_instrument =
        track_record::Query { instrument: Some(crate::story::AAA), ..track_record::Query::default() };
    let of_one = track_record::Query { version: Some(1), horizon: Some(1), ..track_record::Query::default() };
    json!({
        "models": models::list(pool, as_of).await.unwrap(),
        "model": models::find(pool, &name, as_of).await.unwrap(),
        "champion": models::champion(pool, &name, as_of).await.unwrap().map(|c| (c.version, c.sequence)),
        "timeline": models::timeline(pool, &name, as_of).await.unwrap(),
        "records": track_record::records(pool, &track_record::Query::default(), as_of).await.unwrap(),
        "of_one": track_record::records(pool, &of_one, as_of).await.unwrap(),
        "by_instrument": track_record::records(pool, &by_instrument, as_of).await.unwrap(),
        "performance": track_record::performance(pool, &name, as_of).await.unwrap(),
        "series": track_record::series(pool, &name, horizon(1).sessions(), None, as_of).await.unwrap(),
    })
}

/// The replayable read models over events that are handed to them one by one.
struct Fed {
    database: TestDatabase,
    handlers: [Arc<dyn Handler>; 2],
}

impl Fed {
    async fn empty() -> Self {
        let database = TestDatabase::new().await;
        let handlers: [Arc<dyn Handler>; 2] = [Arc::new(models::Models), Arc::new(predictions::Predictions)];
        for handler in &handlers {
            Subscription::install(&database, handler.clone()).await.unwrap();
        }
        Self { database, handlers }
    }

    async fn feed(&self, event: &Recorded) {
        for handler in &self.handlers {
            let mut transaction = crate::story::own_tables(&self.database, handler.name()).await;
            handler.apply(&mut transaction, event).await.unwrap();
            transaction.commit().await.unwrap();
        }
    }
}

/// One database has the whole log; another is fed the same events one at a time, and what it answers after each, knowing
/// nothing later, is what the first must answer as of that ordinal.
#[tokio::test]
async fn the_answer_as_of_an_ordinal_is_that_of_a_projection_fed_up_to_it() {
    let told = Story::told().await;
    let retold = Fed::empty().await;
    let mut before = answers(retold.database.pool(), i64::MAX).await;
    assert_eq!(answers(told.pool(), 0).await, before);
    let mut changes = 0;
    for event in LogReader::new(&told.database).after(0, 1000).await.unwrap() {
        retold.feed(&event).await;
        let then = answers(retold.database.pool(), i64::MAX).await;
        assert_eq!(answers(told.pool(), event.ordinal).await, then, "as of {}: {}", event.ordinal, event.key);
        changes += usize::from(then != before);
        before = then;
    }
    assert!(changes > 15, "the answers hardly change, so this shows nothing: {changes}");
    assert_eq!(answers(told.pool(), i64::MAX).await, before);
}

#[tokio::test]
async fn a_moment_is_the_last_ordinal_at_or_before_a_time() {
    let mut story = Story::begin().await;
    assert_eq!(moment::now(story.pool()).await.unwrap(), moment::Moment { ordinal: 0, as_of: None });
    let before = story.now();
    for chapter in &CHAPTERS[..1] {
        Chapter::tell(*chapter, &mut story).await;
    }
    let head = story.catch_up().await;
    let now = moment::now(story.pool()).await.unwrap();
    assert_eq!((now.ordinal, now.as_of), (head, Some(story.now())));
    assert_eq!(moment::at_time(story.pool(), before).await.unwrap().ordinal, 0);
    assert_eq!(moment::at_time(story.pool(), story.now()).await.unwrap(), now);
    let third = moment::at_ordinal(story.pool(), 3).await.unwrap();
    assert_eq!(third.ordinal, 3);
    assert_eq!(moment::at_time(story.pool(), third.as_of.unwrap()).await.unwrap(), third);
    assert_eq!(moment::at_ordinal(story.pool(), head + 9).await.unwrap(), now);
}
