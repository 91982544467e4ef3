//! The track record: how published predictions did, beside what guessing would have scored, as of any ordinal.
//!
//! There is no table of its own: the database adds up the predictions of each session, and [`statistics`] turns the
//! sums into measures. Sessions, not predictions, are counted as observations wherever uncertainty is stated,
//! because the stocks of one day move together.

mod statistics;
mod sums;

use std::collections::BTreeMap;

use almanac_domain::values::{Horizon, Measure, Mode, ModelName, Session};
use almanac_store::StoreError;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

pub use statistics::Verdict;
use sums::{Group, SessionSums};

/// Which part of the record to show; what is none does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Of this model.
    pub model: Option<ModelName>,
    /// Of this version.
    pub version: Option<u32>,
    /// At this horizon, in sessions.
    pub horizon: Option<u32>,
    /// Of this instrument.
    pub instrument: Option<Uuid>,
    /// Each version by itself; naming a version does so too.
    pub by_version: bool,
}

/// Slots left empty, by the reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Abstentions {
    /// The instrument had no bar at the as-of session.
    pub stale_data: u64,
    /// The instrument had too few bars for its features.
    pub too_little_history: u64,
    /// A jump looked like a split nobody had recorded.
    pub unresolved_split: u64,
    /// A feature lay far outside what the version was trained on.
    pub out_of_range: u64,
    /// A number that had to be finite was not.
    pub not_finite: u64,
    /// The version learnt from data that ended too long ago.
    pub expired_model: u64,
}

impl Abstentions {
    /// Takes in more of the same.
    fn add(&mut self, more: &Self) {
        self.stale_data += more.stale_data;
        self.too_little_history += more.too_little_history;
        self.unresolved_split += more.unresolved_split;
        self.out_of_range += more.out_of_range;
        self.not_finite += more.not_finite;
        self.expired_model += more.expired_model;
    }
}

/// How one model, or one version of it, did at one horizon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Record {
    /// The model.
    #[schema(value_type = String)]
    pub model: ModelName,
    /// The version; null where all are taken together.
    pub version: Option<u32>,
    /// Sessions ahead.
    #[schema(value_type = u32)]
    pub horizon: Horizon,
    /// Real or simulated prices, by which clock; never taken together.
    #[schema(value_type = String)]
    pub mode: Mode,
    /// Predictions measured.
    pub scored: u64,
    /// Sessions they were made as of.
    pub sessions: u64,
    /// Predictions whose day has not come.
    pub open: u64,
    /// Slots left empty.
    pub abstained: u64,
    /// The same by the reason.
    pub abstentions: Abstentions,
    /// Predictions taken out of the record by their rule.
    pub voided: u64,
    /// Share of right signs among those that had one.
    #[schema(value_type = Option<String>)]
    pub hit_rate: Option<Measure>,
    /// Right signs.
    pub hits: u64,
    /// Predictions where there was a sign to get right.
    pub hit_predictions: u64,
    /// Root of the mean squared error, in log return.
    #[schema(value_type = Option<String>)]
    pub rmse: Option<Measure>,
    /// The same of "no change".
    #[schema(value_type = Option<String>)]
    pub rmse_zero: Option<Measure>,
    /// The same of "the mean return of the training data".
    #[schema(value_type = Option<String>)]
    pub rmse_drift: Option<Measure>,
    /// One minus the squared error in units of that of "no change"; above 0 is better than it.
    #[schema(value_type = Option<String>)]
    pub skill_vs_zero: Option<Measure>,
    /// The same against "the mean return of the training data".
    #[schema(value_type = Option<String>)]
    pub skill_vs_drift: Option<Measure>,
    /// Lower end of its 95% interval, sessions as clusters.
    #[schema(value_type = Option<String>)]
    pub skill_vs_drift_low: Option<Measure>,
    /// Upper end of its 95% interval.
    #[schema(value_type = Option<String>)]
    pub skill_vs_drift_high: Option<Measure>,
    /// Share of outcomes inside the 80% interval.
    #[schema(value_type = Option<String>)]
    pub coverage_80: Option<Measure>,
    /// Share of outcomes inside the 95% interval.
    #[schema(value_type = Option<String>)]
    pub coverage_95: Option<Measure>,
    /// Mean interval score of the 80% interval, in log return; lower is better.
    #[schema(value_type = Option<String>)]
    pub interval_score_80: Option<Measure>,
    /// Mean interval score of the 95% interval.
    #[schema(value_type = Option<String>)]
    pub interval_score_95: Option<Measure>,
    /// Mean Brier score of the probability of a rise; a coin has 0.25.
    #[schema(value_type = Option<String>)]
    pub brier: Option<Measure>,
    /// Mean pinball loss, in log return; lower is better.
    #[schema(value_type = Option<String>)]
    pub pinball: Option<Measure>,
    /// Share of rises among the outcomes: what "always up" would have hit.
    #[schema(value_type = Option<String>)]
    pub up_share: Option<Measure>,
    /// Whether it is better than the drift.
    pub verdict: Verdict,
    /// The same in a sentence.
    pub verdict_words: String,
}

/// One session of the record; the squared errors are sums over its predictions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RecordPoint {
    /// The as-of session.
    #[schema(value_type = chrono::NaiveDate)]
    pub session: Session,
    /// Predictions measured.
    pub scored: u64,
    /// Outcomes inside the 80% interval.
    pub inside_80: u64,
    /// Outcomes inside the 95% interval.
    pub inside_95: u64,
    /// Sum of squared errors.
    #[schema(value_type = String)]
    pub squared_error: Measure,
    /// Sum of squared errors of "no change".
    #[schema(value_type = String)]
    pub squared_error_zero: Measure,
    /// Sum of squared errors of "the mean return of the training data".
    #[schema(value_type = String)]
    pub squared_error_drift: Measure,
    /// Right signs.
    pub hits: u64,
    /// Predictions where there was a sign to get right.
    pub hit_predictions: u64,
}

/// The record as it was known at the ordinal `as_of`: one for each model, horizon and mode, and, where asked for, version.
pub async fn records(pool: &PgPool, query: &Query, as_of: i64) -> Result<Vec<Record>, StoreError> {
    let by_version = query.by_version || query.version.is_some();
    let mut groups: BTreeMap<Group, BTreeMap<Session, SessionSums>> = BTreeMap::new();
    for (mut group, sums) in sums::of(pool, query, as_of).await? {
        group.version = group.version.filter(|_| by_version);
        groups
            .entry(group)
            .or_default()
            .entry(sums.session)
            .or_insert_with(|| SessionSums::none(sums.session))
            .add(&sums);
    }
    Ok(groups.into_iter().map(|(group, sessions)| statistics::record(group, &sessions)).collect())
}

/// The record of each version of a model by itself, as it was known at the ordinal `as_of`.
pub async fn performance(pool: &PgPool, model: &ModelName, as_of: i64) -> Result<Vec<Record>, StoreError> {
    let query = Query { model: Some(model.clone()), by_version: true, ..Query::default() };
    records(pool, &query, as_of).await
}

/// The record of a model at one horizon, session by session in ascending order.
pub async fn series(
    pool: &PgPool,
    model: &ModelName,
    horizon: u32,
    version: Option<u32>,
    as_of: i64,
) -> Result<Vec<RecordPoint>, StoreError> {
    let query = Query { model: Some(model.clone()), version, horizon: Some(horizon), ..Query::default() };
    let mut sessions: BTreeMap<Session, SessionSums> = BTreeMap::new();
    for (_, sums) in sums::of(pool, &query, as_of).await? {
        sessions.entry(sums.session).or_insert_with(|| SessionSums::none(sums.session)).add(&sums);
    }
    Ok(sessions.values().filter(|sums| sums.scored > 0).map(statistics::point).collect())
}
