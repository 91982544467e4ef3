//! Features beyond the nineteen, group by group: what the trees and ridge rank with them beside without them.
//!
//!     cargo run --workspace --example candidates -- BARS.parquet [SECTORS.csv] [HORIZON=1] [START=2014-07-01] [UNTIL=2015-12-31] [ONLY]
//!
//! `SECTORS.csv` has columns `symbol` and `sector`. Each group is added to the nineteen by itself, then all together. The
//! trees are grown three times, each from another seed; a difference within about .006 is noise.

use std::collections::HashMap;
use std::error::Error;

use almanac_ml::bars::read_parquet;
use almanac_ml::conformal::Scale;
use almanac_ml::evaluation::{TestRows, Units, evaluate, quarters, walk_forward};
use almanac_ml::features::{FeatureSet, FeatureTable, Inputs, Labels};
use almanac_ml::models::{Choices, Task};
use almanac_ml::{Family, Panel};
use chrono::NaiveDate;

/// A name and a value for each row of the panel; NaN where there is not enough history.
type Column = (&'static str, Vec<f64>);

/// The features of the wide set beyond the nineteen.
const GROUPS: [(&str, &[&str]); 9] = [
    (
        "variance of ranges (Parkinson, Garman & Klass)",
        &["parkinson_5", "parkinson_22", "garman_klass_5", "garman_klass_22"],
    ),
    ("heterogeneous variance, short over long", &["range_1_22", "range_5_66", "range_22_250"]),
    ("nights and days apart", &["night_1", "day_1", "night_20", "day_20"]),
    ("distance from highs and lows", &["below_high_250", "above_low_250", "place_in_range"]),
    ("market return and dispersion", &["market_1", "market_5", "dispersion_1"]),
    ("returns above the market's", &["above_1", "above_5", "above_20"]),
    ("ranks within the session", &["rank_1", "rank_5", "rank_20", "rank_std_20", "rank_volume"]),
    ("volume shocks and illiquidity", &["volume_1_20", "volume_5_60", "illiquidity_20"]),
    ("turn of the month", &["day_of_month", "month_ends", "month_begins"]),
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("usage: candidates BARS.parquet [SECTORS.csv [HORIZON [START [UNTIL [ONLY]]]]]")?;
    let sectors = arguments.next().map(|path| sectors(&path)).transpose()?.unwrap_or_default();
    let horizon: usize = arguments.next().as_deref().unwrap_or("1").parse()?;
    let start: NaiveDate = arguments.next().as_deref().unwrap_or("2014-07-01").parse()?;
    let until: NaiveDate = arguments.next().as_deref().unwrap_or("2015-12-31").parse()?;
    // Groups whose words hold this; all of them unless said.
    let only = arguments.next().unwrap_or_default();
    let panel = Panel::new(read_parquet(&std::fs::read(path)?)?).as_of(until);
    let last = panel.latest_session().ok_or("no bars")?;
    let wide = FeatureTable::compute(&Inputs::of(&panel).looking_at(FeatureSet::Wide));
    let column = |name: &str| {
        let place =
            wide.names().iter().position(|known| *known == name).ok_or(format!("no feature {name}"))?;
        Ok::<Column, String>((wide.names()[place], wide.column(place).to_vec()))
    };
    let named = |names: &[&str]| names.iter().map(|name| column(name)).collect::<Result<Vec<_>, _>>();
    let features = FeatureTable::compute(&Inputs::of(&panel));
    let more: Vec<&str> = wide.names()[features.names().len()..].to_vec();
    let mut groups: Vec<(&str, Vec<Column>)> = vec![("the nineteen alone", vec![])];
    for (words, names) in GROUPS {
        groups.push((words, named(names)?));
    }
    groups.push(("all of these: the wide set", named(&more)?));
    if !sectors.is_empty() {
        let of_sectors = above_sector(&panel, &features, &sectors);
        groups.push(("returns above the sector's", of_sectors.clone()));
        groups.push(("the wide set and those", [named(&more)?, of_sectors].concat()));
    }
    let labels = Labels::new(&panel, &features, horizon);
    println!("| added | columns | trees IC, mean of three | t | ridge IC | t |\n|---|---|---|---|---|---|");
    for (name, columns) in groups.into_iter().filter(|(name, _)| name.contains(&only)) {
        let count = columns.len();
        // The same rows for everybody: what is not there yet counts as nothing in particular.
        let table = columns.into_iter().fold(features.clone(), |table, (name, mut column)| {
            column.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = 0.0);
            table.with_more(name, column)
        });
        let task = Task { features: &table, labels: &labels };
        let rows = TestRows::collect(&panel, &task, quarters(start, 0, last));
        let ic = |family: Family| -> Result<(f64, f64), Box<dyn Error>> {
            let walk = walk_forward(&task, &rows, family, &[])?;
            let scores = evaluate(&task, &rows, &walk, &Units::of(&rows, Scale::Volatility))?;
            let ic = scores.model.point.ic.ok_or("nothing to rank")?;
            Ok((ic.mean, ic.t_newey_west.unwrap_or(f64::NAN)))
        };
        let (mut mean, mut t) = (0.0, 0.0);
        for seed in 0..3 {
            let found = ic(Family::Boosted(Choices { seed, ..Choices::default() }))?;
            (mean, t) = (mean + found.0 / 3.0, t + found.1 / 3.0);
        }
        let ridge = ic(Family::Ridge { alpha: 1000.0 })?;
        println!("| {name} | {count} | {mean:.4} | {t:.1} | {:.4} | {:.1} |", ridge.0, ridge.1);
    }
    Ok(())
}

/// The sector of each symbol.
fn sectors(path: &str) -> Result<HashMap<String, String>, Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(path)?;
    let place = |headers: &csv::StringRecord, name: &str| headers.iter().position(|header| header == name);
    let headers = reader.headers()?.clone();
    let symbol = place(&headers, "symbol").ok_or("no column `symbol`")?;
    let sector = place(&headers, "sector").ok_or("no column `sector`")?;
    let rows = reader.records().map(|row| row.map(|row| (row[symbol].to_owned(), row[sector].to_owned())));
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Each row's return less the mean of its sector on that session.
fn above_sector(panel: &Panel, features: &FeatureTable, sectors: &HashMap<String, String>) -> Vec<Column> {
    let bars = panel.bars();
    let mut groups: HashMap<(i32, Option<&String>), Vec<usize>> = HashMap::new();
    for (row, &session) in bars.session.iter().enumerate() {
        let sector = sectors.get(&bars.keys[bars.key[row] as usize]);
        groups.entry((session, sector)).or_default().push(row);
    }
    let of = |name, feature: usize| {
        let column = features.column(feature);
        let mut out = vec![f64::NAN; column.len()];
        for rows in groups.values() {
            let known = rows.iter().map(|&row| column[row]).filter(|value| value.is_finite());
            let (count, sum) = known.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
            for &row in rows {
                out[row] = column[row] - sum / count;
            }
        }
        (name, out)
    };
    // lr_1, lr_5 and lr_20 among the nineteen.
    vec![of("above_sector_1", 0), of("above_sector_5", 2), of("above_sector_20", 4)]
}
