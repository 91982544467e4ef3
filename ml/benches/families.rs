//! How long features take and families learn: `cargo bench --profile dev -p almanac-ml`, the
//! build that everything else uses.
//!
//! On the real set where `ALMANAC_REAL_DATA` names its folder, otherwise on a simulated market, so that a change can be
//! judged anywhere. No framework: it would change the features of shared dependencies, and a benchmark of this crate
//! alone would build Polars again. How the same work compares with `LightGBM` and scikit-learn is measured by `docs/bench/families.py`.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use almanac_ml::bars::read_parquet;
use almanac_ml::evaluation::{TestRows, quarters};
use almanac_ml::features::{FeatureTable, Inputs, Labels};
use almanac_ml::models::Task;
use almanac_ml::simulator::{Market, Settings};
use almanac_ml::{Family, Panel, Threads, days};
use chrono::NaiveDate;

/// Times each piece of work is done.
const RUNS: usize = 3;

/// The bars, and the first day that is scored.
fn panel() -> (Panel, NaiveDate) {
    if let Ok(folder) = std::env::var("ALMANAC_REAL_DATA") {
        let bytes = std::fs::read(Path::new(&folder).join("sp500_5y.parquet")).unwrap();
        return (Panel::new(read_parquet(&bytes).unwrap()), "2016-01-01".parse().unwrap());
    }
    let market = Market::new(&Settings::of_years(50, 5, 1));
    (Panel::new(market.bars()), "2022-01-01".parse().unwrap())
}

/// Runs a piece of work a few times and says how long the middle one took.
fn time<R>(name: &str, mut work: impl FnMut() -> R) {
    let mut seconds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let clock = Instant::now();
            black_box(work());
            clock.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_unstable_by(f64::total_cmp);
    println!(
        "{name:<32} {:>9.1} ms ({:.1}-{:.1})",
        1e3 * seconds[RUNS / 2],
        1e3 * seconds[0],
        1e3 * seconds[RUNS - 1]
    );
}

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let (panel, start) = panel();
    time("features", || FeatureTable::compute(black_box(&Inputs::of(&panel))));
    let features = FeatureTable::compute(&Inputs::of(&panel));
    let labels = Labels::new(&panel, &features, 1);
    let task = Task { features: &features, labels: &labels };
    let rows = TestRows::collect(&panel, &task, quarters(start, 0, panel.latest_session().unwrap()));
    let cutoffs: Vec<i32> = rows.folds.iter().map(|fold| days::day(fold.start)).collect();
    for family in Family::TRAINABLE.into_iter().filter(|family| *family != Family::Zero) {
        let name = family.name();
        for threads in [1, 2] {
            let forecaster = family.forecaster_on(Threads::new(threads).unwrap());
            time(&format!("{name}: fit, {threads} threads"), || forecaster.fit(&task, &cutoffs).unwrap());
        }
        let fitted = family.forecaster().fit(&task, &cutoffs).unwrap();
        time(&format!("{name}: forecast"), || rows.predict(&task, &fitted));
    }
}
