//! Replay: what a query answers for an earlier ordinal is what it answered when that was the last one.

use std::sync::Arc;

use almanac_domain::values::Mode;
use almanac_projections::moment::AsOf;
use almanac_projections::{ingestions, models, moment, predictions, track_record, trials};
use almanac_store::clock::Entropy;
use almanac_store::log::{Handler, LogReader, Recorded, Subscription};
use almanac_store::testing::TestDatabase;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

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
        "trials": trials::list(pool, &name, as_of).await.unwrap(),
        "trial": format!("{:?}", trials::sessions(pool, Uuid::from_u128(0x77), 1, as_of).await.unwrap()),
        "bars": batches(ingestions::bar_batches(pool, Mode::Simulated, as_of).await.unwrap()),
        "headlines": batches(ingestions::headline_batches(pool, Mode::Simulated, as_of).await.unwrap()),
        "series": track_record::series(pool, &name, horizon(1).sessions(), None, as_of).await.unwrap(),
    })
}

fn batches(batches: Vec<ingestions::Batch>) -> Vec<String> {
    batches.iter().map(|batch| format!("{batch:?}")).collect()
}

/// The replayable read models over events that are handed to them one by one.
struct Fed {
    database: TestDatabase,
    handlers: [Arc<dyn Handler>; 4],
}

impl Fed {
    async fn empty() -> Self {
        let database = TestDatabase::new().await;
        let handlers: [Arc<dyn Handler>; 4] = [
            Arc::new(models::Models),
            Arc::new(trials::Trials),
            Arc::new(predictions::Predictions),
            Arc::new(ingestions::Ingestions),
        ];
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

/// Lives at random through registrations, promotions, rounds and scores, and asks at random moments of each life.
#[tokio::test]
async fn whatever_happened_the_answer_as_of_a_moment_is_that_of_a_fresh_projection_of_the_log_up_to_it() {
    let told = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let lives = told("ALMANAC_TEST_CASES").unwrap_or(6);
    let first = told("ALMANAC_TEST_SEED").unwrap_or_else(|| Entropy::system().below(1 << 32));
    for seed in first..first + lives {
        // Whoever sees it fail repeats this life with it.
        println!("ALMANAC_TEST_CASES=1 ALMANAC_TEST_SEED={seed}");
        let entropy = Entropy::seeded(seed);
        let mut story = Story::begin().await;
        for _ in 0..120 {
            crate::market::something(&mut story, &|bound| entropy.below(bound)).await;
        }
        let head = story.catch_up().await;
        assert!(head > 30, "life {seed} hardly happened: {head} events");
        let mut moments: Vec<i64> = (0..4).map(|_| entropy.below(head as u64) as i64).collect();
        moments.sort_unstable();
        let (fresh, mut fed) = (Fed::empty().await, 0);
        for ordinal in moments {
            let place = AsOf::Ordinal(ordinal).moment(story.pool()).await.unwrap();
            assert_eq!(place.ordinal, ordinal);
            for event in LogReader::new(&story.database).after(fed, ordinal - fed).await.unwrap() {
                fed = event.ordinal;
                fresh.feed(&event).await;
            }
            assert_eq!(fed, ordinal);
            let then = answers(fresh.database.pool(), i64::MAX).await;
            assert_eq!(answers(story.pool(), ordinal).await, then, "life {seed} as of {ordinal}");
            // By the time of that moment it is the same or later: events of one instant belong together.
            let time = place.as_of.map_or(AsOf::Ordinal(0), AsOf::Time);
            let by_time = time.moment(story.pool()).await.unwrap();
            assert!(by_time.ordinal >= ordinal && by_time.as_of == place.as_of);
        }
    }
}

#[test]
fn a_moment_is_asked_for_by_place_by_time_or_not_at_all() {
    assert_eq!("".parse(), Ok(AsOf::Now));
    assert_eq!("12".parse(), Ok(AsOf::Ordinal(12)));
    let time = "2024-01-05T21:30:00Z".parse().unwrap();
    assert_eq!("2024-01-05T22:30:00+01:00".parse(), Ok(AsOf::Time(time)));
    assert!("yesterday".parse::<AsOf>().is_err());
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
