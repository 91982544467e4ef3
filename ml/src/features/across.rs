//! What an instrument is beside the others of its session: the market's own move, the distance from it, and ranks. All of
//! them are by order, so that one wrong price among many changes next to nothing for the others.
//!
//! They look at columns of the core, at the rows of one session and at nothing else. Rows without a value take no part.

use super::{LR_1, LR_5, LR_20, STD_20, VOL_Z20};
use crate::parallel::Threads;

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
/// The columns they look at. The first two have their median of the session as a feature, the first three the distance from
/// it, all their rank.
const LOOKED_AT: [usize; 5] = [LR_1, LR_5, LR_20, STD_20, VOL_Z20];
/// The interquartile range of a normal distribution, in its standard deviations.
const QUARTILES_APART: f64 = 1.349;
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

/// What comes of one column that is looked at.
struct Of<'a> {
    feature: usize,
    median: Option<&'a mut Vec<f64>>,
    spread: Option<&'a mut Vec<f64>>,
    above: Option<&'a mut Vec<f64>>,
    rank: &'a mut Vec<f64>,
}

/// Fills the columns of [`NAMES`] from those of the core.
pub(super) fn fill(sessions: &Sessions, core: &[Vec<f64>], out: &mut [Vec<f64>], threads: Threads) {
    // In the order of their names.
    let (medians, out) = out.split_at_mut(2);
    let (dispersion, out) = out.split_at_mut(1);
    let (above, ranks) = out.split_at_mut(3);
    let (mut medians, mut above) = (medians.iter_mut(), above.iter_mut());
    let mut dispersion = dispersion.first_mut();
    let parts = LOOKED_AT.into_iter().zip(ranks).map(|(feature, rank)| {
        let spread = if feature == LR_1 { dispersion.take() } else { None };
        Of { feature, median: medians.next(), spread, above: above.next(), rank }
    });
    let parts: Vec<Of<'_>> = parts.collect();
    threads.each(parts, |part| part.fill(sessions, core));
}

impl Of<'_> {
    fn fill(mut self, sessions: &Sessions, core: &[Vec<f64>]) {
        let column = &core[self.feature];
        let (mut values, mut sorted, mut ranked) = (Vec::new(), Vec::new(), Vec::new());
        for rows in sessions.iter() {
            let put = |out: &mut [f64], value: &dyn Fn(usize) -> f64| {
                for (place, &row) in rows.iter().enumerate() {
                    out[row as usize] = value(place);
                }
            };
            // The rows of a session lie far apart: they are brought together once.
            values.clear();
            values.extend(rows.iter().map(|&row| column[row as usize]));
            sort(&values, &mut sorted);
            let median = median(&sorted);
            if let Some(out) = &mut self.median {
                put(out, &|_| median);
            }
            if let Some(out) = &mut self.above {
                put(out, &|place| values[place] - median);
            }
            if let Some(out) = &mut self.spread {
                let spread = spread(&sorted);
                put(out, &|_| spread);
            }
            rank(&sorted, values.len(), &mut ranked);
            put(self.rank, &|place| ranked[place]);
        }
    }
}

/// The values that are there with their places, rising. Which of equal ones comes first does not matter.
fn sort(values: &[f64], sorted: &mut Vec<(f64, u32)>) {
    sorted.clear();
    sorted.extend(
        values.iter().zip(0..).map(|(&value, place)| (value, place)).filter(|(value, _)| !value.is_nan()),
    );
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
}

/// The value in the middle, or between the two there; NaN where there is none. One wrong price moves it next to nothing.
fn median(sorted: &[(f64, u32)]) -> f64 {
    match sorted.len().checked_sub(1) {
        None => f64::NAN,
        Some(last) => f64::midpoint(sorted[last / 2].0, sorted[last.div_ceil(2)].0),
    }
}

/// The standard deviation as the quartiles tell it; NaN where there is no value.
fn spread(sorted: &[(f64, u32)]) -> f64 {
    sorted
        .len()
        .checked_sub(1)
        .map_or(f64::NAN, |last| (sorted[last - last / 4].0 - sorted[last / 4].0) / QUARTILES_APART)
}

/// The rank of each of `count` values, from -0.5 to 0.5 and 0 in the middle; equal values share theirs, no value has none.
fn rank(sorted: &[(f64, u32)], count: usize, out: &mut Vec<f64>) {
    out.clear();
    out.resize(count, f64::NAN);
    let (known, mut before) = (sorted.len() as f64, 0.0);
    for equal in sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let share = equal.len() as f64;
        let rank = (before + share / 2.0) / known - 0.5;
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
            let (mut sorted, mut out) = (Vec::new(), vec![7.0; 9]);
            sort(values, &mut sorted);
            rank(&sorted, values.len(), &mut out);
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
    fn the_middle_and_the_quartiles_do_not_hear_of_one_wrong_price() {
        let of = |values: &[f64]| {
            let mut sorted = Vec::new();
            sort(values, &mut sorted);
            (median(&sorted), spread(&sorted) * QUARTILES_APART)
        };
        let close = |(median, spread): (f64, f64), expected: (f64, f64)| {
            assert!(
                (median - expected.0).abs() < 1e-12 && (spread - expected.1).abs() < 1e-12,
                "{median}, {spread}"
            );
        };
        close(of(&[0.01, -0.02, 0.03, f64::NAN, 0.0, 0.02]), (0.01, 0.02));
        close(of(&[0.01, -0.02, -6.9, 0.0, 0.02]), (0.0, 0.03));
        close(of(&[0.01, 0.03]), (0.02, 0.02));
        assert!(of(&[]).0.is_nan() && of(&[]).1.is_nan());
    }

    #[test]
    fn the_rows_of_a_session_stand_together_in_their_order() {
        let sessions = Sessions::of(&[1, 2, 3, 2, 3, 1, 3], 2);
        assert_eq!(sessions.iter().collect::<Vec<_>>(), [&[1, 3][..], &[2, 4, 6]]);
        assert_eq!(Sessions::of(&[1], 2).iter().count(), 0);
    }
}
