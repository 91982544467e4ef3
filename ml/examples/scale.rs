//! Whether time and memory grow with the rows and no faster: features and one ridge fit on simulated markets, instruments in
//! chunks as they come, on one thread.
//!
//!     cargo run --example scale -- [INSTRUMENTS=5000] [YEARS=10] [CHUNK=500]
//!
//! The reference does the same with bootstrapped returns (`scale.py`). Making up the markets is not counted in the times; its
//! memory is. Prints one JSON object per chunk and one for all.

use std::error::Error;
use std::time::Instant;

use almanac_ml::Panel;
use almanac_ml::features::{FeatureTable, Inputs, Labels};
use almanac_ml::models::{RidgeByParts, Task};
use almanac_ml::simulator::{Market, Settings};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let instruments = arguments.next().transpose()?.unwrap_or(5000);
    let years = arguments.next().transpose()?.unwrap_or(10);
    let chunk = arguments.next().transpose()?.unwrap_or(500).max(1);

    let (mut rows, mut making, mut features_time, mut ridge_time) = (0, 0.0, 0.0, 0.0);
    let mut ridge = RidgeByParts::new(1000.0, i32::MAX);
    for (place, first) in (0..instruments).step_by(chunk).enumerate() {
        let clock = Instant::now();
        let settings = Settings::of_years(chunk.min(instruments - first), years, place as u64 + 1);
        let panel = Panel::new(Market::new(&settings).bars());
        making += clock.elapsed().as_secs_f64();

        let clock = Instant::now();
        let features = FeatureTable::compute(&Inputs::of(&panel));
        let labels = Labels::new(&panel, &features, 1);
        features_time += clock.elapsed().as_secs_f64();

        let clock = Instant::now();
        ridge.add(&Task { features: &features, labels: &labels })?;
        ridge_time += clock.elapsed().as_secs_f64();
        rows += panel.len();
        println!(
            "{}",
            json!({ "rows": rows, "features_s": features_time, "ridge_s": ridge_time, "peak_rss_mb": peak_memory_mb() })
        );
    }
    let clock = Instant::now();
    let fitted = ridge.fit()?;
    ridge_time += clock.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({
            "instruments": instruments, "years": years, "chunk": chunk, "rows": rows, "making_s": making,
            "features_s": features_time, "ridge_s": ridge_time, "peak_rss_mb": peak_memory_mb(),
            "at_zero": fitted.predict(&[0.0; 19]),
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
