//! What the database adds up: one row for each session, version and horizon.

use almanac_domain::values::{Horizon, Mode, ModelName, Session};
use almanac_store::StoreError;
use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};

use super::{Abstentions, Query};
use crate::row;

/// What is never added together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    pub model: ModelName,
    pub version: Option<u32>,
    pub horizon: Horizon,
    pub mode: Mode,
}

/// Counts and sums over the predictions made as of one session. Decimals, so that the order of adding changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionSums {
    pub session: Session,
    pub open: u64,
    pub abstained: u64,
    pub abstentions: Abstentions,
    pub voided: u64,
    pub scored: u64,
    pub hits: u64,
    pub hit_predictions: u64,
    pub inside_80: u64,
    pub inside_95: u64,
    pub ups: u64,
    pub squared_error: Decimal,
    pub squared_error_zero: Decimal,
    pub squared_error_drift: Decimal,
    pub interval_score_80: Decimal,
    pub interval_score_95: Decimal,
    pub brier: Decimal,
    pub pinball: Decimal,
}

impl SessionSums {
    /// Nothing yet.
    pub fn none(session: Session) -> Self {
        Self {
            session,
            open: 0,
            abstained: 0,
            abstentions: Abstentions::default(),
            voided: 0,
            scored: 0,
            hits: 0,
            hit_predictions: 0,
            inside_80: 0,
            inside_95: 0,
            ups: 0,
            squared_error: Decimal::ZERO,
            squared_error_zero: Decimal::ZERO,
            squared_error_drift: Decimal::ZERO,
            interval_score_80: Decimal::ZERO,
            interval_score_95: Decimal::ZERO,
            brier: Decimal::ZERO,
            pinball: Decimal::ZERO,
        }
    }

    /// Takes in more of the same.
    pub fn add(&mut self, more: &Self) {
        self.open += more.open;
        self.abstained += more.abstained;
        self.abstentions.add(&more.abstentions);
        self.voided += more.voided;
        self.scored += more.scored;
        self.hits += more.hits;
        self.hit_predictions += more.hit_predictions;
        self.inside_80 += more.inside_80;
        self.inside_95 += more.inside_95;
        self.ups += more.ups;
        self.squared_error += more.squared_error;
        self.squared_error_zero += more.squared_error_zero;
        self.squared_error_drift += more.squared_error_drift;
        self.interval_score_80 += more.interval_score_80;
        self.interval_score_95 += more.interval_score_95;
        self.brier += more.brier;
        self.pinball += more.pinball;
    }
}

/// Only what had an ordinal by then takes part: a score or a voiding that came later leaves its prediction open.
const SUMS: &str = "with known as (
       select model, version, horizon, mode, as_of, abstention, hit, inside_80, inside_95, realised, squared_error,
              squared_error_zero, squared_error_drift, interval_score_80, interval_score_95, brier, pinball,
              scored_ordinal is not null and scored_ordinal <= $1 as is_scored,
              voided_ordinal is not null and voided_ordinal <= $1 as is_voided
         from predictions
        where trial is null and ordinal <= $1 and ($2::text is null or model = $2)
          and ($3::integer is null or version = $3) and ($4::integer is null or horizon = $4)
          and ($5::uuid is null or instrument = $5))
  select model, version, horizon, mode, as_of,
         count(abstention) as abstained,
         count(*) filter (where abstention = 'stale_data') as stale_data,
         count(*) filter (where abstention = 'too_little_history') as too_little_history,
         count(*) filter (where abstention = 'unresolved_split') as unresolved_split,
         count(*) filter (where abstention = 'out_of_range') as out_of_range,
         count(*) filter (where abstention = 'not_finite') as not_finite,
         count(*) filter (where abstention = 'expired_model') as expired_model,
         count(*) filter (where is_voided) as voided,
         count(*) filter (where abstention is null and not is_voided and not is_scored) as open,
         count(*) filter (where is_scored) as scored,
         count(*) filter (where is_scored and hit) as hits,
         count(hit) filter (where is_scored) as hit_predictions,
         count(*) filter (where is_scored and inside_80) as inside_80,
         count(*) filter (where is_scored and inside_95) as inside_95,
         count(*) filter (where is_scored and realised > 0) as ups,
         coalesce(sum(squared_error) filter (where is_scored), 0) as squared_error,
         coalesce(sum(squared_error_zero) filter (where is_scored), 0) as squared_error_zero,
         coalesce(sum(squared_error_drift) filter (where is_scored), 0) as squared_error_drift,
         coalesce(sum(interval_score_80) filter (where is_scored), 0) as interval_score_80,
         coalesce(sum(interval_score_95) filter (where is_scored), 0) as interval_score_95,
         coalesce(sum(brier) filter (where is_scored), 0) as brier,
         coalesce(sum(pinball) filter (where is_scored), 0) as pinball
    from known group by model, version, horizon, mode, as_of";

/// The sums of every session that `query` asks for, as they were known at the ordinal `as_of`.
pub(super) async fn of(
    pool: &PgPool,
    query: &Query,
    as_of: i64,
) -> Result<Vec<(Group, SessionSums)>, StoreError> {
    let rows = sqlx::query(SUMS)
        .bind(as_of)
        .bind(query.model.as_ref().map(ModelName::as_str))
        .bind(query.version.map(|version| version as i32))
        .bind(query.horizon.map(|horizon| horizon as i32))
        .bind(query.instrument);
    Ok(rows.try_map(|row| Ok((group(&row)?, sums(&row)?))).fetch_all(pool).await?)
}

fn group(row: &PgRow) -> Result<Group, sqlx::Error> {
    Ok(Group {
        model: row::word(row, "model")?,
        version: Some(row::number(row, "version")?),
        horizon: row::horizon(row, "horizon")?,
        mode: row::word(row, "mode")?,
    })
}

fn sums(row: &PgRow) -> Result<SessionSums, sqlx::Error> {
    Ok(SessionSums {
        session: row.try_get("as_of")?,
        open: row::count(row, "open")?,
        abstained: row::count(row, "abstained")?,
        abstentions: Abstentions {
            stale_data: row::count(row, "stale_data")?,
            too_little_history: row::count(row, "too_little_history")?,
            unresolved_split: row::count(row, "unresolved_split")?,
            out_of_range: row::count(row, "out_of_range")?,
            not_finite: row::count(row, "not_finite")?,
            expired_model: row::count(row, "expired_model")?,
        },
        voided: row::count(row, "voided")?,
        scored: row::count(row, "scored")?,
        hits: row::count(row, "hits")?,
        hit_predictions: row::count(row, "hit_predictions")?,
        inside_80: row::count(row, "inside_80")?,
        inside_95: row::count(row, "inside_95")?,
        ups: row::count(row, "ups")?,
        squared_error: row.try_get("squared_error")?,
        squared_error_zero: row.try_get("squared_error_zero")?,
        squared_error_drift: row.try_get("squared_error_drift")?,
        interval_score_80: row.try_get("interval_score_80")?,
        interval_score_95: row.try_get("interval_score_95")?,
        brier: row.try_get("brier")?,
        pinball: row.try_get("pinball")?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use almanac_domain::prediction::Abstention;

    use super::*;

    #[test]
    fn every_reason_to_abstain_is_counted() {
        use Abstention as Reason;
        // Whoever adds a reason is led here by the compiler.
        let word = |reason: Reason| match reason {
            Reason::StaleData => "stale_data",
            Reason::TooLittleHistory => "too_little_history",
            Reason::UnresolvedSplit => "unresolved_split",
            Reason::OutOfRange => "out_of_range",
            Reason::NotFinite => "not_finite",
            Reason::ExpiredModel => "expired_model",
        };
        let reasons = [
            Reason::StaleData,
            Reason::TooLittleHistory,
            Reason::UnresolvedSplit,
            Reason::OutOfRange,
            Reason::NotFinite,
            Reason::ExpiredModel,
        ];
        let stored: BTreeSet<String> = reasons.iter().map(|reason| row::written(reason).unwrap()).collect();
        assert_eq!(stored, reasons.map(|reason| word(reason).to_owned()).into());
        let shown = serde_json::to_value(Abstentions::default()).unwrap();
        assert_eq!(stored, shown.as_object().unwrap().keys().cloned().collect());
        for reason in stored {
            assert!(SUMS.contains(&format!("(where abstention = '{reason}') as {reason},")), "{reason}");
        }
    }
}
