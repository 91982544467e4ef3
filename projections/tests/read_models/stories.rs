//! Causes and consequences, read from the log itself.

use std::str::FromStr;

use almanac_projections::stories::{self, LeftOut, Story, StoryNode};
use almanac_store::testing::TestDatabase;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, Row};
use uuid::Uuid;

const CORRELATION: Uuid = Uuid::from_u128(0xc0);

/// An event, the first of its stream, caused by `cause`.
async fn happens(pool: &PgPool, stream: (&str, &str), event: &str, cause: Option<&str>) -> (String, Uuid) {
    let mut metadata = json!({ "at": "2024-01-05T21:30:00.000000Z", "correlation_id": CORRELATION });
    if let Some(cause) = cause {
        metadata["causation_id"] = json!(cause);
    }
    let row = sqlx::query(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         values ($1, $2, (select count(*) + 1 from events where aggregate_type = $1 and aggregate_id = $2), $3, '1.0', $4, $5)
         returning aggregate_type || ':' || aggregate_id || ':' || sequence as key, event_id",
    )
    .bind(stream.0)
    .bind(stream.1)
    .bind(event)
    .bind(json!({ event: {} }))
    .bind(metadata)
    .fetch_one(pool)
    .await
    .unwrap();
    (row.get("key"), row.get("event_id"))
}

/// Bars make a round, the round makes `predictions`, each of which is scored; gives the id of the last score.
async fn a_day(pool: &PgPool, predictions: usize) -> Uuid {
    for share in ["a", "b"] {
        happens(pool, ("instrument", share), "InstrumentListed", None).await;
    }
    let (bars, _) = happens(pool, ("ingestion", "bars"), "BarsIngested", None).await;
    let (opened, _) = happens(pool, ("forecast_round", "odd:id"), "RoundOpened", Some(&bars)).await;
    let mut published = vec![];
    for n in 0..predictions {
        let stream = ("prediction", &*format!("p{n}"));
        published.push(happens(pool, stream, "PredictionPublished", Some(&opened)).await.0);
    }
    happens(pool, ("forecast_round", "odd:id"), "RoundCompleted", Some(&opened)).await;
    let mut last = Uuid::nil();
    for (n, key) in published.iter().enumerate() {
        last = happens(pool, ("prediction", &format!("p{n}")), "PredictionScored", Some(key)).await.1;
    }
    last
}

fn types(nodes: &[StoryNode]) -> Vec<&str> {
    nodes.iter().map(|node| node.event.event_type.as_str()).collect()
}

/// The types of the events from a root to the one that was asked for.
fn path(nodes: &[StoryNode]) -> Option<Vec<&str>> {
    nodes.iter().find_map(|node| {
        let rest = if node.selected { Some(vec![]) } else { path(&node.children) };
        rest.map(|rest| [vec![node.event.event_type.as_str()], rest].concat())
    })
}

async fn told(pool: &PgPool, event: Uuid) -> Story {
    stories::of(pool, event).await.unwrap().expect("it is sealed")
}

#[tokio::test]
async fn from_any_event_the_whole_story_is_told_and_what_is_too_much_is_counted() {
    let database = TestDatabase::new().await;
    let pool = database.pool();
    let score = a_day(pool, 12).await;
    assert_eq!(stories::of(pool, score).await.unwrap(), None, "what is not sealed is not told");
    database.seal().await;

    let story = told(pool, score).await;
    assert_eq!((story.events, story.more, story.correlation_id), (29, true, Some(CORRELATION)));
    assert_eq!(types(&story.root), ["InstrumentListed", "InstrumentListed", "BarsIngested"]);
    let way = ["BarsIngested", "RoundOpened", "PredictionPublished", "PredictionScored"];
    assert_eq!(path(&story.root).unwrap(), way);
    let round = &story.root[2].children[0];
    let shown = round.children.iter().filter(|node| node.event.event_type == "PredictionPublished").count();
    assert_eq!(shown, 6, "the first five, and the one that leads to what was asked for");
    assert_eq!(round.left_out, [LeftOut { event_type: "PredictionPublished".into(), events: 6 }]);
    assert_eq!(types(&round.children).last(), Some(&"RoundCompleted"), "many of one kind hide no other");

    let beginning = round.event.causation_id.clone().unwrap();
    assert_eq!(beginning, story.root[2].event.key());
    for node in [&story.root[0], &story.root[2], round, &round.children[2]] {
        let same = told(pool, node.event.event_id).await;
        assert_eq!(types(&same.root), types(&story.root), "{}", node.event.event_type);
        assert!(path(&same.root).is_some_and(|path| path.last() == Some(&&*node.event.event_type)));
    }
    assert_eq!(stories::of(pool, Uuid::from_u128(404)).await.unwrap(), None);
}

#[tokio::test]
async fn a_story_is_bounded_however_deep_or_wide_it_is_and_is_never_told_in_circles() {
    let database = TestDatabase::new().await;
    let pool = database.pool();
    let (mut cause, first) = happens(pool, ("counter", "0"), "Counted", None).await;
    for n in 1..700 {
        cause = happens(pool, ("counter", &n.to_string()), "Counted", Some(&cause)).await.0;
    }
    // Two events that claim to have caused each other.
    let (_, one) = happens(pool, ("egg", "1"), "Laid", Some("hen:1:1")).await;
    happens(pool, ("hen", "1"), "Hatched", Some("egg:1:1")).await;
    database.seal().await;
    let deep = told(pool, first).await;
    assert!(deep.more && deep.events == 702, "{}", deep.events);
    let circle = told(pool, one).await;
    assert_eq!(path(&circle.root).map(|path| path.len() <= 2), Some(true));
}

#[tokio::test]
async fn a_level_that_is_too_wide_is_shown_from_its_beginning_and_the_rest_is_counted() {
    let database = TestDatabase::new().await;
    let pool = database.pool();
    let (root, first) = happens(pool, ("root", "0"), "Began", None).await;
    let insert = "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
                  select $1, n::text, 1, 'Kind' || n % $2, '1.0', '{}',
                         jsonb_build_object('at', '2024-01-05T21:30:00Z', 'correlation_id', $3::text, 'causation_id', $4::text)
                    from generate_series(1, $5) n";
    let widen = async |kind: &str, kinds: i32, cause: &str, many: i32| {
        sqlx::query(insert)
            .bind(kind)
            .bind(kinds)
            .bind(CORRELATION.to_string())
            .bind(cause)
            .bind(many)
            .execute(pool)
            .await
            .unwrap();
    };
    // 100 kinds of which 5 each are shown, and below the very last of them one that is asked for.
    widen("child", 100, &root, 700).await;
    let (_, last) = happens(pool, ("leaf", "1"), "Ended", Some("child:700:1")).await;
    database.seal().await;
    let story = told(pool, first).await;
    let children = &story.root[0].children;
    assert_eq!(children.len() + 1, 400, "the most there are, the root among them");
    assert_eq!(children[0].event.aggregate_id, "1");
    let counted: i64 = story.root[0].left_out.iter().map(|left| left.events).sum();
    assert_eq!((children.len() as i64 + counted, story.events, story.more), (700, 702, true));
    let asked = told(pool, last).await;
    let way = path(&asked.root).expect("what leads to an event is always there");
    assert_eq!(way.last(), Some(&"Ended"));
}

#[tokio::test]
async fn fault_23_a_story_is_read_by_index_among_20_000_events() {
    let database = TestDatabase::new().await;
    sqlx::query(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         select 'other', 'o' || n, 1, 'Other', '1.0', '{}',
                jsonb_build_object('correlation_id', md5(n::text)::uuid, 'causation_id', 'other:o' || (n - 1) || ':1')
           from generate_series(1, 20000) n",
    )
    .execute(database.pool())
    .await
    .unwrap();
    let score = a_day(database.pool(), 30).await;
    database.seal().await;
    sqlx::query("analyze").execute(database.pool()).await.unwrap();
    let options = PgConnectOptions::from_str(database.url()).unwrap();
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let walks = || async {
        sqlx::query("select pg_stat_force_next_flush()").execute(&pool).await.unwrap();
        let count =
            "select sum(seq_scan)::bigint from pg_stat_user_tables where relname in ('events', 'event_log')";
        sqlx::query_scalar::<_, i64>(count).fetch_one(&pool).await.unwrap()
    };
    let before = walks().await;
    for _ in 0..8 {
        assert_eq!(told(&pool, score).await.events, 65);
    }
    assert_eq!(walks().await, before);
    let all: i64 = sqlx::query_scalar("select count(*) from events where event_type = 'Other'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(all == 20_000 && walks().await > before, "the counter counts");
}
