//! The published distributions on the real set, where it is there: as sharp and as honest as documented.

#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;
use std::path::PathBuf;

use almanac_ml::bars::read_parquet;
use almanac_ml::evaluation::{IntervalMetrics, Method};
use almanac_ml::{Family, Inputs, Outcome, Panel, TrainingSpec, forecast, train};

fn real_bars() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("ALMANAC_REAL_DATA")?).join("sp500_5y.parquet");
    path.exists().then_some(path)
}

fn interval(intervals: &[IntervalMetrics], method: Method, level: f64) -> &IntervalMetrics {
    intervals.iter().find(|metrics| metrics.method == method && (metrics.level - level).abs() < 1e-9).unwrap()
}

#[test]
fn intervals_on_the_real_set_are_as_sharp_and_as_honest_as_documented() {
    let Some(path) = real_bars() else { return };
    let panel = Panel::new(read_parquet(&std::fs::read(path).unwrap()).unwrap());
    let last = panel.latest_session().unwrap();
    let spec = TrainingSpec {
        family: Family::Drift,
        test_start: Some("2016-01-01".parse().unwrap()),
        ..TrainingSpec::default()
    };
    let inputs = Inputs::of(&panel);
    let trained = train(&inputs, &spec, last, &mut |_| ControlFlow::Continue(())).unwrap();
    // The method, its interval scores at 80% and 95%, and the least coverage of a quarter at 80%.
    let documented = [
        (1, Method::SymmetricHar, 0.0530, 0.0858, 0.73),
        (1, Method::Published, 0.0530, 0.0858, 0.73),
        (5, Method::SymmetricHar, 0.1212, 0.1911, 0.62),
        (5, Method::Published, 0.1215, 0.1911, 0.62),
    ];
    for (horizon, method, score_80, score_95, worst_quarter) in documented {
        let evaluation = trained.evaluation.horizons.iter().find(|found| found.horizon == horizon).unwrap();
        let [narrow, wide] = [0.80, 0.95].map(|level| interval(&evaluation.model.intervals, method, level));
        println!("horizon {horizon}: {narrow:?}\n{wide:?}\n{:?}", evaluation.model.distribution);
        assert!(narrow.interval_score <= score_80, "{}", narrow.interval_score);
        assert!(wide.interval_score <= score_95, "{}", wide.interval_score);
        assert!((narrow.coverage - 0.80).abs() < 0.01 && (wide.coverage - 0.95).abs() < 0.01);
        for third in
            [narrow.coverage_low_volatility, narrow.coverage_mid_volatility, narrow.coverage_high_volatility]
        {
            assert!((0.78..=0.82).contains(&third), "{third}");
        }
        assert!(narrow.coverage_quarter_min >= worst_quarter, "{}", narrow.coverage_quarter_min);
    }
    let forecasts = forecast(&trained.artefact, &inputs, last).unwrap();
    let predicted = forecasts.iter().filter(|forecast| matches!(forecast.outcome, Outcome::Predicted(_)));
    assert!(predicted.count() > 900);
}
