//! Every query of a page or an actor finds its rows by an index, however many there are.

use std::str::FromStr;

use almanac_domain::values::Mode;
use almanac_projections::predictions::{self, Filter, State, rounds};
use almanac_projections::track_record::{self, Query};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::market::{model, session};
use crate::story::{Story, own_tables};

/// 1,000 predictions a session.
fn sessions() -> i32 {
    let rows = std::env::var("ALMANAC_TEST_ROWS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    (rows / 1_000).max(20)
}

/// 500 instruments at two horizons over `$1` sessions up to one day; all but the last two are scored.
const MANY: &str = "insert into predictions (id, model, version, round, instrument, as_of, horizon, target,
        target_closes_at, mode, dataset, state, published_at, ordinal, close, void_after, scored_ordinal)
 select gen_random_uuid(), 'us-daily', 1, md5('round' || s)::uuid, md5('instrument' || i)::uuid, date '2024-03-01' + s, h,
        date '2024-03-01' + s + h, now(), 'simulated', repeat('a', 64),
        case when s < 18 then 'scored' else 'open' end, now(), 10000000 + s * 1000 + i * 2 + case h when 1 then 0 else 1 end,
        100, 10, case when s < 18 then 1 end
   from generate_series(20 - $1, 19) s, generate_series(0, 499) i, (values (1), (5)) as horizons (h)";

const ROUNDS: &str = "insert into rounds (id, model, version, session, mode, dataset, state, opened_at, ordinal)
 select md5('round' || s)::uuid, 'us-daily', 1, date '2024-03-01' + s, 'simulated', repeat('a', 64), 'complete', now(), 10000000 + s
   from generate_series(20 - $1, 19) s";

/// How often the table was read from one end to the other by the only connection of `pool`.
async fn walks(pool: &PgPool) -> i64 {
    sqlx::query("select pg_stat_force_next_flush()").execute(pool).await.unwrap();
    sqlx::query_scalar(
        "select seq_scan from pg_stat_user_tables where relname = 'predictions' and schemaname like 'p\\_%'",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

async fn many() -> (Story, PgPool, Uuid, Uuid) {
    let story = Story::told().await;
    let mut tables = own_tables(&story.database, predictions::NAME).await;
    for statement in [MANY, ROUNDS] {
        sqlx::query(statement).bind(sessions()).execute(&mut *tables).await.unwrap();
    }
    tables.commit().await.unwrap();
    sqlx::query("analyze").execute(story.pool()).await.unwrap();
    let options = PgConnectOptions::from_str(story.database.url()).unwrap();
    let options = options.options([("search_path", "read,public")]);
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let (instrument, round): (Uuid, Uuid) =
        sqlx::query_as("select md5('instrument7')::uuid, md5('round19')::uuid")
            .fetch_one(&pool)
            .await
            .unwrap();
    (story, pool, instrument, round)
}

#[tokio::test]
async fn fault_23_no_query_walks_over_all_predictions_however_many_there_are() {
    let (_story, pool, instrument, round) = many().await;
    let none = Filter::default;
    let before = walks(&pool).await;
    // Asked often enough that PostgreSQL considers a plan for all values.
    for _ in 0..8 {
        for filter in [
            none(),
            Filter { instrument: Some(instrument), ..none() },
            Filter { instrument: Some(instrument), horizon: Some(5), ..none() },
            Filter { model: Some(model()), horizon: Some(1), ..none() },
            Filter { state: Some(State::Open), ..none() },
        ] {
            assert!(!predictions::list(&pool, &filter, None, 20).await.unwrap().items.is_empty());
        }
        assert_eq!(predictions::latest(&pool, None, Some(&[instrument])).await.unwrap().len(), 2);
        assert_eq!(predictions::latest(&pool, Some(&model()), None).await.unwrap().len(), 1000);
        let due = predictions::due(&pool, session((2024, 3, 20)), Mode::Simulated, 0, 600).await.unwrap();
        assert_eq!(due.len(), 501);
        assert_eq!(predictions::slots_of_round(&pool, round).await.unwrap().len(), 1000);
        assert!(rounds::last_complete(&pool, &model()).await.unwrap().is_some());
        let of_one = Query { instrument: Some(instrument), ..Query::default() };
        assert_eq!(track_record::records(&pool, &of_one, i64::MAX).await.unwrap().len(), 2);
    }
    assert_eq!(walks(&pool).await, before);
    // The counter counts: the whole track record is a walk, and should be one.
    let whole = track_record::records(&pool, &Query::default(), i64::MAX).await.unwrap();
    assert_eq!(whole.len(), 2);
    assert!(walks(&pool).await > before);
}
