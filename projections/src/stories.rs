//! The story of an event: what caused it, up to where it began, and what it caused, as a tree.
//!
//! Every event names the event it answers (`causation_id`, a key) and the story it belongs to (`correlation_id`). The
//! tree is read from the sealed log itself, level by level, by index. It is bounded: of each kind of consequence the
//! first few are shown and the others counted, but what leads to the event that was asked for is always there.

use std::collections::{BTreeMap, HashMap, HashSet};

use almanac_store::StoreError;
use serde::Serialize;
use sqlx::{FromRow, PgPool, Row};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::event_log::{COLUMNS, LogEvent};

/// So many consequences of one kind are shown below one event.
const OF_A_KIND: i64 = 5;

/// So many events are shown in all, and those that lead to the one that was asked for; the levels are read from the top,
/// so what is cut off lies deep. What a level has beyond that is counted.
const MOST_EVENTS: usize = 400;

/// So far up the causes are followed.
const HIGHEST: i32 = 64;

/// An event with everything it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Story {
    /// The event that was asked for.
    pub event_id: Uuid,
    /// What all events of the story share.
    pub correlation_id: Option<Uuid>,
    /// How the story began: the events without a cause, each with what it caused.
    pub root: Vec<StoryNode>,
    /// Further beginnings that are not shown.
    pub left_out: Vec<LeftOut>,
    /// How many events the story has in all.
    pub events: i64,
    /// Whether some of them are not shown.
    pub more: bool,
}

/// One event of a story.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StoryNode {
    /// The event.
    pub event: LogEvent,
    /// Whether it is the one that was asked for.
    pub selected: bool,
    /// Who was told of it.
    pub told: Told,
    /// What it caused, in the order of the log.
    #[schema(no_recursion)]
    pub children: Vec<StoryNode>,
    /// What else it caused.
    pub left_out: Vec<LeftOut>,
}

/// Who was told of an event, or is being told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Told {
    /// Mails.
    pub mails: i64,
    /// Calls to integrators.
    pub webhooks: i64,
}

/// Events of one kind that are counted and not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LeftOut {
    /// Their stored name.
    pub event_type: String,
    /// How many.
    pub events: i64,
}

/// Events below one parent with how many of each kind there are.
#[derive(Default)]
struct Level {
    shown: Vec<LogEvent>,
    of_kind: BTreeMap<String, i64>,
}

impl Level {
    fn left_out(&self) -> Vec<LeftOut> {
        let shown = |kind: &str| self.shown.iter().filter(|event| event.event_type == kind).count() as i64;
        let left = self.of_kind.iter().map(|(kind, all)| (kind, all - shown(kind)));
        left.filter(|(_, events)| *events > 0)
            .map(|(kind, events)| LeftOut { event_type: kind.clone(), events })
            .collect()
    }
}

/// The story of a sealed event; none when there is no such event, or it is not sealed yet.
pub async fn of(pool: &PgPool, event_id: Uuid) -> Result<Option<Story>, StoreError> {
    let path = causes(pool, event_id).await?;
    let (Some(selected), Some(first)) = (path.first(), path.last()) else { return Ok(None) };
    let correlation_id = selected.correlation_id;
    let on_the_way: Vec<Uuid> = path.iter().map(|event| event.event_id).collect();
    let mut roots = beginnings(pool, correlation_id, &on_the_way).await?;
    if !roots.shown.iter().any(|event| event.event_id == first.event_id) {
        roots.shown.push(first.clone());
        roots.shown.sort_by_key(|event| event.ordinal);
    }
    let mut below: HashMap<String, Level> = HashMap::new();
    let mut seen: HashSet<i64> = roots.shown.iter().map(|event| event.ordinal).collect();
    let mut frontier: Vec<String> = roots.shown.iter().map(LogEvent::key).collect();
    let (way, mut is_cut): (HashSet<String>, _) = (path.iter().map(LogEvent::key).collect(), false);
    while !frontier.is_empty() {
        if seen.len() >= MOST_EVENTS {
            let all = frontier.len();
            frontier.retain(|key| way.contains(key));
            is_cut |= frontier.len() < all;
        }
        let mut next = vec![];
        let mut found = consequences(pool, &frontier, &on_the_way).await?;
        // In their order, so that it is the last ones that are only counted.
        for parent in frontier {
            let Some(mut level) = found.remove(&parent) else { continue };
            level.shown.retain(|event| {
                (seen.len() < MOST_EVENTS || on_the_way.contains(&event.event_id))
                    && seen.insert(event.ordinal)
            });
            next.extend(level.shown.iter().map(LogEvent::key));
            below.insert(parent, level);
        }
        frontier = next;
    }
    let ordinals: Vec<i64> = seen.iter().copied().collect();
    let told = told(pool, &ordinals).await?;
    let events = match correlation_id {
        Some(correlation_id) => count(pool, correlation_id).await?,
        None => seen.len() as i64,
    };
    let left_out = roots.left_out();
    let grown = Grown { event_id, below: &below, told: &told };
    Ok(Some(Story {
        event_id,
        correlation_id,
        root: roots.shown.iter().map(|event| grown.node(event)).collect(),
        more: !left_out.is_empty() || is_cut || below.values().any(|level| !level.left_out().is_empty()),
        left_out,
        events,
    }))
}

/// What a tree is put together from.
struct Grown<'a> {
    event_id: Uuid,
    below: &'a HashMap<String, Level>,
    told: &'a HashMap<i64, Told>,
}

impl Grown<'_> {
    fn node(&self, event: &LogEvent) -> StoryNode {
        let level = self.below.get(&event.key());
        StoryNode {
            event: event.clone(),
            selected: event.event_id == self.event_id,
            told: self.told.get(&event.ordinal).copied().unwrap_or_default(),
            children: level
                .map(|level| level.shown.iter().map(|child| self.node(child)).collect())
                .unwrap_or_default(),
            left_out: level.map(Level::left_out).unwrap_or_default(),
        }
    }
}

/// The event and what caused it, from itself up to where it began.
async fn causes(pool: &PgPool, event_id: Uuid) -> Result<Vec<LogEvent>, StoreError> {
    let select = format!(
        "with recursive up as (
             select e.position, e.causation_id, 0 as height from events e where e.event_id = $1
             union all
             select c.position, c.causation_id, up.height + 1
               from up cross join lateral regexp_match(up.causation_id, '^([^:]+):(.+):([0-9]{{1,18}})$') as key
               join events c on c.aggregate_type = key[1] and c.aggregate_id = key[2] and c.sequence = key[3]::bigint
              where up.height < $2
         )
         select {COLUMNS} from up join events e on e.position = up.position join event_log l on l.position = e.position
          order by up.height"
    );
    Ok(sqlx::query_as(&select).bind(event_id).bind(HIGHEST).fetch_all(pool).await?)
}

/// The events of a story that nothing caused.
async fn beginnings(
    pool: &PgPool,
    correlation_id: Option<Uuid>,
    on_the_way: &[Uuid],
) -> Result<Level, StoreError> {
    let select = format!(
        "select * from (
             select {COLUMNS}, count(*) over of_kind as of_kind,
                    row_number() over (of_kind order by l.ordinal) as place
               from events e join event_log l on l.position = e.position
              where e.correlation_id = $1 and e.causation_id is null
             window of_kind as (partition by e.event_type)
         ) found where place <= $2 or event_id = any($3) order by ordinal"
    );
    let rows =
        sqlx::query(&select).bind(correlation_id).bind(OF_A_KIND).bind(on_the_way).fetch_all(pool).await?;
    let mut level = Level::default();
    for row in rows {
        let event = LogEvent::from_row(&row)?;
        level.of_kind.insert(event.event_type.clone(), row.try_get("of_kind")?);
        level.shown.push(event);
    }
    Ok(level)
}

/// What the events with these keys caused, by key.
async fn consequences(
    pool: &PgPool,
    keys: &[String],
    on_the_way: &[Uuid],
) -> Result<HashMap<String, Level>, StoreError> {
    let select = format!(
        "select * from unnest($1::text[]) as parent cross join lateral (
             select {COLUMNS}, count(*) over of_kind as of_kind,
                    row_number() over (of_kind order by l.ordinal) as place
               from events e join event_log l on l.position = e.position
              where e.causation_id = parent
             window of_kind as (partition by e.event_type)
         ) found where place <= $2 or event_id = any($3) order by ordinal"
    );
    let rows = sqlx::query(&select).bind(keys).bind(OF_A_KIND).bind(on_the_way).fetch_all(pool).await?;
    let mut below: HashMap<String, Level> = HashMap::new();
    for row in rows {
        let event = LogEvent::from_row(&row)?;
        let level = below.entry(row.try_get("parent")?).or_default();
        level.of_kind.insert(event.event_type.clone(), row.try_get("of_kind")?);
        level.shown.push(event);
    }
    Ok(below)
}

async fn told(pool: &PgPool, ordinals: &[i64]) -> Result<HashMap<i64, Told>, StoreError> {
    let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
        "select ordinal, (select count(*) from mail_outbox m where m.ordinal = o.ordinal),
                (select count(*) from webhook_deliveries d where d.ordinal = o.ordinal)
           from unnest($1::bigint[]) as o (ordinal)",
    )
    .bind(ordinals)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(ordinal, mails, webhooks)| (ordinal, Told { mails, webhooks })).collect())
}

async fn count(pool: &PgPool, correlation_id: Uuid) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar(
        "select count(*) from events e join event_log l on l.position = e.position where e.correlation_id = $1",
    );
    Ok(count.bind(correlation_id).fetch_one(pool).await?)
}
