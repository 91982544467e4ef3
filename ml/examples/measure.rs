//! Times and peak memory of loading, features and the ridge walk-forward, to be held beside those of the Python
//! reference (`bench.py` there, and `evaluate.py --models drift,ridge`).
//!
//!     cargo run --example measure -- BARS.parquet [TEST_START [features|walk|train]]
//!
//! Prints one JSON object per horizon with the names the reference uses, and one for a whole training. With `features`
//! it stops after the features and with `walk` after the walk-forward, as the reference does.

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

use almanac_ml::bars::read_parquet;
use almanac_ml::conformal::Scale;
use almanac_ml::evaluation::{TestRows, Units, evaluate, quarters, walk_forward};
use almanac_ml::features::{FeatureTable, Inputs, Labels};
use almanac_ml::models::{Family, Task};
use almanac_ml::{Panel, TrainingSpec, days, forecast, train};
use chrono::NaiveDate;
use serde_json::json;

const RIDGE: Family = Family::Ridge { alpha: 1000.0 };

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: measure BARS.parquet [TEST_START [features|walk|train]]")?;
    let test_start: NaiveDate = arguments.next().as_deref().unwrap_or("2016-01-01").parse()?;

    let until = arguments.next().unwrap_or_else(|| "train".to_owned());

    let clock = Instant::now();
    let panel = Panel::new(read_parquet(&std::fs::read(path)?)?);
    let load = clock.elapsed().as_secs_f64();
    let clock = Instant::now();
    let features = FeatureTable::compute(&Inputs::of(&panel));
    let features_time = clock.elapsed().as_secs_f64();
    let last = panel.latest_session().ok_or("no bars")?;
    eprintln!("rows {} usable {} instruments {}", panel.len(), features.usable_rows(), panel.keys().len());
    if until == "features" {
        println!(
            "{}",
            json!({ "load_s": load, "features_s": features_time, "peak_rss_mb": peak_memory_mb() })
        );
        return Ok(());
    }

    for horizon in [1, 5] {
        let labels = Labels::new(&panel, &features, horizon);
        let task = Task { features: &features, labels: &labels };
        // The nine scored folds alone, as the reference times them.
        let folds = quarters(test_start, 0, last);
        let rows = TestRows::collect(&panel, &task, folds.clone());
        let cutoffs: Vec<i32> = folds.iter().map(|fold| days::day(fold.start)).collect();
        let clock = Instant::now();
        let fitted = RIDGE.forecaster().fit(&task, &cutoffs)?;
        let train_time = clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        let predicted = rows.predict(&task, &fitted);
        let predict_time = clock.elapsed().as_secs_f64();
        // With the quarters before them, which calibrate the intervals.
        let rows = TestRows::collect(&panel, &task, quarters(test_start, 4, last));
        let walk = walk_forward(&task, &rows, RIDGE, &[])?;
        let clock = Instant::now();
        let evaluation = evaluate(&task, &rows, &walk, &Units::of(&rows, Scale::Volatility))?;
        let metrics_time = clock.elapsed().as_secs_f64();
        let point = &evaluation.model.point;
        println!(
            "{}",
            json!({
                "threads": 1, "model": "ridge", "h": horizon, "load_s": load, "features_s": features_time,
                "train_s": train_time, "fits": fitted.len(), "predict_s": predict_time, "predictions": predicted.len(),
                "metrics_s": metrics_time, "peak_rss_mb": peak_memory_mb(), "dir_acc": point.hit_rate,
                "rmse_ret": point.rmse_return, "r2_vs_zero_pct": point.r2_vs_zero_pct,
                "against_drift": evaluation.against_drift.words,
            })
        );
    }
    if until == "walk" {
        return Ok(());
    }
    drop(features);
    let clock = Instant::now();
    let spec = TrainingSpec { test_start: Some(test_start), ..TrainingSpec::default() };
    let inputs = Inputs::of(&panel);
    let trained = train(&inputs, &spec, last, &mut |_| ControlFlow::Continue(()))?;
    let whole = clock.elapsed().as_secs_f64();
    let clock = Instant::now();
    let forecasts = forecast(&trained.artefact, &inputs, last)?;
    println!(
        "{}",
        json!({
            "training_s": whole, "forecast_s": clock.elapsed().as_secs_f64(), "forecasts": forecasts.len(),
            "peak_rss_mb": peak_memory_mb(),
        })
    );
    Ok(())
}

/// The most memory this process ever held, as the kernel counts it; zero where there is no such file.
fn peak_memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<f64>().ok()).unwrap_or_default()
        / 1024.0
}
