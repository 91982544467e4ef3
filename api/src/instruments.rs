//! `/instruments`: the stocks, their bars, and what the news says of them.

use actix_web::{get, web};
use almanac_actors::news::DayOfNews;
use almanac_domain::values::Price;
use almanac_ml::headlines::ScoredHeadline;
use almanac_ml::sentiment;
use almanac_projections::instruments::{self, Instrument};
use almanac_projections::paging::List;
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::problem::{Kind, Problem};
use crate::reads::{Items, LimitQuery, PageQuery, within};
use crate::state::State;

/// What to look for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct InstrumentSearch {
    /// The beginning of a symbol, or a part of a name.
    pub search: Option<String>,
}

/// Which bars.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BarsQuery {
    /// The first session.
    pub from: Option<NaiveDate>,
    /// The last session.
    pub to: Option<NaiveDate>,
    /// How many at most, the newest; 500 unless said otherwise.
    #[param(minimum = 1, maximum = 20000)]
    pub limit: Option<u32>,
}

/// One session's prices.
#[derive(Debug, Serialize, ToSchema)]
pub struct Bar {
    /// The session.
    pub session: NaiveDate,
    /// The first price, where known.
    pub open: Option<Decimal>,
    /// The highest price, where known.
    pub high: Option<Decimal>,
    /// The lowest price, where known.
    pub low: Option<Decimal>,
    /// The last price.
    pub close: Decimal,
    /// Shares traded, where known.
    pub volume: Option<Decimal>,
}

/// Bars of one instrument, adjusted for splits.
#[derive(Debug, Serialize, ToSchema)]
pub struct Bars {
    /// The bars, ascending by session.
    pub items: Vec<Bar>,
    /// Splits up to this session are applied.
    pub adjusted_as_of: Option<NaiveDate>,
}

/// What the headlines of one session said of an instrument.
#[derive(Debug, Serialize, ToSchema)]
pub struct DailySentiment {
    /// The session in which they were first seen.
    pub session: NaiveDate,
    /// The mean score, from -1 (bad) to 1 (good).
    pub score: Decimal,
    /// How many there were.
    pub headlines: u64,
}

/// A headline with its score.
#[derive(Debug, Serialize, ToSchema)]
pub struct Headline {
    /// When it was published.
    pub published_at: DateTime<Utc>,
    /// When it was first seen here: it is known from this moment on.
    pub first_seen_at: DateTime<Utc>,
    /// Its words.
    pub headline: String,
    /// Its score, from -1 (bad) to 1 (good).
    pub score: Decimal,
    /// The words that made the score.
    pub words: Vec<String>,
}

impl From<&almanac_ml::bars::Bar> for Bar {
    fn from(bar: &almanac_ml::bars::Bar) -> Self {
        Self {
            session: bar.session,
            open: decimal(bar.open),
            high: decimal(bar.high),
            low: decimal(bar.low),
            close: decimal(bar.close).unwrap_or_default(),
            volume: decimal(bar.volume),
        }
    }
}

impl From<&DayOfNews> for DailySentiment {
    fn from(day: &DayOfNews) -> Self {
        let score = decimal(day.tone.mean).unwrap_or_default();
        Self { session: day.session, score, headlines: u64::from(day.tone.count) }
    }
}

impl From<ScoredHeadline> for Headline {
    fn from(scored: ScoredHeadline) -> Self {
        let ScoredHeadline { published_at, first_seen_at, headline, score, .. } = scored;
        let words = sentiment::score(&headline).words.into_iter().map(|deciding| deciding.word).collect();
        Self { published_at, first_seen_at, headline, score: decimal(score).unwrap_or_default(), words }
    }
}

/// A number as it is shown: to six places, which is finer than any price.
fn decimal(number: f64) -> Option<Decimal> {
    Decimal::from_f64(number).map(|decimal| decimal.round_dp(6).normalize())
}

/// Fills in what comes from the bars and not from the log: the last session and the last two closes.
pub async fn fill_in_prices<'a>(
    state: &State,
    instruments: impl Iterator<Item = &'a mut Instrument>,
) -> Result<(), Problem> {
    let view = state.parts.market.view().await?;
    for instrument in instruments {
        let Some((session, close, before)) = view.last_closes(instrument.id) else { continue };
        instrument.last_session = Some(session);
        instrument.close = Price::from_f64(close).ok();
        instrument.previous_close = before.and_then(|close| Price::from_f64(close).ok());
    }
    Ok(())
}

async fn known(state: &State, id: Uuid) -> Result<Instrument, Problem> {
    let found = instruments::find(state.parts.database.pool(), id).await?;
    found.ok_or_else(|| Problem::with(Kind::Absent, "there is no such instrument"))
}

/// Instruments, by symbol.
#[utoipa::path(
    tag = "instruments",
    params(InstrumentSearch, PageQuery),
    responses((status = 200, description = "One page of instruments", body = List<Instrument>))
)]
#[get("/instruments")]
pub async fn list_instruments(
    state: web::Data<State>,
    wanted: web::Query<InstrumentSearch>,
    page: web::Query<PageQuery>,
) -> Result<web::Json<List<Instrument>>, Problem> {
    let cursor: Option<instruments::Cursor> = page.cursor()?;
    let (pool, search) = (state.parts.database.pool(), wanted.search.as_deref());
    let mut list = instruments::search(pool, search, cursor.as_ref(), page.limit()?).await?;
    fill_in_prices(&state, list.items.iter_mut()).await?;
    Ok(web::Json(list))
}

/// One instrument.
#[utoipa::path(
    tag = "instruments",
    responses((status = 200, description = "The instrument", body = Instrument))
)]
#[get("/instruments/{id}")]
pub async fn get_instrument(
    state: web::Data<State>,
    id: web::Path<Uuid>,
) -> Result<web::Json<Instrument>, Problem> {
    let mut instrument = known(&state, *id).await?;
    fill_in_prices(&state, std::iter::once(&mut instrument)).await?;
    Ok(web::Json(instrument))
}

/// Daily bars of an instrument, adjusted for splits.
#[utoipa::path(
    tag = "instruments",
    params(BarsQuery),
    responses((status = 200, description = "The bars", body = Bars))
)]
#[get("/instruments/{id}/bars")]
pub async fn list_bars(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    range: web::Query<BarsQuery>,
) -> Result<web::Json<Bars>, Problem> {
    let instrument = known(&state, *id).await?;
    let limit = within(range.limit, 500, 20_000)? as usize;
    let shown = state.parts.market.bars(instrument.id, range.from, range.to, limit).await?;
    let items = shown.bars.iter().map(Bar::from).collect();
    Ok(web::Json(Bars { items, adjusted_as_of: shown.adjusted_as_of }))
}

/// What the headlines said, session by session.
#[utoipa::path(
    tag = "instruments",
    params(LimitQuery),
    responses((status = 200, description = "The daily sentiment, ascending", body = Items<DailySentiment>))
)]
#[get("/instruments/{id}/sentiment")]
pub async fn list_sentiment(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    limit: web::Query<LimitQuery>,
) -> Result<web::Json<Items<DailySentiment>>, Problem> {
    let instrument = known(&state, *id).await?;
    let limit = limit.limit(500)? as usize;
    let days = state.parts.news.daily(instrument.id).await?;
    let newest = days.iter().skip(days.len().saturating_sub(limit));
    let items: Vec<DailySentiment> = newest.map(DailySentiment::from).collect();
    Ok(web::Json(items.into()))
}

/// The newest headlines about an instrument.
#[utoipa::path(
    tag = "instruments",
    params(LimitQuery),
    responses((status = 200, description = "The headlines, newest first", body = Items<Headline>))
)]
#[get("/instruments/{id}/headlines")]
pub async fn list_headlines(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    limit: web::Query<LimitQuery>,
) -> Result<web::Json<Items<Headline>>, Problem> {
    let instrument = known(&state, *id).await?;
    let headlines = state.parts.news.latest(instrument.id, limit.limit(50)? as usize).await?;
    let items: Vec<Headline> = headlines.into_iter().map(Headline::from).collect();
    Ok(web::Json(items.into()))
}
