//! What is published, lived through day by day, beside what an evaluation says of it: each quarter a version is trained as
//! of its eve and forecasts every session from what was known then, its level of the day made again each time as for
//! publication.
//!
//!     cargo run --example live -- BARS.parquet [START=2015-01-01] [UNTIL=2015-12-31] [FAMILY=drift]
//!
//! The difference between the two is what the level hears from forecasts of its model's own past: an evaluation lets it hear
//! of forecasts out of sample alone.

use std::error::Error;
use std::ops::ControlFlow;

use almanac_ml::bars::read_parquet;
use almanac_ml::evaluation::{
    CALIBRATION_QUARTERS, LEVELS, TestRows, Units, evaluate, quarters, walk_forward,
};
use almanac_ml::features::{FeatureTable, Inputs, Labels};
use almanac_ml::models::Task;
use almanac_ml::{Family, Outcome, Panel, TrainingSpec, days, forecast, train, volatility};
use chrono::NaiveDate;

const HORIZONS: [usize; 3] = [1, 5, 20];

/// What became of the intervals of one horizon.
#[derive(Default)]
struct Lived {
    /// Per level, the outcomes inside and the sum of interval scores.
    levels: [(f64, f64); 2],
    forecasts: f64,
    /// Per quarter, the outcomes inside the 80% interval and all.
    quarters: Vec<(f64, f64)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: live BARS.parquet [START [UNTIL [FAMILY]]]")?;
    let start: NaiveDate = arguments.next().as_deref().unwrap_or("2015-01-01").parse()?;
    let until: NaiveDate = arguments.next().as_deref().unwrap_or("2015-12-31").parse()?;
    let family = arguments.next().unwrap_or_else(|| "drift".to_owned());
    let family = Family::named(&family).ok_or("no such family")?;
    let panel = Panel::new(read_parquet(&std::fs::read(path)?)?).as_of(until);
    let last = panel.latest_session().ok_or("no bars")?;
    let inputs = Inputs::of(&panel);
    let features = FeatureTable::compute(&inputs);
    let labels = HORIZONS.map(|horizon| Labels::new(&panel, &features, horizon));
    let mut lived = HORIZONS.map(|_| Lived::default());
    let sessions = panel.sessions();
    for quarter in quarters(start, 0, last) {
        let first = sessions.partition_point(|&session| session < quarter.start);
        let end = sessions.partition_point(|&session| session < quarter.end);
        let eve = first.checked_sub(1).map(|eve| sessions[eve]).ok_or("nothing to learn from")?;
        let spec = TrainingSpec { family, horizons: HORIZONS.to_vec(), ..TrainingSpec::default() };
        let trained = train(&inputs, &spec, eve, &mut |_| ControlFlow::Continue(()))?;
        for lived in &mut lived {
            lived.quarters.push((0.0, 0.0));
        }
        for &session in &sessions[first..end] {
            for made in forecast(&trained.artefact, &inputs, session)? {
                let Outcome::Predicted(predicted) = made.outcome else { continue };
                let place =
                    HORIZONS.iter().position(|&horizon| horizon == made.horizon).ok_or("no horizon")?;
                let instrument = panel.position(&made.key).ok_or("no instrument")?;
                let t = panel.series(instrument).session.binary_search(&days::day(session));
                let row = panel.rows(instrument).start + t.map_err(|_| "no bar")?;
                let came = labels[place].value(row);
                if came.is_finite() {
                    lived[place].take([predicted.interval_80, predicted.interval_95], came);
                }
            }
        }
        eprintln!("{} is lived through", quarter.start);
    }
    println!(
        "| horizon | | 80% | 95% | score 80% | score 95% | worst quarter |\n|---|---|---|---|---|---|---|"
    );
    let table = volatility::table(&inputs, &features);
    for ((horizon, labels), lived) in HORIZONS.into_iter().zip(&labels).zip(&lived) {
        lived.show(horizon);
        let task = Task { features: &features, labels };
        let rows = TestRows::collect(&panel, &task, quarters(start, CALIBRATION_QUARTERS, last))
            .embargoed(&panel, horizon);
        let units = Units::har(&rows, &table, &volatility::fit(&table, labels, &rows.cutoffs)?);
        let walk = walk_forward(&task, &rows, family, &[])?;
        let model = evaluate(&task, &rows, &walk, &units)?.model;
        let (Some(inner), Some(outer)) = (model.published(0.80), model.published(0.95)) else {
            return Err("nothing to calibrate on".into());
        };
        println!(
            "| {horizon} | evaluated | {:.4} | {:.4} | {:.5} | {:.5} | {:.4} |",
            inner.coverage,
            outer.coverage,
            inner.interval_score,
            outer.interval_score,
            inner.coverage_quarter_min
        );
    }
    Ok(())
}

impl Lived {
    fn take(&mut self, intervals: [(f64, f64); 2], came: f64) {
        self.forecasts += 1.0;
        for (((low, high), level), (held, score)) in intervals.into_iter().zip(LEVELS).zip(&mut self.levels) {
            *held += f64::from((low..=high).contains(&came));
            *score += high - low + 2.0 / (1.0 - level) * ((low - came).max(0.0) + (came - high).max(0.0));
        }
        let (low, high) = intervals[0];
        if let Some((held, all)) = self.quarters.last_mut() {
            *held += f64::from((low..=high).contains(&came));
            *all += 1.0;
        }
    }

    fn show(&self, horizon: usize) {
        let [(held_80, score_80), (held_95, score_95)] = self.levels;
        let of = |sum: f64| sum / self.forecasts;
        let shares =
            self.quarters.iter().filter(|quarter| quarter.1 > 0.0).map(|quarter| quarter.0 / quarter.1);
        println!(
            "| {horizon} | lived through | {:.4} | {:.4} | {:.5} | {:.5} | {:.4} |",
            of(held_80),
            of(held_95),
            of(score_80),
            of(score_95),
            shares.fold(f64::INFINITY, f64::min)
        );
    }
}
