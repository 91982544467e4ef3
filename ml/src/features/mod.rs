//! What a forecast may look at: 19 numbers per instrument and session, from closes, volumes and the calendar, or 50 with
//! ranges, nights, highs and the others of the session ([`FeatureSet`]).
//!
//! The features of a row use that row, earlier rows of the same instrument, and the rows of the same session of the
//! others; a missing session is not filled. They are computed for all rows at once ([`FeatureTable::compute`]) or for one
//! session ([`SessionFeatures`]), with the same bits. Logarithms come from `libm`, as the operating system's differ from
//! processor to processor.

mod across;
mod calendar;
mod highs;
mod labels;
mod momentum;
mod one_session;
mod ranges;
mod returns;
mod sentiment;
mod set;
mod volume;
mod wide;
mod window;

use std::ops::Range;
use std::sync::Arc;

use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use crate::bars::Bars;
use crate::panel::{Panel, Series};
use crate::parallel::{Threads, cut};

pub(crate) use across::Sessions;
pub(crate) use highs::{YEAR, below_high};
pub use labels::Labels;
pub use one_session::SessionFeatures;
pub(crate) use ranges::{log_mean_variance, log_variance, parkinson};
pub use sentiment::DailySentiment;
pub use set::FeatureSet;

/// The features of the core, in their order; every other set begins with them.
pub const NAMES: [&str; 19] = [
    "lr_1",
    "lr_2",
    "lr_5",
    "lr_10",
    "lr_20",
    "mean_5",
    "mean_20",
    "mean_60",
    "std_5",
    "std_20",
    "std_60",
    "rsi14",
    "macd",
    "macd_hist",
    "vol_z20",
    "dow_tue",
    "dow_wed",
    "dow_thu",
    "dow_fri",
];
/// The feature that is there only when news were given.
pub const SENTIMENT: &str = "sentiment";
/// The positions of the returns over 1, 5 and 20 rows among [`NAMES`].
const LR_1: usize = 0;
const LR_5: usize = 2;
const LR_20: usize = 4;
/// The position of the 20-day volatility among [`NAMES`].
pub const STD_20: usize = 9;
/// The position of the volume's z-score among [`NAMES`].
pub const VOL_Z20: usize = 14;
/// Rows of its own history an instrument needs before its first complete features.
pub const WARM_UP_ROWS: usize = 60;

/// What features are computed from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Prices and volumes.
    pub panel: &'a Panel,
    /// News, which add a column of their own; without it there is no such column.
    pub sentiment: Option<&'a [DailySentiment]>,
    /// Which features are computed. Training puts that of its specification here, and whoever is given an artefact that of
    /// the artefact.
    pub set: FeatureSet,
}

impl<'a> Inputs<'a> {
    /// Prices, volumes and news, where there are any.
    pub fn new(panel: &'a Panel, sentiment: Option<&'a [DailySentiment]>) -> Self {
        Self { panel, sentiment, set: FeatureSet::default() }
    }

    /// Prices and volumes alone.
    pub fn of(panel: &'a Panel) -> Self {
        Self::new(panel, None)
    }

    /// The same with the features of a set.
    #[must_use]
    pub fn looking_at(self, set: FeatureSet) -> Self {
        Self { set, ..self }
    }

    /// What of it was known at the end of a session.
    pub fn known_at(&self, session: NaiveDate) -> Known {
        let seen = |news: &[DailySentiment]| {
            news.iter().filter(|news| news.first_seen <= session).cloned().collect()
        };
        Known { panel: self.panel.as_of(session), sentiment: self.sentiment.map(seen), set: self.set }
    }

    /// The names of the columns, in their order.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names = self.set.features();
        names.extend(self.sentiment.map(|_| SENTIMENT));
        names
    }
}

/// What was known at the end of a session: nothing later has a part in what is made of it.
#[derive(Debug, Clone)]
pub struct Known {
    /// Prices and volumes up to the session.
    pub panel: Panel,
    sentiment: Option<Vec<DailySentiment>>,
    set: FeatureSet,
}

impl Known {
    /// To compute features from.
    pub fn inputs(&self) -> Inputs<'_> {
        Inputs::new(&self.panel, self.sentiment.as_deref()).looking_at(self.set)
    }
}

/// The features of every row of a panel, one contiguous column each, in the order of the panel's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureTable {
    names: Vec<&'static str>,
    columns: Vec<Vec<f64>>,
    log_close: Vec<f64>,
    /// Which instrument and session each row is of; tables of the same rows share it.
    places: Arc<Bars>,
    usable: Vec<bool>,
}

impl FeatureTable {
    /// The features of all rows. Where one is not defined yet, it is NaN and the row not usable.
    pub fn compute(inputs: &Inputs<'_>) -> Self {
        Self::compute_from(inputs, i32::MIN, Threads::ONE)
    }

    /// The features of the rows of a session (days since 1970-01-01) and of later ones, bit by bit those of
    /// [`FeatureTable::compute`]. Earlier rows are not usable, and cost next to nothing.
    pub(crate) fn compute_from(inputs: &Inputs<'_>, first: i32, threads: Threads) -> Self {
        let rows = inputs.panel.len();
        let log_close: Vec<f64> = inputs.panel.bars().close.iter().map(|&close| libm::log(close)).collect();
        let mut columns: Vec<Vec<f64>> = inputs.names().iter().map(|_| vec![0.0; rows]).collect();
        let mut usable = vec![false; rows];
        let news = sentiment::ByInstrument::of(inputs.sentiment.unwrap_or_default());
        let groups = inputs.panel.groups(threads.count());
        let ends: Vec<usize> = groups.iter().map(|group| inputs.panel.rows(group.end - 1).end).collect();
        let parts = cut(&mut columns, &ends).into_iter().zip(cut([&mut usable], &ends));
        threads.each(groups.iter().cloned().zip(parts), |(group, (mut columns, usable))| {
            let start = inputs.panel.rows(group.start).start;
            let usable = usable.into_iter().next().unwrap_or_default();
            let mut room = Room::of(&news);
            let runs = group
                .flat_map(|instrument| inputs.panel.runs(instrument).map(move |rows| (instrument, rows)));
            for (instrument, rows) in runs {
                let series = inputs.panel.part(instrument, rows.clone());
                let wanted = series.session.partition_point(|&session| session < first)..rows.len();
                let within = rows.start + wanted.start - start..rows.end - start;
                let mut out: Vec<&mut [f64]> =
                    columns.iter_mut().map(|column| &mut column[within.clone()]).collect();
                fill(inputs, &series, &log_close[rows], wanted, &mut room, &mut out);
                // While the columns are still at hand.
                usable[within.clone()].fill(true);
                for column in &out {
                    for (usable, value) in usable[within.clone()].iter_mut().zip(column.iter()) {
                        *usable &= value.is_finite();
                    }
                }
            }
        });
        let places = inputs.panel.shared_bars();
        if inputs.set == FeatureSet::Wide {
            let sessions = Sessions::of(&places.session, first);
            for column in fill_across(&sessions, &mut columns, threads) {
                usable.iter_mut().zip(column).for_each(|(usable, value)| *usable &= value.is_finite());
            }
        }
        Self { names: inputs.names(), columns, log_close, places, usable }
    }

    /// Other columns of the same rows, usable where all of them are finite and the session is `first` or a later one.
    pub(crate) fn of_columns(
        names: Vec<&'static str>,
        columns: Vec<Vec<f64>>,
        rows: &Self,
        first: i32,
    ) -> Self {
        let places = Arc::clone(&rows.places);
        let usable =
            places.session.iter().enumerate().map(|(row, &session)| {
                session >= first && columns.iter().all(|column| column[row].is_finite())
            });
        let usable = usable.collect();
        Self { names, columns, log_close: rows.log_close.clone(), places, usable }
    }

    /// The number of rows, that of the panel.
    pub fn len(&self) -> usize {
        self.usable.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.usable.is_empty()
    }

    /// The names of the columns.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// One column.
    ///
    /// # Panics
    /// When there are not that many columns.
    pub fn column(&self, feature: usize) -> &[f64] {
        &self.columns[feature]
    }

    /// Whether all features of a row are finite.
    ///
    /// # Panics
    /// When there are not that many rows.
    pub fn usable(&self, row: usize) -> bool {
        self.usable[row]
    }

    /// The number of usable rows.
    pub fn usable_rows(&self) -> usize {
        self.usable.iter().filter(|usable| **usable).count()
    }

    /// Copies a row's features into `out`.
    ///
    /// # Panics
    /// When there are not that many rows.
    pub fn row(&self, row: usize, out: &mut Vec<f64>) {
        out.clear();
        self.append_row(row, out);
    }

    /// The same behind what `out` holds already.
    pub(crate) fn append_row(&self, row: usize, out: &mut Vec<f64>) {
        out.extend(self.columns.iter().map(|column| column[row]));
    }

    /// The name of the instrument a row is of.
    ///
    /// # Panics
    /// When there are not that many rows.
    pub fn key(&self, row: usize) -> &str {
        &self.places.keys[self.places.key[row] as usize]
    }

    /// The names of the instruments, sorted, and the position of each row's among them.
    pub fn instruments(&self) -> (&[String], &[u32]) {
        (&self.places.keys, &self.places.key)
    }

    /// The session of each row, as days since 1970-01-01.
    pub fn sessions(&self) -> &[i32] {
        &self.places.session
    }

    /// The natural logarithm of each row's close.
    pub fn log_close(&self) -> &[f64] {
        &self.log_close
    }

    /// SHA-256 of all names and values as hexadecimal text; equal exactly when the tables are. What is not defined is the
    /// same nothing everywhere, whichever bits stand for it.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut text = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        text(&self.names.join("\n"));
        self.places.keys.iter().for_each(|key| text(key));
        hash.update((self.len() as u64).to_le_bytes());
        let mut buffer = Vec::with_capacity(self.len() * 8);
        for row in 0..self.len() {
            buffer.extend_from_slice(&self.places.key[row].to_le_bytes());
            buffer.extend_from_slice(&self.places.session[row].to_le_bytes());
        }
        hash.update(&buffer);
        for column in &self.columns {
            buffer.clear();
            let bits = |value: &f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
            buffer.extend(column.iter().flat_map(|value| bits(value).to_le_bytes()));
            hash.update(&buffer);
        }
        hex::encode(hash.finalize())
    }

    /// The same table with one more column, usable where that is finite as well.
    ///
    /// # Panics
    /// When the column has not one value per row.
    #[must_use]
    pub fn with_more(mut self, name: &'static str, column: Vec<f64>) -> Self {
        assert_eq!(column.len(), self.len(), "one value per row");
        self.usable.iter_mut().zip(&column).for_each(|(usable, value)| *usable &= value.is_finite());
        self.names.push(name);
        self.columns.push(column);
        self
    }

    /// The same table with a column replaced by what a function makes of it: for planting leaks in tests.
    #[doc(hidden)]
    #[must_use]
    pub fn with_column(mut self, feature: usize, values: Vec<f64>) -> Self {
        self.usable =
            self.usable.iter().zip(&values).map(|(usable, value)| *usable && value.is_finite()).collect();
        self.columns[feature] = values;
        self
    }
}

/// What is kept between instruments: room for working, and the news of each.
struct Room<'a> {
    daily: Vec<f64>,
    logs: Vec<f64>,
    wide: wide::Room,
    news: &'a sentiment::ByInstrument<'a>,
}

impl<'a> Room<'a> {
    fn of(news: &'a sentiment::ByInstrument<'a>) -> Self {
        Self { daily: Vec::new(), logs: Vec::new(), wide: wide::Room::default(), news }
    }
}

/// Computes `rows` of one run into one slice per feature, but for those that look at the others of the session.
fn fill(
    inputs: &Inputs<'_>,
    series: &Series<'_>,
    log_close: &[f64],
    rows: Range<usize>,
    room: &mut Room<'_>,
    out: &mut [&mut [f64]],
) {
    let (core, more) = out.split_at_mut(NAMES.len());
    let [lr_1, lr_2, lr_5, lr_10, lr_20, mean_5, mean_20, mean_60, std_5, std_20, std_60, rest @ ..] = core
    else {
        return;
    };
    for (lag, out) in returns::LAGS.into_iter().zip([lr_1, lr_2, lr_5, lr_10, lr_20]) {
        returns::lagged(log_close, lag, rows.clone(), out);
    }
    // The daily returns of the wanted rows and of the longest window before them.
    let first = rows.start.saturating_sub(WARM_UP_ROWS);
    room.daily.clear();
    room.daily.extend(log_close[first..].windows(2).map(|pair| pair[1] - pair[0]));
    for (window, (mean, std)) in
        returns::WINDOWS.into_iter().zip([(mean_5, std_5), (mean_20, std_20), (mean_60, std_60)])
    {
        returns::mean(log_close, window, rows.clone(), mean);
        returns::spread(log_close, &room.daily, window, rows.clone(), std);
    }
    let [rsi, macd, macd_hist, vol_z20, weekdays @ ..] = rest else { return };
    momentum::rsi(series.close, rows.clone(), rsi);
    momentum::macd(series.close, rows.clone(), macd, macd_hist);
    volume::z_score(series.volume, rows.clone(), &mut room.logs, vol_z20);
    for (weekday, out) in (1..=4).zip(weekdays.iter_mut()) {
        calendar::is_weekday(&series.session[rows.clone()], weekday, out);
    }
    if inputs.set == FeatureSet::Wide {
        wide::fill(series, log_close, rows.clone(), &mut room.wide, &mut more[..wide::OWN]);
    }
    if let (Some(_), Some(out)) = (inputs.sentiment, more.last_mut()) {
        sentiment::since_last_row(series.session, room.news.of_instrument(series.key), rows.start, out);
    }
}

/// Computes the columns that look at the others of the session from those of the core, and gives them back.
fn fill_across<'a>(sessions: &Sessions, columns: &'a mut [Vec<f64>], threads: Threads) -> &'a [Vec<f64>] {
    let (core, more) = columns.split_at_mut(NAMES.len());
    let out = &mut more[wide::OWN..wide::NAMES.len()];
    across::fill(sessions, core, out, threads);
    out
}

/// Whether a feature is the same for all instruments of a session, so that a month has no more values than sessions.
pub(crate) fn of_the_session(name: &str) -> bool {
    name.starts_with("dow_")
        || calendar::MONTH.contains(&name)
        || across::NAMES[..across::OF_THE_SESSION].contains(&name)
}
