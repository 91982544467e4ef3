//! What an instrument is beside the others of its session: the market's own move, the distance from it, and ranks.
//!
//! They look at columns of the core, at the rows of one session and at nothing else. Rows without a value take no part.

use super::{LR_1, LR_5, LR_20, STD_20, VOL_Z20};

/// The features of this kind, in their order.
pub(super) const NAMES: [&str; 11] = [
    "market_1",
    "market_5",
    "dispersion_1",
    "above_1",
    "above_5",
    "above_20",
    "rank_1",
    "rank_5",
    "rank_20",
    "rank_std_20",
    "rank_volume",
];
/// The columns whose mean of the session is a feature.
const MEANS: [usize; 2] = [LR_1, LR_5];
/// The columns whose distance from that mean is one.
const ABOVE: [usize; 3] = [LR_1, LR_5, LR_20];
/// The columns whose rank is one.
const RANKED: [usize; 5] = [LR_1, LR_5, LR_20, STD_20, VOL_Z20];

/// How many of them are the same for all instruments of a session; they come first.
pub(super) const OF_THE_SESSION: usize = 3;

/// The rows of a table by session, within one in the table's order, which is that of the instruments' names.
pub(crate) struct Sessions {
    rows: Vec<u32>,
    /// Where each session begins, and the number of rows.
    starts: Vec<usize>,
}

impl Sessions {
    /// Those of a session (days since 1970-01-01) and of later ones.
    pub fn of(session: &[i32], first: i32) -> Self {
        let wanted = |row: &u32| session[*row as usize] >= first;
        let mut rows: Vec<u32> = (0..session.len() as u32).filter(wanted).collect();
        rows.sort_by_key(|&row| session[row as usize]);
        let mut starts: Vec<usize> = (0..rows.len())
            .filter(|&i| i == 0 || session[rows[i] as usize] != session[rows[i - 1] as usize])
            .collect();
        starts.push(rows.len());
        Self { rows, starts }
    }

    /// The rows of each session.
    pub fn iter(&self) -> impl Iterator<Item = &[u32]> {
        self.starts.windows(2).map(|bounds| &self.rows[bounds[0]..bounds[1]])
    }
}

/// Fills the columns of [`NAMES`] from those of the core.
pub(super) fn fill(sessions: &Sessions, core: &[Vec<f64>], out: &mut [Vec<f64>]) {
    let [market_1, market_5, dispersion, above_1, above_5, above_20, ranks @ ..] = out else { return };
    let mut places = Vec::new();
    for rows in sessions.iter() {
        for (feature, out) in MEANS.into_iter().zip([&mut *market_1, &mut *market_5]) {
            let mean = mean(rows, |row| core[feature][row]);
            for &row in rows {
                out[row as usize] = mean;
            }
        }
        let middle = mean(rows, |row| core[LR_1][row]);
        let variance = mean(rows, |row| (core[LR_1][row] - middle) * (core[LR_1][row] - middle));
        for &row in rows {
            dispersion[row as usize] = variance.sqrt();
        }
        for (feature, out) in ABOVE.into_iter().zip([&mut *above_1, &mut *above_5, &mut *above_20]) {
            let mean = mean(rows, |row| core[feature][row]);
            for &row in rows {
                out[row as usize] = core[feature][row as usize] - mean;
            }
        }
        for (feature, out) in RANKED.into_iter().zip(ranks.iter_mut()) {
            rank(rows, &core[feature], &mut places, out);
        }
    }
}

/// The mean over the rows that have a value; NaN where none has.
fn mean(rows: &[u32], value: impl Fn(usize) -> f64) -> f64 {
    let values = rows.iter().map(|&row| value(row as usize)).filter(|value| !value.is_nan());
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

/// The rank of each row within its session, from -0.5 to 0.5 and 0 in the middle; equal values share theirs.
fn rank(rows: &[u32], column: &[f64], places: &mut Vec<u32>, out: &mut [f64]) {
    let value = |row: u32| column[row as usize];
    places.clear();
    places.extend(rows.iter().copied().filter(|&row| !value(row).is_nan()));
    // Which of equal ones comes first does not matter.
    places.sort_unstable_by(|&a, &b| value(a).total_cmp(&value(b)));
    for &row in rows {
        out[row as usize] = f64::NAN;
    }
    let (count, mut before) = (places.len() as f64, 0.0);
    for equal in places.chunk_by(|&a, &b| value(a).total_cmp(&value(b)).is_eq()) {
        let share = equal.len() as f64;
        let rank = (before + share / 2.0) / count - 0.5;
        for &row in equal {
            out[row as usize] = rank;
        }
        before += share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_lie_around_nothing_are_shared_by_equals_and_leave_out_who_has_no_value() {
        let column = [3.0, f64::NAN, 1.0, 2.0, 2.0, 9.0];
        let mut out = [1.0; 6];
        rank(&[0, 1, 2, 3, 4], &column, &mut Vec::new(), &mut out);
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&[out[0], out[2], out[3], out[4]]), bits(&[0.375, -0.375, 0.0, 0.0]));
        assert!(out[1].is_nan(), "no value, no rank");
        assert_eq!(bits(&out[5..]), bits(&[1.0]), "another session");
        rank(&[5], &column, &mut Vec::new(), &mut out);
        assert_eq!(bits(&out[5..]), bits(&[0.0]), "alone it is in the middle");
    }

    #[test]
    fn the_rows_of_a_session_stand_together_in_their_order() {
        let sessions = Sessions::of(&[1, 2, 3, 2, 3, 1, 3], 2);
        assert_eq!(sessions.iter().collect::<Vec<_>>(), [&[1, 3][..], &[2, 4, 6]]);
        assert_eq!(Sessions::of(&[1], 2).iter().count(), 0);
    }
}
