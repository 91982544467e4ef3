#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use super::*;

fn scores() -> Value {
    let interval = |level: f64| {
        json!({
            "method": "published", "level": level, "coverage": level, "mean_width": 0.02, "interval_score": 0.03,
            "coverage_quarter_min": 0.7, "coverage_quarter_max": 0.9, "coverage_instrument_p05": 0.75,
            "coverage_instrument_p95": 0.85, "coverage_low_volatility": 0.82, "coverage_mid_volatility": 0.8,
            "coverage_high_volatility": 0.78, "coverage_day_std": 0.1
        })
    };
    json!({
        "point": { "rows": 1000, "days": 50, "hit_rate": 0.51, "rmse_return": 0.0167, "ic": { "mean": 0.012 } },
        "intervals": [interval(0.8), interval(0.95)],
        "distribution": {
            "pinball": 0.004, "crps": 0.009, "brier": 0.25,
            "pit": [0.1, 0.11, 0.09, 0.1, 0.1, 0.1, 0.12, 0.08, 0.1, 0.1]
        }
    })
}

/// An evaluation as the first versions have it.
fn old() -> Value {
    let comparison = json!({ "words": "cannot be told from drift by more than chance: t = -0.9", "t": -0.9 });
    json!({
        "evaluation": {
            "test_start": "2016-01-01", "test_end": "2016-06-30",
            "horizons": [{
                "horizon": 1, "model": scores(), "zero": scores(), "drift": scores(),
                "quarters": [
                    { "start": "2016-01-01", "end": "2016-04-01", "train_rows": 9, "test_rows": 9, "r2_vs_zero_pct": 0.1 },
                    { "start": "2016-04-01", "end": "2016-07-01", "train_rows": 9, "test_rows": 9, "r2_vs_zero_pct": -0.2 }
                ],
                "against_zero": comparison, "against_drift": comparison
            }]
        },
        "leak_report": {
            "checks": [{ "kind": "truncation", "case": "all", "failure": null }],
            "suspicions": ["hit rate of <b>61%</b>"]
        }
    })
}

/// The same with everything that was added since.
fn new() -> Value {
    let mut evaluation = old();
    let held = |start: &str| json!({ "start": start, "rows": 9, "days": 3, "coverage_80": 0.79, "coverage_95": 0.94 });
    let line = |ic: f64| json!({ "r2_vs_drift_pct": 0.01, "ic": ic, "ic_t": 2.0, "hit_rate": 0.5, "always_up": 0.52 });
    let horizon = evaluation.pointer_mut("/evaluation/horizons/0").unwrap();
    horizon["bootstrap"] = json!({ "resamples": 1000, "mean_block": 9.1, "days": 50 });
    horizon["measures"] = json!([{
        "measure": "squared_error", "better": "lower", "value": 2.8e-5, "low": 2.5e-5, "high": 3.1e-5, "days": 50,
        "rows": 1000,
        "against": [{
            "baseline": "drift", "value": 2.9e-5, "difference": -1e-6, "low": -2e-6, "high": -1e-7,
            "verdict": "better", "more_sessions_needed": null, "words": "better than drift: <i>clearly</i>"
        }]
    }]);
    horizon["calibration"] = json!({
        "quarters": [held("2016-01-01")], "months": [held("2016-01-01"), held("2016-02-01")],
        "instruments": [
            { "key": "A", "rows": 9, "coverage_80": 0.81, "coverage_95": 0.95 },
            { "key": "B", "rows": 9, "coverage_80": 0.76, "coverage_95": 0.95 }
        ],
        "reliability": [{ "expected": 0.48, "happened": 0.5, "rows": 9 }, { "expected": 0.55, "happened": 0.53, "rows": 9 }]
    });
    horizon["placebo"] = json!({
        "skill": line(0.017), "shuffled": line(0.001), "shifted": line(-0.002), "words": "the placebo has none"
    });
    let corrected = |correction: &str, difference: f64, low: Value| {
        json!({ "correction": correction, "rows": 900, "brier": 0.2491 + difference, "log_score": 0.692,
                "difference": difference, "low": low, "high": 2e-4 })
    };
    horizon["corrections"] = json!([
        corrected("none", 0.0, json!(0.0)),
        corrected("platt", 1e-4, json!(-1e-4)),
        corrected("isotonic", 2e-4, Value::Null)
    ]);
    for (quarter, ic) in horizon["quarters"].as_array_mut().unwrap().iter_mut().zip([0.01, 0.02]) {
        quarter["ic"] = json!(ic);
        quarter["r2_vs_drift_pct"] = json!(0.05);
    }
    evaluation
}

fn written(evaluation: &Value) -> String {
    let facts = [Fact { name: "Family", value: "<ridge> & co".to_owned() }];
    page("us-daily v1", &facts, evaluation.to_string().as_bytes()).unwrap()
}

#[test]
fn an_evaluation_of_the_first_versions_is_drawn_as_far_as_it_goes() {
    let page = written(&old());
    for title in
        ["Calibration", "Where outcomes came to lie", "Coverage in calm and wild markets", "Score over time"]
    {
        assert!(page.contains(&format!("<h3>{title}</h3>")), "{title}");
    }
    assert!(!page.contains("Skill beside placebo"));
    assert!(page.contains("interval score, 80%") && page.contains("t = -0.9."));
}

#[test]
fn everything_that_was_added_since_is_drawn_too() {
    let page = written(&new());
    for title in [
        "Calibration",
        "Probability of a rise",
        "Where outcomes came to lie",
        "Coverage over time",
        "Coverage in calm and wild markets",
        "Coverage by stock",
        "Score over time",
        "Ranking over time",
        "Skill beside placebo",
    ] {
        assert!(page.contains(&format!("<h3>{title}</h3>")), "{title}");
    }
    assert!(page.contains("1000 resamples of sessions in blocks of 9.1 on average"));
    assert!(page.contains("0.00002500 to 0.00003100"));
    assert!(
        page.contains("corrected by what became of earlier ones") && page.contains("by isotonic regression")
    );
    assert!(page.contains("−0.0001000 to 0.0002000") && page.contains("too few sessions"));
}

#[test]
fn the_page_needs_nothing_else_runs_nothing_and_lets_no_text_become_markup() {
    let page = written(&new());
    for foreign in
        ["<script", "http:", "https:", "src=", "href=", "style=", "@import", "url(", "javascript:", "onload"]
    {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(!page.contains("<b>61%") && !page.contains("<i>clearly") && !page.contains("<ridge>"));
    assert!(page.contains("&lt;i&gt;clearly&lt;&#x2f;i&gt;"), "what was said is still there");
    // The style the policy allows is the one of the page.
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    let digest = STANDARD.encode(Sha256::digest(style));
    assert!(content_security_policy().contains(&format!("style-src 'sha256-{digest}'")));
}

#[test]
fn what_is_no_evaluation_is_refused() {
    assert!(matches!(page("x", &[], b"{}"), Err(ReportError::Unreadable(_))));
}
