//! Every query of a page or an actor finds its rows by an index, however many there are.

use std::str::FromStr;
use std::time::Duration;

use almanac_domain::values::Mode;
use almanac_projections::predictions::{self, Filter, State, rounds};
use almanac_projections::track_record::{self, Query};
use almanac_projections::{event_log, training_runs, trials, watchlists, webhooks};
use almanac_store::outbox::{mail, webhook};
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

/// As many rows as there are predictions in the other test.
fn rows() -> i32 {
    sessions() * 1_000
}

/// A log of `$1` events more, of two types; `$2` of a rare one in its midst.
const LOG: &str = "with numbered as (
     insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
     select 'instrument', 'many' || n, 1, case when n % ($1 / $2) = 7 then 'InstrumentHalted' else 'InstrumentRenamed' end,
            '1.0', '{}', '{}' from generate_series(1, $1) n returning *)
 insert into event_log (ordinal, aggregate_type, aggregate_id, sequence, position, event_type, event_hash, as_of)
 select (select max(ordinal) from event_log) + row_number() over (order by position), aggregate_type, aggregate_id, sequence,
        position, event_type, sha256(''), '2030-01-01' from numbered";

/// Everybody has been mailed for many rounds; the mails of the last one are all due at the same instant.
const MAILS: &str = "insert into mail_outbox (key, account, kind, payload, ordinal, state, next_attempt_at, message_id)
 select 'many:' || n, md5('account' || n % 1000)::uuid, 'session', '{}', 10000000 + n / 1000,
        case when n > $1 - 5000 then 'due' else 'sent' end, timestamptz '2024-03-01' + n / 5000 * interval '1 day', n
   from generate_series(1, $1) n";

/// The same for 20 endpoints.
const DELIVERIES: &str = "insert into webhook_deliveries (id, key, endpoint, account, ordinal, event_type, payload, state,
        created_at, next_attempt_at)
 select md5('delivery' || n)::uuid, 'many:' || n, md5('endpoint' || n % 20)::uuid, md5('account' || n % 20)::uuid, 10000000 + n,
        'round.completed', '{}', case when n > $1 - 5000 then 'due' else 'delivered' end, now(),
        timestamptz '2024-03-01' + n / 5000 * interval '1 day'
   from generate_series(1, $1) n";

const ATTEMPTS: &str = "insert into webhook_attempts (delivery, n, at, status, duration_ms)
 select id, 1, now(), 200, 5 from webhook_deliveries where state = 'delivered'";

const WATCHLISTS: &str = "insert into watchlists (id, owner, name, created_ordinal)
 select md5('list' || n)::uuid, md5('account' || n / 2)::uuid, md5('name' || n)::uuid, 10000000 + n from generate_series(1, $1) n";

const WATCHED: &str = "insert into watched (watchlist, instrument, added_ordinal)
 select md5('list' || n / 5)::uuid, md5('instrument' || n % 5)::uuid, 10000000 + n from generate_series(1, $1) n";

/// Runs of two models, all ended but two.
const RUNS: &str = "insert into training_runs (id, model, reason, figures, plan, state, requested_at, ordinal)
 select md5('run' || n)::uuid, case when n % 1000 = 7 then 'us-rare' else 'us-daily' end, r.reason, r.figures, r.plan,
        case when n > $1 - 2 then 'requested' else 'completed' end, r.requested_at, 10000000 + n
   from (select * from training_runs order by ordinal limit 1) r, generate_series(1, $1) n";

/// Trials of as many models as there are hundreds of them; the last one of each is open.
const TRIALS: &str = "insert into trials (id, model, version, champion, rule, opened_by, reason, opened_at, ordinal, decision,
        decided_by, decided_ordinal)
 select md5('trial' || n)::uuid, 'model-' || n / 100, 2, 1, t.rule, t.opened_by, t.reason, t.opened_at, 10000000 + n,
        case when n % 100 < 99 then t.decision end, case when n % 100 < 99 then t.decided_by end,
        case when n % 100 < 99 then 10000001 + n end
   from (select * from trials where decision is not null order by ordinal limit 1) t, generate_series(0, $1 - 1) n";

/// How many rows and entries of indexes the only connection of `pool` has looked at so far, of all tables.
async fn looked_at(pool: &PgPool) -> i64 {
    sqlx::query("select pg_stat_force_next_flush()").execute(pool).await.unwrap();
    sqlx::query_scalar(
        "select ((select sum(seq_tup_read) from pg_stat_user_tables) + (select sum(idx_tup_read) from pg_stat_user_indexes))::bigint",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Asks often enough that PostgreSQL considers a plan for all values, and looks how much of the tables each answer took.
async fn looks_at_few<T>(pool: &PgPool, what: &str, ask: impl AsyncFn() -> T) -> T {
    const TIMES: i64 = 8;
    let before = looked_at(pool).await;
    for _ in 1..TIMES {
        ask().await;
    }
    let answer = ask().await;
    let each = (looked_at(pool).await - before) / TIMES;
    println!("{what}: {each} rows and entries");
    assert!(each < 1_000, "{what} looks at {each} rows and entries of indexes");
    answer
}

#[tokio::test]
async fn fault_23_no_list_and_nothing_due_is_searched_for_among_all_rows_however_many_there_are() {
    let (story, pool, instrument, _) = many().await;
    for (name, statements) in [
        (watchlists::NAME, [WATCHLISTS, WATCHED].as_slice()),
        (training_runs::NAME, &[RUNS]),
        (trials::NAME, &[TRIALS]),
    ] {
        let mut tables = own_tables(&story.database, name).await;
        for statement in statements {
            sqlx::query(statement).bind(rows()).execute(&mut *tables).await.unwrap();
        }
        tables.commit().await.unwrap();
    }
    sqlx::query(LOG).bind(rows()).bind(20).execute(story.pool()).await.unwrap();
    for statement in [MAILS, DELIVERIES] {
        sqlx::query(statement).bind(rows()).execute(story.pool()).await.unwrap();
    }
    sqlx::query(ATTEMPTS).execute(story.pool()).await.unwrap();
    sqlx::query("analyze").execute(story.pool()).await.unwrap();
    let id = async |text: &str| -> Uuid {
        sqlx::query_scalar("select md5($1)::uuid").bind(text).fetch_one(story.pool()).await.unwrap()
    };

    for (event_type, expected) in [
        (Some("InstrumentHalted"), 10),
        (Some("InstrumentMisspelt"), 0),
        (Some("InstrumentRenamed"), 10),
        (None, 10),
    ] {
        let what = format!("the log by the type {event_type:?}");
        let list = looks_at_few(&pool, &what, async || {
            event_log::list(&pool, i64::MAX, event_type, None, 10).await.unwrap()
        });
        assert_eq!(list.await.items.len(), expected, "{event_type:?}");
    }

    let (now, lease) = ("2100-01-01T00:00:00Z".parse().unwrap(), Duration::from_secs(600));
    let taken =
        looks_at_few(&pool, "due mails", async || mail::claim_due(&pool, now, 20, lease).await.unwrap());
    assert_eq!(taken.await.len(), 20);
    looks_at_few(&pool, "the next due mail", async || mail::next_due(&pool).await.unwrap()).await.unwrap();
    let taken = looks_at_few(&pool, "due messages", async || {
        webhook::claim_due(&pool, now, 20, lease).await.unwrap()
    });
    assert_eq!(taken.await.len(), 20);

    let (account, endpoint) = (id("account7").await, id("endpoint7").await);
    let list = looks_at_few(&pool, "the messages to an endpoint", async || {
        webhooks::deliveries(&pool, account, endpoint, 50).await.unwrap()
    });
    assert_eq!(list.await.len(), 50);
    let delivery = id("delivery7").await;
    let attempts = looks_at_few(&pool, "the attempts of a message", async || {
        webhooks::attempts(&pool, account, delivery).await.unwrap()
    });
    assert_eq!(attempts.await.unwrap().len(), 1);

    let lists = looks_at_few(&pool, "the watchlists of an account", async || {
        watchlists::of_account(&pool, account, Some(&model())).await.unwrap()
    });
    assert_eq!(lists.await.len(), 2);
    let list = id("list7").await;
    let watched = looks_at_few(&pool, "what is on a watchlist", async || {
        watchlists::instruments_of(&pool, list).await.unwrap()
    });
    assert_eq!(watched.await.len(), 5);

    let (rare, run) = ("us-rare".parse().unwrap(), id("run7").await);
    let due = looks_at_few(&pool, "due trainings", async || training_runs::due(&pool).await.unwrap()).await;
    assert!(due.len() >= 2);
    looks_at_few(&pool, "a training", async || training_runs::find(&pool, run).await.unwrap()).await.unwrap();
    for wanted in [None, Some(&rare)] {
        let what = format!("the trainings of {wanted:?}");
        let list =
            looks_at_few(&pool, &what, async || training_runs::list(&pool, wanted, None, 10).await.unwrap());
        assert_eq!(list.await.items.len(), 10);
    }
    looks_at_few(&pool, "the last training of a model", async || {
        training_runs::last_of(&pool, &rare).await.unwrap()
    })
    .await
    .unwrap();

    let (tried, trial) = ("model-7".parse().unwrap(), id("trial707").await);
    let open = looks_at_few(&pool, "the open trial", async || trials::open(&pool, &tried).await.unwrap());
    assert!(open.await.is_some());
    let list = looks_at_few(&pool, "the trials of a model", async || {
        trials::list(&pool, &tried, i64::MAX).await.unwrap()
    });
    assert_eq!(list.await.len(), 100);
    let found =
        looks_at_few(&pool, "a trial", async || trials::find(&pool, &tried, trial, i64::MAX).await.unwrap());
    assert!(found.await.is_some());
    looks_at_few(&pool, "the pairs of a trial", async || {
        trials::sessions(&pool, trial, 1, i64::MAX).await.unwrap()
    })
    .await;

    // The counter counts: a question that has to walk is seen to.
    let before = looked_at(&pool).await;
    let all = "select count(*) from watched where instrument = $1";
    sqlx::query(all).bind(instrument).execute(&pool).await.unwrap();
    assert!(looked_at(&pool).await >= before + i64::from(rows()));
}
