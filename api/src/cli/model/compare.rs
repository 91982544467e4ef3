//! `almanac model compare`.

use almanac_domain::values::{Horizon, Measure};
use almanac_projections::models::ModelVersion;
use almanac_projections::track_record::{self, Record};
use clap::Args;
use serde::Serialize;

use super::super::{Failure, say, say_json};
use super::{OfModel, at_a_bench, table};

/// Compares two versions, measure by measure.
#[derive(Debug, Args)]
pub(super) struct Compare {
    /// The number of one version.
    one: u32,
    /// The number of the other.
    other: u32,
    #[command(flatten)]
    of: OfModel,
}

/// One measure of both.
#[derive(Debug, Serialize)]
struct Pair {
    horizon: Horizon,
    measure: String,
    one: Option<Measure>,
    other: Option<Measure>,
    /// The other less the one.
    difference: Option<Measure>,
}

#[derive(Debug, Serialize)]
struct Comparison {
    one: u32,
    other: u32,
    /// Whether both were evaluated on the same data; otherwise their measures are of different times.
    same_data: bool,
    evaluated: Vec<Pair>,
    /// How the published predictions of both did.
    published: Vec<Record>,
}

impl Compare {
    pub(super) async fn run(self) -> Result<(), Failure> {
        at_a_bench(&self.of, async |bench| {
            let one = self.of.version(bench, self.one).await?;
            let other = self.of.version(bench, self.other).await?;
            let records =
                track_record::performance(bench.parts.database.pool(), &one.model, i64::MAX).await?;
            let wanted = |record: &Record| [Some(self.one), Some(self.other)].contains(&record.version);
            let comparison = Comparison {
                one: self.one,
                other: self.other,
                same_data: one.dataset == other.dataset,
                evaluated: pairs(&one, &other),
                published: records.into_iter().filter(wanted).collect(),
            };
            if self.of.one_off.json { say_json(&comparison) } else { comparison.tell() }
        })
        .await
    }
}

fn pairs(one: &ModelVersion, other: &ModelVersion) -> Vec<Pair> {
    let value = |version: &ModelVersion, horizon, measure: &str| {
        let found = version.evaluation.iter().find(|it| it.horizon == horizon && it.measure == measure);
        found.and_then(|found| found.value)
    };
    let mut places: Vec<(Horizon, &str)> = Vec::new();
    for it in one.evaluation.iter().chain(&other.evaluation) {
        if !places.contains(&(it.horizon, &it.measure)) {
            places.push((it.horizon, &it.measure));
        }
    }
    places.sort_by_key(|(horizon, _)| *horizon);
    let pair = |(horizon, measure): (Horizon, &str)| {
        let (one, other) = (value(one, horizon, measure), value(other, horizon, measure));
        let difference =
            one.zip(other).and_then(|(one, other)| Measure::from_f64(other.to_f64() - one.to_f64()).ok());
        Pair { horizon, measure: measure.to_owned(), one, other, difference }
    };
    places.into_iter().map(pair).collect()
}

impl Comparison {
    fn tell(&self) -> Result<(), Failure> {
        let (one, other) = (format!("VERSION {}", self.one), format!("VERSION {}", self.other));
        let rows: Vec<_> = self
            .evaluated
            .iter()
            .map(|pair| {
                [
                    pair.horizon.sessions().to_string(),
                    pair.measure.clone(),
                    table::or_nothing(pair.one),
                    table::or_nothing(pair.other),
                    table::or_nothing(pair.difference),
                ]
            })
            .collect();
        table::print(["HORIZON", "EVALUATED", &one, &other, "DIFFERENCE"], &rows)?;
        if !self.same_data {
            say(
                "They were evaluated on different data: compare each with its own baselines (`almanac model show`).",
            )?;
        }
        say("")?;
        if self.published.is_empty() {
            return say("Neither has published a prediction that was scored.");
        }
        let rows: Vec<_> = self
            .published
            .iter()
            .map(|record| {
                [
                    table::or_nothing(record.version),
                    record.horizon.sessions().to_string(),
                    record.scored.to_string(),
                    table::or_nothing(record.rmse),
                    table::or_nothing(record.rmse_zero),
                    table::or_nothing(record.coverage_80),
                ]
            })
            .collect();
        table::print(["PUBLISHED BY", "HORIZON", "SCORED", "RMSE", "RMSE ZERO", "COVERAGE 80"], &rows)
    }
}
