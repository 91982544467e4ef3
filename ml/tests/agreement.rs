//! The numbers agree with the Python reference: on a committed fixture always, on the real set where it is there.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Cursor;
use std::path::{Path, PathBuf};

use almanac_ml::bars::{decode_csv, read_parquet};
use almanac_ml::conformal::Scale;
use almanac_ml::evaluation::{
    CALIBRATION_QUARTERS, HorizonEvaluation, IntervalMetrics, Method, PointMetrics, TestRows, Units, Walk,
    evaluate, quarters, walk_forward,
};
use almanac_ml::features::{FeatureTable, Inputs, Labels};
use almanac_ml::models::{Fitted, Task};
use almanac_ml::{Bars, Family, Panel, Rules, days};
use chrono::NaiveDate;
use polars::prelude::{ParquetReader, SerReader};
use serde_json::Value;

const TOLERANCE: f64 = 1e-9;
const RIDGE: Family = Family::Ridge { alpha: 1000.0 };

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn fixture_bars() -> Bars {
    let rules = Rules { latest_session: date("2030-01-01"), is_session: &|_| true };
    let decoded = decode_csv(&std::fs::read(fixture("bars.csv")).unwrap(), None, &rules).unwrap();
    assert_eq!(decoded.quarantined(), 0, "{:?}", decoded.findings);
    decoded.bars
}

/// Rows of a fixture table: the texts of two columns and the numbers of the others.
fn table(name: &str) -> Vec<(String, i32, Vec<f64>)> {
    let mut reader = csv::Reader::from_path(fixture(name)).unwrap();
    reader
        .records()
        .map(|record| {
            let record = record.unwrap();
            let numbers = record.iter().skip(2).map(|field| field.parse().unwrap()).collect();
            (record[0].to_owned(), days::day(date(&record[1])), numbers)
        })
        .collect()
}

fn near(what: &str, ours: f64, theirs: &Value, tolerance: f64) {
    let theirs = theirs.as_f64().unwrap_or_else(|| panic!("{what}: the reference has {theirs}"));
    assert!(
        (ours - theirs).abs() <= tolerance * theirs.abs().max(1.0),
        "{what}: ours {ours}, reference {theirs}"
    );
}

struct World {
    panel: Panel,
    features: FeatureTable,
}

impl World {
    fn new(bars: Bars) -> Self {
        let panel = Panel::new(bars);
        let features = FeatureTable::compute(&Inputs::of(&panel));
        Self { panel, features }
    }

    fn walk(&self, labels: &Labels, test_start: &str) -> (TestRows, Walk, HorizonEvaluation) {
        let task = Task { features: &self.features, labels };
        let last = self.panel.latest_session().unwrap();
        let folds = quarters(date(test_start), CALIBRATION_QUARTERS, last);
        let rows = TestRows::collect(&self.panel, &task, folds);
        let walk = walk_forward(&task, &rows, RIDGE, &[]).unwrap();
        let evaluation = evaluate(&task, &rows, &walk, &Units::of(&rows, Scale::Volatility)).unwrap();
        (rows, walk, evaluation)
    }
}

#[test]
fn features_agree_with_the_reference_on_the_fixture() {
    let world = World::new(fixture_bars());
    let mut values = Vec::new();
    let expected = table("features.csv");
    assert!(expected.len() > 500);
    for (symbol, session, theirs) in expected {
        let instrument = world.panel.position(&symbol).unwrap();
        let t = world.panel.series(instrument).session.binary_search(&session).unwrap();
        let row = world.panel.rows(instrument).start + t;
        assert!(world.features.usable(row));
        world.features.row(row, &mut values);
        for ((ours, theirs), name) in values.iter().zip(&theirs).zip(world.features.names()) {
            assert!(
                (ours - theirs).abs() < TOLERANCE,
                "{name} of {symbol} at {session}: {ours} and {theirs}"
            );
        }
    }
}

#[test]
fn predictions_coefficients_and_metrics_agree_with_the_reference_on_the_fixture() {
    let world = World::new(fixture_bars());
    let expected: Value = serde_json::from_slice(&std::fs::read(fixture("expected.json")).unwrap()).unwrap();
    assert_eq!(world.panel.len() as u64, expected["rows"].as_u64().unwrap());
    assert_eq!(world.features.usable_rows() as u64, expected["usable"].as_u64().unwrap());
    for horizon in [1, 5] {
        let expected = &expected["horizons"][horizon.to_string()];
        let labels = Labels::new(&world.panel, &world.features, horizon);
        let task = Task { features: &world.features, labels: &labels };
        let labelled = (0..world.panel.len()).filter(|&row| task.labelled(row)).count();
        assert_eq!(labelled as u64, expected["labelled"].as_u64().unwrap());
        let (rows, walk, evaluation) = world.walk(&labels, "2015-10-01");

        let predictions = table(&format!("ridge_h{horizon}.csv"));
        assert_eq!(rows.len() - rows.first_scored, predictions.len());
        for (i, (symbol, session, numbers)) in (rows.first_scored..).zip(predictions) {
            assert_eq!(
                (&world.panel.keys()[rows.instrument[i] as usize], rows.session[i]),
                (&symbol, session)
            );
            assert!((rows.actual[i] - numbers[0]).abs() < TOLERANCE);
            assert!((walk.predicted[i] - numbers[1]).abs() < TOLERANCE, "{symbol} at {session}");
        }
        coefficients_agree(&walk, &expected["folds"]);
        points_agree(&evaluation.model.point, &expected["ridge"]);
        points_agree(&evaluation.drift.point, &expected["drift"]);
        intervals_agree(&evaluation.model.intervals, Method::SymmetricConstant, &expected["constant"]);
        intervals_agree(&evaluation.model.intervals, Method::SymmetricVolatility, &expected["volatility"]);
    }
}

fn coefficients_agree(walk: &Walk, folds: &Value) {
    let folds = folds.as_array().unwrap();
    assert_eq!(walk.fitted.len(), folds.len());
    for (fitted, fold) in walk.fitted.iter().zip(folds) {
        let Fitted::Linear(linear) = fitted else { panic!("ridge is linear") };
        let theirs = fold["coef"].as_array().unwrap();
        for (place, (ours, theirs)) in linear.coefficient.iter().zip(theirs).enumerate() {
            let theirs = theirs.as_f64().unwrap();
            assert!(
                (ours - theirs).abs() < 1e-11,
                "weight {place} of {}: {ours} and {theirs}",
                fold["start"]
            );
        }
        assert!((linear.intercept - fold["intercept"].as_f64().unwrap()).abs() < 1e-12);
    }
}

fn points_agree(ours: &PointMetrics, theirs: &Value) {
    assert_eq!(ours.rows as u64, theirs["rows"].as_u64().unwrap());
    assert_eq!(ours.days as u64, theirs["days"].as_u64().unwrap());
    near("hit rate", ours.hit_rate.unwrap(), &theirs["dir_acc"], 1e-12);
    near("up share", ours.up_share, &theirs["up_share"], 1e-12);
    near("mae", ours.mae_return, &theirs["mae_ret"], 1e-12);
    near("rmse", ours.rmse_return, &theirs["rmse_ret"], 1e-12);
    near("mae of price", ours.mae_price, &theirs["mae_price"], TOLERANCE);
    near("mape of price", ours.mape_price_pct, &theirs["mape_price_pct"], TOLERANCE);
    near("r2", ours.r2_vs_zero_pct, &theirs["r2_vs_zero_pct"], 1e-8);
    match &ours.ic {
        None => assert!(theirs.get("ic_mean").is_none()),
        Some(ic) => {
            near("ic", ic.mean, &theirs["ic_mean"], 1e-10);
            near("t of ic", ic.t.unwrap(), &theirs["ic_t"], 1e-8);
            near("newey-west t of ic", ic.t_newey_west.unwrap(), &theirs["ic_t_nw"], 1e-8);
            assert_eq!(ic.days as u64, theirs["ic_days"].as_u64().unwrap());
            near("positive share of ic", ic.positive_share, &theirs["ic_pos_share"], 1e-12);
        }
    }
}

fn intervals_agree(ours: &[IntervalMetrics], method: Method, theirs: &Value) {
    for (level, key) in [(0.8, "0.8"), (0.95, "0.95")] {
        let ours = ours
            .iter()
            .find(|metrics| metrics.method == method && (metrics.level - level).abs() < 1e-9)
            .unwrap();
        let theirs = &theirs[key];
        // A single row may lie on the edge of an interval, and the two sides round differently.
        let edge = 1.1 / 1000.0;
        near("coverage", ours.coverage, &theirs["coverage"], edge);
        near("width", ours.mean_width, &theirs["mean_width"], TOLERANCE);
        near("interval score", ours.interval_score, &theirs["interval_score"], TOLERANCE);
        near("worst quarter", ours.coverage_quarter_min, &theirs["cov_quarter_min"], edge);
        near("best quarter", ours.coverage_quarter_max, &theirs["cov_quarter_max"], edge);
        near("5th percentile", ours.coverage_instrument_p05, &theirs["cov_symbol_p05"], 1e-2);
        near("95th percentile", ours.coverage_instrument_p95, &theirs["cov_symbol_p95"], 1e-2);
        near("low volatility", ours.coverage_low_volatility, &theirs["cov_vol_low"], 3e-3);
        near("mid volatility", ours.coverage_mid_volatility, &theirs["cov_vol_mid"], 3e-3);
        near("high volatility", ours.coverage_high_volatility, &theirs["cov_vol_high"], 3e-3);
        near("spread over days", ours.coverage_day_std.unwrap(), &theirs["cov_day_std"], 1e-3);
    }
}

#[test]
fn agrees_with_the_reference_on_the_real_set() {
    let (Ok(data), Ok(reference)) = (std::env::var("ALMANAC_REAL_DATA"), std::env::var("ALMANAC_REFERENCE"))
    else {
        eprintln!(
            "skipped: ALMANAC_REAL_DATA and ALMANAC_REFERENCE do not name the real data and the reference"
        );
        return;
    };
    let world =
        World::new(read_parquet(&std::fs::read(Path::new(&data).join("sp500_5y.parquet")).unwrap()).unwrap());
    assert_eq!((world.panel.len(), world.panel.keys().len()), (619_040, 505));
    assert_eq!(world.features.usable_rows(), 588_756);
    for (horizon, labelled) in [(1, 588_252), (5, 586_236)] {
        let labels = Labels::new(&world.panel, &world.features, horizon);
        let task = Task { features: &world.features, labels: &labels };
        assert_eq!((0..world.panel.len()).filter(|&row| task.labelled(row)).count(), labelled);
        let (rows, walk, evaluation) = world.walk(&labels, "2016-01-01");

        let agreement = Path::new(&reference).join("agreement");
        let bytes = std::fs::read(agreement.join(format!("preds_ridge_h{horizon}.parquet"))).unwrap();
        let columns = ["symbol", "y", "pred"].map(str::to_owned).to_vec();
        let frame = ParquetReader::new(Cursor::new(bytes)).with_columns(Some(columns)).finish().unwrap();
        assert_eq!(rows.len() - rows.first_scored, frame.height());
        let symbol = frame.column("symbol").unwrap().str().unwrap();
        let actual = frame.column("y").unwrap().f64().unwrap();
        let predicted = frame.column("pred").unwrap().f64().unwrap();
        let mut worst = 0.0_f64;
        for (i, ((symbol, actual), predicted)) in
            (rows.first_scored..).zip(symbol.iter().zip(actual.iter()).zip(predicted.iter()))
        {
            assert_eq!(world.panel.keys()[rows.instrument[i] as usize], symbol.unwrap());
            assert!((rows.actual[i] - actual.unwrap()).abs() < TOLERANCE);
            let off = (walk.predicted[i] - predicted.unwrap()).abs();
            assert!(off < TOLERANCE, "row {i} ({symbol:?}): off by {off}");
            worst = worst.max(off);
        }
        let coefficients = std::fs::read(agreement.join(format!("coef_ridge_h{horizon}.json"))).unwrap();
        let coefficients: Value = serde_json::from_slice(&coefficients).unwrap();
        coefficients_agree(&walk, &coefficients["folds"]);
        let point = &evaluation.model.point;
        eprintln!(
            "horizon {horizon}: {} predictions agree, largest difference {worst:.1e}; r2 vs zero {:.3}%, hit rate {:.4}",
            point.rows,
            point.r2_vs_zero_pct,
            point.hit_rate.unwrap()
        );
    }
}
