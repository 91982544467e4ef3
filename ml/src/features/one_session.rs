//! The features of all instruments at one session, for publication.

use super::sentiment::ByInstrument;
use super::{FeatureSet, Inputs, Room, Sessions, fill, fill_across};
use crate::parallel::Threads;

/// The features of every instrument that has a bar at a session, bit by bit those of
/// [`FeatureTable::compute`](super::FeatureTable::compute), without computing the others. Later rows are not looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionFeatures {
    /// Per instrument of the panel, its place in the columns.
    place: Vec<Option<usize>>,
    columns: Vec<Vec<f64>>,
}

impl SessionFeatures {
    /// Those of a session (days since 1970-01-01).
    pub fn of(inputs: &Inputs<'_>, session: i32) -> Self {
        let panel = inputs.panel;
        let mut columns: Vec<Vec<f64>> = inputs.names().iter().map(|_| Vec::new()).collect();
        let news = ByInstrument::of(inputs.sentiment.unwrap_or_default());
        let (mut place, mut room) = (vec![None; panel.keys().len()], Room::of(&news));
        let (mut count, mut log_close) = (0, Vec::new());
        for (instrument, place) in place.iter_mut().enumerate() {
            let rows = panel.rows(instrument);
            let Ok(t) = panel.series(instrument).session.binary_search(&session) else { continue };
            let row = rows.start + t;
            let run = panel.run_of(row).start..row + 1;
            let t = row - run.start;
            let series = panel.part(instrument, run);
            // Only the rows within the longest look-back need their logarithm.
            let first = t.saturating_sub(inputs.set.look_back());
            log_close.clear();
            log_close.resize(first, f64::NAN);
            log_close.extend(series.close[first..].iter().map(|&close| libm::log(close)));
            for column in &mut columns {
                column.push(0.0);
            }
            let mut out: Vec<&mut [f64]> = columns.iter_mut().map(|column| &mut column[count..]).collect();
            fill(inputs, &series, &log_close, t..t + 1, &mut room, &mut out);
            *place = Some(count);
            count += 1;
        }
        if inputs.set == FeatureSet::Wide {
            fill_across(&Sessions::of(&vec![session; count], session), &mut columns, Threads::ONE);
        }
        Self { place, columns }
    }

    /// Those of an instrument of the panel; nothing where it has no bar at the session.
    pub fn row(&self, instrument: usize) -> Option<Vec<f64>> {
        let place = (*self.place.get(instrument)?)?;
        Some(self.columns.iter().map(|column| column[place]).collect())
    }
}
