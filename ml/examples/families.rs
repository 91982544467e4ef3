//! What the model families score in a walk-forward, and how long they learn: to be held beside `LightGBM` and
//! scikit-learn (`docs/bench/families.py` runs both in turn).
//!
//!     cargo run --example families -- BARS.parquet [--horizon 1] [--threads 1] [--start 2016-01-01]
//!         [--until DAY] [--features core|wide] [--seed 0] [--trees N,RATE,LEAVES,SMALLEST_LEAF,PENALTY,PARTS] [FAMILY ...]
//!
//! Prints one JSON object per family, with the names the reference uses. `fit_s` is the time of the scored folds alone,
//! as the reference times them; a family's own history before them is part of it.

use std::error::Error;
use std::time::Instant;

use almanac_ml::bars::read_parquet;
use almanac_ml::conformal::Scale;
use almanac_ml::evaluation::{TestRows, Units, Walk, evaluate, quarters};
use almanac_ml::features::{FeatureSet, FeatureTable, Inputs, Labels};
use almanac_ml::models::{Choices, Fitted, Task};
use almanac_ml::{Family, Panel, Threads, days};
use chrono::NaiveDate;
use serde_json::json;

struct Wanted {
    path: String,
    horizon: usize,
    threads: Threads,
    start: NaiveDate,
    until: Option<NaiveDate>,
    features: FeatureSet,
    boosted: Choices,
    families: Vec<String>,
}

fn wanted() -> Result<Wanted, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut wanted = Wanted {
        path: arguments.next().ok_or("usage: families BARS.parquet [--horizon H] ... [FAMILY ...]")?,
        horizon: 1,
        threads: Threads::ONE,
        start: "2016-01-01".parse()?,
        until: None,
        features: FeatureSet::Core,
        boosted: Choices::default(),
        families: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or("a value is missing");
        match argument.as_str() {
            "--horizon" => wanted.horizon = value()?.parse()?,
            "--threads" => wanted.threads = Threads::new(value()?.parse()?).ok_or("no threads")?,
            "--start" => wanted.start = value()?.parse()?,
            "--until" => wanted.until = Some(value()?.parse()?),
            "--features" => wanted.features = FeatureSet::named(&value()?).ok_or("no such features")?,
            "--seed" => wanted.boosted.seed = value()?.parse()?,
            "--trees" => wanted.boosted = choices(&value()?, wanted.boosted.seed)?,
            _ => wanted.families.push(argument),
        }
    }
    if wanted.families.is_empty() {
        wanted.families = Family::names().map(str::to_owned).to_vec();
    }
    Ok(wanted)
}

fn choices(text: &str, seed: u64) -> Result<Choices, Box<dyn Error>> {
    let mut parts = text.split(',');
    let mut next = || parts.next().ok_or("six numbers are needed");
    Ok(Choices {
        trees: next()?.parse()?,
        rate: next()?.parse()?,
        leaves: next()?.parse()?,
        smallest_leaf: next()?.parse()?,
        penalty: next()?.parse()?,
        parts: next()?.parse()?,
        seed,
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let wanted = wanted()?;
    let mut panel = Panel::new(read_parquet(&std::fs::read(&wanted.path)?)?);
    if let Some(until) = wanted.until {
        panel = panel.as_of(until);
    }
    let features = FeatureTable::compute(&Inputs::of(&panel).looking_at(wanted.features));
    let last = panel.latest_session().ok_or("no bars")?;
    let labels = Labels::new(&panel, &features, wanted.horizon);
    let task = Task { features: &features, labels: &labels };
    let folds = quarters(wanted.start, 0, last);
    let cutoffs: Vec<i32> = folds.iter().map(|fold| days::day(fold.start)).collect();
    let rows = TestRows::collect(&panel, &task, folds);
    for name in &wanted.families {
        let mut family = Family::named(name).ok_or_else(|| format!("no family is called {name}"))?;
        if let Family::Boosted(choices) | Family::Ensemble { boosted: choices, .. } = &mut family {
            *choices = wanted.boosted;
        }
        let (clock, busy) = (Instant::now(), processor_seconds());
        let fitted = family.forecaster_on(wanted.threads).fit(&task, &cutoffs)?;
        let (fit_time, fit_busy) = (clock.elapsed().as_secs_f64(), processor_seconds() - busy);
        let clock = Instant::now();
        let predicted = rows.predict(&task, &fitted);
        let predict_time = clock.elapsed().as_secs_f64();
        let brier = brier(&task, &rows, &fitted);
        let weights: Vec<Vec<f64>> = fitted.iter().filter_map(weights).collect();
        let walk = Walk { fitted, predicted };
        let scores = evaluate(&task, &rows, &walk, &Units::of(&rows, Scale::Volatility))?;
        let point = &scores.model.point;
        println!(
            "{}",
            json!({
                "model": name, "h": wanted.horizon, "fits": cutoffs.len(), "fit_s": fit_time,
                "fit_cpu_s": fit_busy,
                "predict_s": predict_time, "rows": point.rows, "days": point.days, "dir_acc": point.hit_rate,
                "rmse_ret": point.rmse_return, "r2_vs_zero_pct": point.r2_vs_zero_pct,
                "r2_vs_drift_pct": point.r2_vs_drift_pct, "ic_mean": point.ic.as_ref().map(|ic| ic.mean),
                "ic_t_nw": point.ic.as_ref().and_then(|ic| ic.t_newey_west), "brier": brier,
                "weights": weights, "against_drift": scores.against_drift.words,
            })
        );
    }
    Ok(())
}

/// The mean squared error of the probability of a rise, where the family gives one, and that of the share of rises.
fn brier(task: &Task<'_>, rows: &TestRows, fitted: &[Fitted]) -> Option<(f64, f64)> {
    let rises = rows.actual.iter().filter(|actual| **actual > 0.0).count() as f64 / rows.len() as f64;
    let (mut values, mut sum) = (Vec::new(), 0.0);
    for ((&row, &fold), &actual) in rows.row.iter().zip(&rows.fold).zip(&rows.actual) {
        task.features.row(row as usize, &mut values);
        let probability = fitted[usize::from(fold)].probability_up(&values)?;
        sum += (probability - f64::from(u8::from(actual > 0.0))).powi(2);
    }
    Some((sum / rows.len() as f64, rises * (1.0 - rises)))
}

/// Time this process's threads have run, as the kernel counts it; zero where there is no such file. Threads that have
/// ended are counted by ticks of a hundredth, so short times are coarse.
fn processor_seconds() -> f64 {
    let status = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = status.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |field: usize| fields.get(field).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}

/// What the members of a blend have earned.
fn weights(fitted: &Fitted) -> Option<Vec<f64>> {
    match fitted {
        Fitted::Blend(blend) => Some(blend.members.iter().map(|(weight, _)| *weight).collect()),
        _ => None,
    }
}
