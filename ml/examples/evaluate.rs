//! The whole evaluation of a family on a file of bars, as a training makes it, in a few lines for each horizon: every
//! measure beside what guessing scores, calibration over time, placebos.
//!
//!     cargo run --example evaluate -- BARS.parquet [FAMILY=drift] [START=2016-01-01] [UNTIL=] [FEATURES=core]
//!
//! `demo` in place of a file is the simulated market of the demo. With `json` in place of START it prints the JSON of the
//! evaluation.

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

use almanac_ml::bars::read_parquet;
use almanac_ml::evaluation::HorizonEvaluation;
use almanac_ml::simulator::{Market, Settings};
use almanac_ml::{Family, FeatureSet, Inputs, Panel, TrainingSpec, train};
use chrono::NaiveDate;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: evaluate BARS.parquet [FAMILY [START [UNTIL [FEATURES]]]]")?;
    let family = arguments.next().unwrap_or_else(|| "drift".to_owned());
    let start = arguments.next().unwrap_or_else(|| "2016-01-01".to_owned());
    let until = arguments.next().filter(|until| !until.is_empty());
    let until: Option<NaiveDate> = until.map(|until| until.parse()).transpose()?;
    let features = arguments.next().unwrap_or_else(|| "core".to_owned());
    let as_json = start == "json";
    let start: NaiveDate = (if as_json { "2016-01-01" } else { start.as_str() }).parse()?;

    let simulated = path == "demo";
    let bars = if simulated {
        Market::new(&Settings::default()).bars()
    } else {
        read_parquet(&std::fs::read(path)?)?
    };
    let panel = Panel::new(bars);
    let last = until.or(panel.latest_session()).ok_or("no bars")?;
    let spec = TrainingSpec {
        family: Family::named(&family).ok_or("no such family")?,
        features: FeatureSet::named(&features).ok_or("no such features")?,
        test_start: (!simulated).then_some(start),
        ..TrainingSpec::default()
    };
    let clock = Instant::now();
    let trained = train(&Inputs::of(&panel), &spec, last, &mut |_| ControlFlow::Continue(()))?;
    let time = clock.elapsed().as_secs_f64();
    if as_json {
        println!("{}", serde_json::to_string(&trained.evaluation)?);
        return Ok(());
    }
    trained.evaluation.horizons.iter().for_each(show);
    println!("suspicions: {:?}", trained.leak_report.suspicions);
    println!("trained in {time:.2} s");
    Ok(())
}

fn show(evaluation: &HorizonEvaluation) {
    let bootstrap = &evaluation.bootstrap;
    println!(
        "## horizon {}, {} sessions, blocks of {:.1}",
        evaluation.horizon, bootstrap.days, bootstrap.mean_block
    );
    for interval in &evaluation.model.intervals {
        println!(
            "{:?} {:.2}: coverage {:.4}, score {:.5}, quarters {:.3}-{:.3}, instruments {:.3}-{:.3}, volatility {:.3}/{:.3}/{:.3}",
            interval.method,
            interval.level,
            interval.coverage,
            interval.interval_score,
            interval.coverage_quarter_min,
            interval.coverage_quarter_max,
            interval.coverage_instrument_p05,
            interval.coverage_instrument_p95,
            interval.coverage_low_volatility,
            interval.coverage_mid_volatility,
            interval.coverage_high_volatility,
        );
    }
    for measured in &evaluation.measures {
        let end = |end: Option<f64>| end.map_or("-".to_owned(), |end| format!("{end:.6}"));
        println!(
            "{} {:.6} ({} to {})",
            measured.measure,
            measured.value,
            end(measured.low),
            end(measured.high)
        );
        measured.against.iter().for_each(|against| println!("    {}", against.words));
    }
    if let Some(report) = &evaluation.calibration {
        let percents = |values: &mut dyn Iterator<Item = f64>| -> Vec<String> {
            values.map(|value| format!("{:.1}", value * 100.0)).collect()
        };
        println!(
            "quarters 80%: {}",
            percents(&mut report.quarters.iter().map(|it| it.coverage_80)).join(" ")
        );
        println!("months 80%: {}", percents(&mut report.months.iter().map(|it| it.coverage_80)).join(" "));
        println!("instruments 80%: {:?}; 95%: {:?}", report.instruments_80, report.instruments_95);
        println!("pit: {}", percents(&mut report.pit.iter().copied()).join(" "));
        for tenth in &report.reliability {
            println!("said {:.4}, rose {:.4} ({})", tenth.expected, tenth.happened, tenth.rows);
        }
    }
    for corrected in &evaluation.corrections {
        println!(
            "correction {:?}: brier {:.6}, log score {:.6}, difference {:+.6} ({:?} to {:?})",
            corrected.correction,
            corrected.brier,
            corrected.log_score,
            corrected.difference,
            corrected.low,
            corrected.high
        );
    }
    if let Some(placebo) = &evaluation.placebo {
        println!("placebo: {}", placebo.words);
        println!(
            "placebo, squared error saved against drift: {:.3}% true, {:.3}% shuffled, {:.3}% shifted",
            placebo.skill.r2_vs_drift_pct,
            placebo.shuffled.r2_vs_drift_pct,
            placebo.shifted.as_ref().map_or(f64::NAN, |line| line.r2_vs_drift_pct)
        );
    }
}
