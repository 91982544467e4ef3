//! The scale of the forecasts of one session: what the model's own choice of scale makes of the bars known by then.

use chrono::NaiveDate;

use crate::artefact::{Artefact, HorizonModel};
use crate::conformal::Scale;
use crate::days;
use crate::features::{FeatureSet, FeatureTable, Inputs, Labels, STD_20};
use crate::models::Task;
use crate::panel::Panel;
use crate::parallel::Threads;
use crate::volatility::{self, Level, Reaction, remembered_sessions};

/// What scales are computed from; nothing where the 20-day volatility is enough.
pub(crate) struct Uncertainty(Option<Scales>);

/// What the scales of a session's forecasts are made of.
struct Scales {
    panel: Panel,
    session: i32,
    table: FeatureTable,
    /// The correction of the day, per model of the artefact.
    levels: Vec<f64>,
}

impl Uncertainty {
    /// Looks at nothing after the session.
    pub fn of(artefact: &Artefact, inputs: &Inputs<'_>, session: NaiveDate, threads: Threads) -> Self {
        if artefact.models.iter().all(|model| model.volatility.is_none()) {
            return Self(None);
        }
        // Whoever makes the same of every row needs no more of it than whether there is enough before it, which any set tells.
        let looks = artefact.models.iter().any(|model| model.fitted.looks_at_features());
        let set = if looks { inputs.set } else { FeatureSet::Core };
        let known = inputs.looking_at(set).known_at(session);
        let panel = &known.panel;
        let first = first_that_counts(artefact, panel);
        let features = FeatureTable::compute_from(&known.inputs(), first, threads);
        let table = volatility::table_from(&known.inputs(), &features, first, threads);
        let session = days::day(session);
        let levels = artefact
            .models
            .iter()
            .map(|model| level(model, panel, &features, &table, session, threads))
            .collect();
        Self(Some(Scales { panel: known.panel, session, table, levels }))
    }

    /// The correction that the scales of the artefact's model at `position` hold.
    pub fn level(&self, position: usize) -> f64 {
        self.0.as_ref().map_or(1.0, |known| known.levels[position])
    }

    /// The scale of a forecast by the artefact's model at `position` for an instrument with these features.
    pub fn scale(&self, position: usize, model: &HorizonModel, key: &str, features: &[f64]) -> f64 {
        let learned = self.0.as_ref().and_then(|known| known.scale(position, model, key));
        learned.unwrap_or_else(|| {
            model.calibration.scale.of(features[STD_20], model.horizon) * model.calibration.factor(key)
        })
    }
}

/// The first session that the correction of any horizon still remembers.
fn first_that_counts(artefact: &Artefact, panel: &Panel) -> i32 {
    let sessions = panel.sessions();
    let remembered = artefact.models.iter().map(|model| remembered_sessions(model.horizon)).max();
    let first = sessions.len().saturating_sub(remembered.unwrap_or_default());
    sessions.get(first).map_or(i32::MIN, |&session| days::day(session))
}

impl Scales {
    fn scale(&self, position: usize, model: &HorizonModel, key: &str) -> Option<f64> {
        let instrument = self.panel.position(key)?;
        let rows = self.panel.rows(instrument);
        let t = self.panel.series(instrument).session.binary_search(&self.session).ok()?;
        let unit = unit(model, &self.table, rows.start + t, &mut Vec::new())?;
        Some(unit * model.calibration.factor(key) * self.levels[position])
    }
}

/// The scale of a row before the factor of its instrument and the correction of the day.
fn unit(model: &HorizonModel, table: &FeatureTable, row: usize, values: &mut Vec<f64>) -> Option<f64> {
    table.row(row, values);
    volatility::scale(model.volatility.as_ref()?, values)
}

/// What the misses of the last sessions have made of the scale: the model of today forecasts each of them again, from the
/// features of then, and hears of the outcome when its label had ended.
fn level(
    model: &HorizonModel,
    panel: &Panel,
    features: &FeatureTable,
    table: &FeatureTable,
    session: i32,
    threads: Threads,
) -> f64 {
    if model.calibration.scale != Scale::Har {
        return 1.0;
    }
    let labels = Labels::new(panel, features, model.horizon);
    let task = Task { features, labels: &labels };
    let mut level = Level::new(model.horizon, Reaction::default());
    let mut outcomes = Vec::new();
    for day in made_again(model, panel, &task, table, threads) {
        let widened = level.at(day.session);
        outcomes.clear();
        for made in &day.made {
            let distribution = model.calibration.distribution(made.expected, made.unit * widened);
            let (low, high) = distribution.interval_80();
            outcomes.push((labels.end(made.row), !(low..=high).contains(&labels.value(made.row))));
        }
        if outcomes.is_empty() {
            continue;
        }
        let middle = outcomes.len() / 2;
        let known = outcomes.select_nth_unstable(middle).1.0;
        // Whoever did not trade is heard of too late.
        let ended = outcomes.iter().filter(|(end, _)| *end <= known);
        let (count, missed) =
            ended.fold((0, 0_usize), |(count, all), (_, missed)| (count + 1, all + usize::from(*missed)));
        level.record(known, missed as f64 / count as f64, count);
    }
    level.at(session)
}

/// One session and what is forecast of it today.
struct Day {
    session: i32,
    made: Vec<Made>,
}

/// A forecast made again.
struct Made {
    /// The row in the panel.
    row: usize,
    expected: f64,
    /// Its scale before the correction of the day.
    unit: f64,
}

/// The forecasts of the sessions that count, oldest first.
fn made_again(
    model: &HorizonModel,
    panel: &Panel,
    task: &Task<'_>,
    table: &FeatureTable,
    threads: Threads,
) -> Vec<Day> {
    let sessions = panel.sessions();
    let recent = &sessions[sessions.len().saturating_sub(remembered_sessions(model.horizon))..];
    let mut found: Vec<Day> =
        recent.iter().map(|&date| Day { session: days::day(date), made: Vec::new() }).collect();
    let days: Vec<i32> = found.iter().map(|day| day.session).collect();
    // Instrument by instrument, as the columns lie.
    let of_instrument = |instrument: usize| {
        let (first, series) = (panel.rows(instrument).start, panel.series(instrument));
        let factor = model.calibration.factor(series.key);
        let (mut places, mut rows, mut units, mut values) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let from = series.session.partition_point(|session| days.first().is_none_or(|day| session < day));
        for (t, session) in series.session.iter().enumerate().skip(from) {
            let row = first + t;
            let Ok(place) = days.binary_search(session) else { continue };
            if !task.labelled(row) {
                continue;
            }
            let Some(unit) = unit(model, table, row, &mut values) else { continue };
            places.push(place);
            rows.push(row);
            units.push(unit * factor);
        }
        let expected = model.fitted.predict_in(task.features, &rows);
        let made = rows.into_iter().zip(expected).zip(units);
        let made = made.map(|((row, expected), unit)| Made { row, expected, unit });
        places.into_iter().zip(made).collect::<Vec<_>>()
    };
    for (place, made) in threads.map(panel.keys().len(), of_instrument).into_iter().flatten() {
        found[place].made.push(made);
    }
    found
}
