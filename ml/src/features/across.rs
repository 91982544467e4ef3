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
/// The columns they look at. The first two have their mean of the session as a feature, the first three the distance from it,
/// all their rank.
const LOOKED_AT: [usize; 5] = [LR_1, LR_5, LR_20, STD_20, VOL_Z20];
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
    let (mut values, mut order, mut ranked) = (Vec::new(), Vec::new(), Vec::new());
    for rows in sessions.iter() {
        let put = |out: &mut [f64], value: &dyn Fn(usize) -> f64| {
            for (place, &row) in rows.iter().enumerate() {
                out[row as usize] = value(place);
            }
        };
        let means = [Some(&mut *market_1), Some(&mut *market_5), None, None, None];
        let above = [Some(&mut *above_1), Some(&mut *above_5), Some(&mut *above_20), None, None];
        let columns = LOOKED_AT.into_iter().zip(means).zip(above).zip(ranks.iter_mut());
        for (((feature, of_mean), above), rank_of) in columns {
            // The rows of a session lie far apart: they are brought together once.
            values.clear();
            values.extend(rows.iter().map(|&row| core[feature][row as usize]));
            let mean = mean(&values);
            if let Some(out) = of_mean {
                put(out, &|_| mean);
            }
            if let Some(out) = above {
                put(out, &|place| values[place] - mean);
            }
            if feature == LR_1 {
                let spread = spread(&values, mean);
                put(dispersion, &|_| spread);
            }
            rank(&values, &mut order, &mut ranked);
            put(rank_of, &|place| ranked[place]);
        }
    }
}

/// The mean of the values that are there; NaN where none is.
fn mean(values: &[f64]) -> f64 {
    let known = values.iter().filter(|value| !value.is_nan());
    let (sum, count) = known.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

/// The standard deviation around their mean of the values that are there.
fn spread(values: &[f64], mean: f64) -> f64 {
    let known = values.iter().filter(|value| !value.is_nan());
    let squares = known.map(|value| (value - mean) * (value - mean));
    let (sum, count) = squares.fold((0.0, 0.0), |(sum, count), square| (sum + square, count + 1.0));
    (sum / count).sqrt()
}

/// The rank of each value, from -0.5 to 0.5 and 0 in the middle; equal values share theirs, no value has none.
fn rank(values: &[f64], order: &mut Vec<(f64, u32)>, out: &mut Vec<f64>) {
    order.clear();
    order.extend(
        values.iter().zip(0..).filter(|(value, _)| !value.is_nan()).map(|(&value, place)| (value, place)),
    );
    // Which of equal ones comes first does not matter.
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    out.clear();
    out.resize(values.len(), f64::NAN);
    let (count, mut before) = (order.len() as f64, 0.0);
    for equal in order.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let share = equal.len() as f64;
        let rank = (before + share / 2.0) / count - 0.5;
        for &(_, place) in equal {
            out[place as usize] = rank;
        }
        before += share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_lie_around_nothing_are_shared_by_equals_and_leave_out_who_has_no_value() {
        let of = |values: &[f64]| {
            let mut out = vec![7.0; 9];
            rank(values, &mut Vec::new(), &mut out);
            out
        };
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let ranked = of(&[3.0, f64::NAN, 1.0, 2.0, 2.0]);
        assert!(ranked[1].is_nan(), "no value, no rank");
        assert_eq!(bits(&[ranked[0], ranked[2], ranked[3], ranked[4]]), bits(&[0.375, -0.375, 0.0, 0.0]));
        assert_eq!(bits(&of(&[5.0])), bits(&[0.0]), "alone it is in the middle");
        assert!(of(&[]).is_empty());
    }

    #[test]
    fn the_rows_of_a_session_stand_together_in_their_order() {
        let sessions = Sessions::of(&[1, 2, 3, 2, 3, 1, 3], 2);
        assert_eq!(sessions.iter().collect::<Vec<_>>(), [&[1, 3][..], &[2, 4, 6]]);
        assert_eq!(Sessions::of(&[1], 2).iter().count(), 0);
    }
}
