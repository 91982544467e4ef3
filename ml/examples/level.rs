//! What the correction of the scale from session to session is worth: every gain with every share forgotten, then what
//! perfect knowledge of the last sessions would be worth.
//!
//!     cargo run --example level -- BARS.parquet [START=2015-01-01] [UNTIL=2015-12-31] [GAIN:FORGOTTEN ...]
//!
//! The dates are those on which `Reaction::default()` was chosen. Centre: the drift, as for a family that has earned nothing.

use std::error::Error;

use almanac_ml::bars::read_parquet;
use almanac_ml::conformal::symmetric_quantile;
use almanac_ml::evaluation::{CALIBRATION_QUARTERS, TestRows, Units, Walk, evaluate, quarters, walk_forward};
use almanac_ml::features::{FeatureTable, Inputs, Labels};
use almanac_ml::models::Task;
use almanac_ml::volatility::{self, Reaction};
use almanac_ml::{Family, Panel};
use chrono::NaiveDate;

const GAINS: [f64; 9] = [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8];
const FORGOTTEN: [f64; 4] = [0.02, 0.05, 0.1, 0.2];
/// Sessions whose outcomes the oracle knows perfectly.
const KNOWN: [usize; 4] = [1, 5, 10, 22];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: level BARS.parquet [START [UNTIL [GAIN:FORGOTTEN ...]]]")?;
    let start: NaiveDate = arguments.next().as_deref().unwrap_or("2015-01-01").parse()?;
    let until: NaiveDate = arguments.next().as_deref().unwrap_or("2015-12-31").parse()?;
    let mut reactions = arguments.map(|text| reaction(&text)).collect::<Result<Vec<_>, _>>()?;
    if reactions.is_empty() {
        let all = GAINS.into_iter().flat_map(|gain| FORGOTTEN.map(|forgotten| Reaction { gain, forgotten }));
        reactions = all.collect();
    }
    let panel = Panel::new(read_parquet(&std::fs::read(path)?)?).as_of(until);
    let last = panel.latest_session().ok_or("no bars")?;
    let inputs = Inputs::of(&panel);
    let features = FeatureTable::compute(&inputs);
    let table = volatility::table(&inputs, &features);
    for horizon in [1, 5, 20] {
        let labels = Labels::new(&panel, &features, horizon);
        let task = Task { features: &features, labels: &labels };
        let rows = TestRows::collect(&panel, &task, quarters(start, CALIBRATION_QUARTERS, last))
            .embargoed(&panel, horizon);
        let learned = volatility::fit(&table, &labels, &rows.cutoffs)?;
        let walk = walk_forward(&task, &rows, Family::Drift, &[])?;
        let units = Units::har(&rows, &table, &learned);
        println!("\n## horizon {horizon}\n");
        println!(
            "| gain | forgotten | 80% | 95% | score 80% | score 95% | low/mid/high | worst quarter | worst month | months off by |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|");
        for &reaction in &reactions {
            show(&task, &rows, &walk, &units.clone().reacting(reaction), reaction)?;
        }
        println!(
            "\nKnowing the outcomes of the last sessions that have ended, and choosing the level that would have been right for them:\n"
        );
        for known in KNOWN {
            let (all, worst) = oracle(&rows, &walk, &units, known);
            println!("- of {known} sessions: 80% interval {all:.3}, worst quarter {worst:.3}");
        }
    }
    Ok(())
}

fn reaction(text: &str) -> Result<Reaction, Box<dyn Error>> {
    let (gain, forgotten) =
        text.split_once(':').ok_or("a gain and a share forgotten are needed, as 0.1:0.05")?;
    Ok(Reaction { gain: gain.parse()?, forgotten: forgotten.parse()? })
}

fn show(
    task: &Task<'_>,
    rows: &TestRows,
    walk: &Walk,
    units: &Units,
    reaction: Reaction,
) -> Result<(), Box<dyn Error>> {
    let evaluation = evaluate(task, rows, walk, units)?;
    let (Some(inner), Some(outer)) = (evaluation.model.published(0.80), evaluation.model.published(0.95))
    else {
        return Err("nothing to calibrate on".into());
    };
    let months = &evaluation.calibration.as_ref().ok_or("nothing to calibrate on")?.months;
    let worst = months.iter().map(|month| month.coverage_80).fold(f64::INFINITY, f64::min);
    let squares: f64 = months.iter().map(|month| (month.coverage_80 - 0.8).powi(2)).sum();
    println!(
        "| {} | {} | {:.4} | {:.4} | {:.5} | {:.5} | {:.3}/{:.3}/{:.3} | {:.3} | {worst:.3} | {:.4} |",
        reaction.gain,
        reaction.forgotten,
        inner.coverage,
        outer.coverage,
        inner.interval_score,
        outer.interval_score,
        inner.coverage_low_volatility,
        inner.coverage_mid_volatility,
        inner.coverage_high_volatility,
        inner.coverage_quarter_min,
        (squares / months.len() as f64).sqrt(),
    );
    Ok(())
}

/// The share of outcomes within symmetric 80% intervals, and in the worst quarter, when the level of every session is the
/// one that would have held exactly 80% of the last `known` sessions whose outcomes are known by then.
fn oracle(rows: &TestRows, walk: &Walk, units: &Units, known: usize) -> (f64, f64) {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| rows.session[i]);
    let days: Vec<&[usize]> = order.chunk_by(|&a, &b| rows.session[a] == rows.session[b]).collect();
    let score = |i: usize| (rows.actual[i] - walk.predicted[i]).abs() / units.at(i);
    let usual_end = |day: &[usize]| {
        let mut ends: Vec<i32> = day.iter().map(|&i| rows.end[i]).collect();
        let middle = ends.len() / 2;
        *ends.select_nth_unstable(middle).1
    };
    let ends: Vec<i32> = days.iter().map(|day| usual_end(day)).collect();
    let mut folds = vec![(0.0, 0.0); rows.folds.len()];
    for day in &days {
        let first = day[0];
        let ended = ends.partition_point(|&end| end <= rows.session[first]);
        if first < rows.first_scored || ended < known {
            continue;
        }
        let past = days[ended - known..ended].iter().flat_map(|day| day.iter());
        let mut scores: Vec<f64> = past.map(|&i| score(i)).collect();
        let half = symmetric_quantile(&mut scores, 0.8);
        let (held, all) = &mut folds[usize::from(rows.fold[first])];
        *held += day.iter().filter(|&&i| score(i) <= half).count() as f64;
        *all += day.len() as f64;
    }
    let whole = folds.iter().fold((0.0, 0.0), |sum, fold| (sum.0 + fold.0, sum.1 + fold.1));
    let shares = folds.iter().filter(|fold| fold.1 > 0.0).map(|fold| fold.0 / fold.1);
    (whole.0 / whole.1, shares.fold(f64::INFINITY, f64::min))
}
