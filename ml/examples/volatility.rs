//! What the scale of uncertainty is measured by, one way beside the other: constant, the volatility of 20 days, GARCH on
//! returns and on ranges, and the autoregression that is published. All but the first two get the factors of
//! instruments and the level of the day.
//!
//!     cargo run --workspace --example volatility -- BARS.parquet [START=2015-01-01] [UNTIL=2015-12-31]
//!
//! Centre: the drift, as for a family that has earned nothing.

use std::error::Error;
use std::time::Instant;

use almanac_ml::bars::read_parquet;
use almanac_ml::conformal::Scale;
use almanac_ml::evaluation::{CALIBRATION_QUARTERS, TestRows, Units, evaluate, quarters, walk_forward};
use almanac_ml::features::{FeatureTable, Inputs, Labels};
use almanac_ml::models::Task;
use almanac_ml::volatility::garch::{Garch, Shock, Shocks};
use almanac_ml::volatility::{Autoregression, PooledGarch, ScaleModel};
use almanac_ml::{Family, Panel, volatility};
use chrono::NaiveDate;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: volatility BARS.parquet [START [UNTIL]]")?;
    let start: NaiveDate = arguments.next().as_deref().unwrap_or("2015-01-01").parse()?;
    let until: NaiveDate = arguments.next().as_deref().unwrap_or("2015-12-31").parse()?;
    let panel = Panel::new(read_parquet(&std::fs::read(path)?)?).as_of(until);
    let last = panel.latest_session().ok_or("no bars")?;
    let inputs = Inputs::of(&panel);
    let features = FeatureTable::compute(&inputs);
    let table = volatility::table(&inputs, &features);
    let shocks = [Shock::Return, Shock::Range].map(|shock| Shocks::of(&panel, &features, shock));
    for horizon in [1, 5, 20] {
        let labels = Labels::new(&panel, &features, horizon);
        let task = Task { features: &features, labels: &labels };
        let rows = TestRows::collect(&panel, &task, quarters(start, CALIBRATION_QUARTERS, last))
            .embargoed(&panel, horizon);
        let walk = walk_forward(&task, &rows, Family::Drift, &[])?;
        let mut ways = vec![
            ("constant", Units::of(&rows, Scale::Constant), 0.0),
            ("20-day volatility", Units::of(&rows, Scale::Volatility), 0.0),
        ];
        for (name, shocks) in ["GARCH on returns", "GARCH on ranges"].into_iter().zip(&shocks) {
            let clock = Instant::now();
            let scales = PooledGarch { panel: &panel, shocks }.scales(&labels, &rows.cutoffs)?;
            let units = Units::learned(&rows, &scales);
            ways.push((name, units, clock.elapsed().as_secs_f64()));
        }
        let clock = Instant::now();
        let har = Units::learned(&rows, &Autoregression(&table).scales(&labels, &rows.cutoffs)?);
        let (both, seconds) = (har.and(&ways[3].1), clock.elapsed().as_secs_f64());
        ways.push(("autoregression on ranges", har, seconds));
        ways.push(("both on ranges, half of each", both, 0.0));

        println!("\n## horizon {horizon}\n");
        println!("| scale | 80% | 95% | score 80% | score 95% | low/mid/high | worst quarter | CRPS | s |");
        println!("|---|---|---|---|---|---|---|---|---|");
        for (name, units, seconds) in &ways {
            let model = evaluate(&task, &rows, &walk, units)?.model;
            let (Some(inner), Some(outer)) = (model.published(0.80), model.published(0.95)) else {
                return Err("nothing to calibrate on".into());
            };
            println!(
                "| {name} | {:.3} | {:.3} | {:.4} | {:.4} | {:.3}/{:.3}/{:.3} | {:.3} | {:.5} | {seconds:.2} |",
                inner.coverage,
                outer.coverage,
                inner.interval_score,
                outer.interval_score,
                inner.coverage_low_volatility,
                inner.coverage_mid_volatility,
                inner.coverage_high_volatility,
                inner.coverage_quarter_min,
                model.distribution.as_ref().map_or(f64::NAN, |distribution| distribution.crps),
            );
        }
        let cutoff = rows.cutoffs.last().copied().unwrap_or(i32::MAX);
        for (name, shocks) in ["returns", "ranges"].into_iter().zip(&shocks) {
            if let Some(Garch { reaction, persistence }) = Garch::fit(&panel, shocks, cutoff) {
                println!(
                    "\nGARCH on {name}, last cutoff: reaction {reaction:.3}, persistence {persistence:.3}"
                );
            }
        }
    }
    Ok(())
}
