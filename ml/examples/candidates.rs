//! Features beyond the nineteen, group by group: what the trees and ridge rank with them beside without them.
//!
//!     cargo run --workspace --example candidates -- BARS.parquet [SECTORS.csv] [HORIZON=1] [START=2014-07-01] [UNTIL=2015-12-31]
//!
//! `SECTORS.csv` has columns `symbol` and `sector`. Each group is added to the nineteen by itself, then all together. Every
//! feature looks at its row and earlier ones of the instrument, and at the other instruments of the same session. The
//! trees are grown three times, each from another seed; a difference within about .006 is noise.

use std::collections::HashMap;
use std::error::Error;

use almanac_ml::bars::read_parquet;
use almanac_ml::conformal::Scale;
use almanac_ml::evaluation::{TestRows, Units, evaluate, quarters, walk_forward};
use almanac_ml::features::{FeatureTable, Inputs, Labels};
use almanac_ml::models::{Choices, Task};
use almanac_ml::panel::Series;
use almanac_ml::{Family, Panel};
use chrono::{Datelike, NaiveDate};

/// A name and a value for each row of the panel; NaN where there is not enough history.
type Column = (&'static str, Vec<f64>);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path =
        arguments.next().ok_or("usage: candidates BARS.parquet [SECTORS.csv [HORIZON [START [UNTIL]]]]")?;
    let sectors = arguments.next().map(|path| sectors(&path)).transpose()?.unwrap_or_default();
    let horizon: usize = arguments.next().as_deref().unwrap_or("1").parse()?;
    let start: NaiveDate = arguments.next().as_deref().unwrap_or("2014-07-01").parse()?;
    let until: NaiveDate = arguments.next().as_deref().unwrap_or("2015-12-31").parse()?;
    let panel = Panel::new(read_parquet(&std::fs::read(path)?)?).as_of(until);
    let last = panel.latest_session().ok_or("no bars")?;
    let features = FeatureTable::compute(&Inputs::of(&panel));
    let market = Market::of(&panel);
    let groups: Vec<(&str, Vec<Column>)> = vec![
        ("the nineteen alone", vec![]),
        ("variance of ranges (Parkinson, Garman & Klass)", ranges(&panel)),
        ("heterogeneous variance, short over long", slopes(&panel)),
        ("nights and days apart", gaps(&panel)),
        ("distance from highs and lows", highs(&panel)),
        ("market return and dispersion", market.day(&features)),
        ("returns above the market's", relative(&features, &market.groups)),
        ("returns above the sector's", relative(&features, &market.by_sector(&panel, &sectors))),
        ("ranks within the session", market.ranks(&features)),
        ("volume shocks and illiquidity", volumes(&panel)),
        ("turn of the month", calendar(&panel)),
    ];
    let labels = Labels::new(&panel, &features, horizon);
    println!("| added | columns | trees IC, mean of three | t | ridge IC | t |\n|---|---|---|---|---|---|");
    let all: Vec<Column> = groups.iter().flat_map(|(_, columns)| columns.clone()).collect();
    for (name, columns) in groups.into_iter().chain([("all of them", all)]) {
        if columns.is_empty() && name != "the nineteen alone" {
            continue;
        }
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

/// A column from what each series gives, row by row.
fn column(name: &'static str, panel: &Panel, of: impl Fn(&Series<'_>, usize) -> f64) -> Column {
    let mut values = Vec::with_capacity(panel.len());
    for series in panel.iter() {
        values.extend((0..series.close.len()).map(|t| of(&series, t)));
    }
    (name, values)
}

/// The mean of a quantity over the last `rows` rows.
fn mean(t: usize, rows: usize, of: impl Fn(usize) -> f64) -> f64 {
    if t < rows { f64::NAN } else { (t + 1 - rows..=t).map(of).sum::<f64>() / rows as f64 }
}

fn ln(value: f64) -> f64 {
    (value + 1e-8).ln()
}

/// ln(H/L)^2 / (4 ln 2) (Parkinson 1980).
fn parkinson(series: &Series<'_>, t: usize) -> f64 {
    (series.high[t] / series.low[t]).ln().powi(2) / (4.0 * 2.0_f64.ln())
}

/// ln(H/L)^2 / 2 - (2 ln 2 - 1) ln(C/O)^2 (Garman & Klass 1980).
fn garman_klass(series: &Series<'_>, t: usize) -> f64 {
    let (range, body) = ((series.high[t] / series.low[t]).ln(), (series.close[t] / series.open[t]).ln());
    range.powi(2) / 2.0 - (2.0 * 2.0_f64.ln() - 1.0) * body.powi(2)
}

fn ranges(panel: &Panel) -> Vec<Column> {
    let of = |name, rows, day: fn(&Series<'_>, usize) -> f64| {
        column(name, panel, move |series, t| ln(mean(t, rows, |t| day(series, t))))
    };
    vec![
        of("parkinson_5", 5, parkinson),
        of("parkinson_22", 22, parkinson),
        of("garman_klass_5", 5, garman_klass),
        of("garman_klass_22", 22, garman_klass),
    ]
}

fn slopes(panel: &Panel) -> Vec<Column> {
    let of = |name, short, long| {
        column(name, panel, move |series, t| {
            let over = |rows| ln(mean(t, rows, |t| parkinson(series, t)));
            over(short) - over(long)
        })
    };
    vec![of("range_1_22", 1, 22), of("range_5_66", 5, 66), of("range_22_250", 22, 250)]
}

fn gaps(panel: &Panel) -> Vec<Column> {
    let night = |series: &Series<'_>, t: usize| {
        if t == 0 { f64::NAN } else { (series.open[t] / series.close[t - 1]).ln() }
    };
    let day = |series: &Series<'_>, t: usize| (series.close[t] / series.open[t]).ln();
    vec![
        column("night_1", panel, night),
        column("day_1", panel, day),
        column("night_20", panel, move |series, t| mean(t, 20, |t| night(series, t))),
        column("day_20", panel, move |series, t| mean(t, 20, |t| day(series, t))),
    ]
}

fn highs(panel: &Panel) -> Vec<Column> {
    let year = |t: usize| t.saturating_sub(249)..t + 1;
    let most = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    vec![
        column("below_high_250", panel, move |series, t| {
            (series.close[t] / most(&series.close[year(t)])).ln()
        }),
        column("above_low_250", panel, move |series, t| {
            (series.close[t] / least(&series.close[year(t)])).ln()
        }),
        column("place_in_range", panel, |series, t| {
            (series.close[t] - series.low[t]) / (series.high[t] - series.low[t]) - 0.5
        }),
    ]
}

fn volumes(panel: &Panel) -> Vec<Column> {
    let log = |series: &Series<'_>, t: usize| (1.0 + series.volume[t]).ln();
    // Amihud (2002): the move that a dollar of trade makes.
    let illiquidity = |series: &Series<'_>, t: usize| {
        let traded = series.close[t] * series.volume[t];
        if t == 0 {
            f64::NAN
        } else {
            (series.close[t] / series.close[t - 1]).ln().abs() / (traded + 1.0) * 1e9
        }
    };
    vec![
        column("volume_1_20", panel, move |series, t| log(series, t) - mean(t, 20, |t| log(series, t))),
        column("volume_5_60", panel, move |series, t| {
            mean(t, 5, |t| log(series, t)) - mean(t, 60, |t| log(series, t))
        }),
        column("illiquidity_20", panel, move |series, t| ln(mean(t, 20, |t| illiquidity(series, t)))),
    ]
}

fn calendar(panel: &Panel) -> Vec<Column> {
    let date = |series: &Series<'_>, t: usize| almanac_ml::days::date(series.session[t]);
    vec![
        column("day_of_month", panel, move |series, t| f64::from(date(series, t).day())),
        column("month_ends", panel, move |series, t| f64::from(u8::from(date(series, t).day() >= 26))),
        column("month_begins", panel, move |series, t| f64::from(u8::from(date(series, t).day() <= 4))),
    ]
}

/// Each row's return less the mean of its group.
fn relative(features: &FeatureTable, groups: &[Vec<u32>]) -> Vec<Column> {
    let of = |name, feature: usize| {
        let column = features.column(feature);
        let mut out = vec![f64::NAN; column.len()];
        for rows in groups {
            let mean = mean_of(rows, column);
            for &row in rows {
                out[row as usize] = column[row as usize] - mean;
            }
        }
        (name, out)
    };
    // lr_1, lr_5 and lr_20 among the nineteen.
    vec![of("above_1", 0), of("above_5", 2), of("above_20", 4)]
}

fn mean_of(rows: &[u32], column: &[f64]) -> f64 {
    let values = rows.iter().map(|&row| column[row as usize]).filter(|value| value.is_finite());
    let (count, sum) = values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
    sum / count
}

/// The rows of each session.
struct Market {
    groups: Vec<Vec<u32>>,
}

impl Market {
    fn of(panel: &Panel) -> Self {
        let mut days: std::collections::BTreeMap<i32, Vec<u32>> = std::collections::BTreeMap::new();
        for (row, &session) in panel.bars().session.iter().enumerate() {
            days.entry(session).or_default().push(row as u32);
        }
        Self { groups: days.into_values().collect() }
    }

    fn by_sector(&self, panel: &Panel, sectors: &HashMap<String, String>) -> Vec<Vec<u32>> {
        let bars = panel.bars();
        let sector = |row: u32| sectors.get(&bars.keys[bars.key[row as usize] as usize]);
        let groups = self.groups.iter().flat_map(|rows| {
            let mut by_sector: HashMap<Option<&String>, Vec<u32>> = HashMap::new();
            for &row in rows {
                by_sector.entry(sector(row)).or_default().push(row);
            }
            by_sector.into_values().collect::<Vec<_>>()
        });
        groups.collect()
    }

    /// The same for all instruments of a session.
    fn day(&self, features: &FeatureTable) -> Vec<Column> {
        let spread = |name, of: &dyn Fn(&[u32]) -> f64| {
            let mut out = vec![f64::NAN; features.len()];
            for rows in &self.groups {
                let value = of(rows);
                for &row in rows {
                    out[row as usize] = value;
                }
            }
            (name, out)
        };
        let (one, five) = (features.column(0), features.column(2));
        let squares: Vec<f64> = one.iter().map(|value| value * value).collect();
        let dispersion =
            |rows: &[u32]| (mean_of(rows, &squares) - mean_of(rows, one).powi(2)).max(0.0).sqrt();
        vec![
            spread("market_1", &|rows| mean_of(rows, one)),
            spread("market_5", &|rows| mean_of(rows, five)),
            spread("dispersion_1", &dispersion),
        ]
    }

    fn ranks(&self, features: &FeatureTable) -> Vec<Column> {
        let of = |name, feature: usize| {
            let column = features.column(feature);
            let mut out = vec![f64::NAN; column.len()];
            for rows in &self.groups {
                let mut known: Vec<u32> =
                    rows.iter().copied().filter(|&row| column[row as usize].is_finite()).collect();
                known.sort_by(|&a, &b| column[a as usize].total_cmp(&column[b as usize]));
                let count = known.len() as f64;
                for (place, row) in known.into_iter().enumerate() {
                    out[row as usize] = (place as f64 + 0.5) / count - 0.5;
                }
            }
            (name, out)
        };
        // lr_1, lr_5, lr_20, std_20 and vol_z20 among the nineteen.
        vec![of("rank_1", 0), of("rank_5", 2), of("rank_20", 4), of("rank_std_20", 9), of("rank_volume", 14)]
    }
}
