//! What trees are taught: where a label stands among those of its session, from -1/2 (lowest) to 1/2. The market's own
//! move, which nobody foresees and which drowns everything else, is gone from it, and so is the size of a bad print.

use crate::models::Task;

/// All rows with a label, sorted by session and within it by label: ranks of any part of them are one pass away.
pub(super) struct Order {
    /// Row, session, label.
    sorted: Vec<(u32, i32, f64)>,
}

/// Per training row, its target; and what a unit of it is worth.
pub(super) struct Targets {
    /// In the order of the training rows.
    pub rank: Vec<f32>,
    /// The log return above that of the session per unit of rank, by least squares without a constant.
    pub worth: f64,
    /// The mean label.
    pub drift: f64,
}

impl Order {
    pub fn of(task: &Task<'_>) -> Self {
        let session = task.features.sessions();
        let mut sorted: Vec<_> = (0..task.features.len())
            .filter(|&row| task.labelled(row))
            .map(|row| (row as u32, session[row], task.labels.value(row) + 0.0))
            .collect();
        sorted.sort_unstable_by(|a, b| a.1.cmp(&b.1).then(a.2.total_cmp(&b.2)).then(a.0.cmp(&b.0)));
        Self { sorted }
    }

    /// The targets of some rows of a table of `table_rows`. The others have no part in them.
    pub fn targets(&self, table_rows: usize, rows: &[u32]) -> Targets {
        let mut place = vec![u32::MAX; table_rows];
        for (at, &row) in (0..).zip(rows) {
            place[row as usize] = at;
        }
        let mut rank = vec![0.0; rows.len()];
        let (mut total, mut with_rank, mut of_rank) = (0.0, 0.0, 0.0);
        let mut known: Vec<(u32, f64)> = Vec::new();
        for session in self.sorted.chunk_by(|a, b| a.1 == b.1) {
            let placed = session.iter().map(|&(row, _, label)| (place[row as usize], label));
            known.clear();
            known.extend(placed.filter(|&(at, _)| at != u32::MAX));
            let count = known.len() as f64;
            let sum: f64 = known.iter().map(|&(_, label)| label).sum();
            total += sum;
            let mut below = 0;
            for ties in known.chunk_by(|a, b| a.1.to_bits() == b.1.to_bits()) {
                let target = (f64::from(below) + 0.5 * ties.len() as f64) / count - 0.5;
                below += ties.len() as u32;
                for &(at, label) in ties {
                    rank[at as usize] = target as f32;
                    with_rank += target * (label - sum / count);
                    of_rank += target * target;
                }
            }
        }
        let worth = if of_rank > 0.0 { with_rank / of_rank } else { 0.0 };
        Targets { rank, worth, drift: total / rows.len().max(1) as f64 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::features::{FeatureTable, Inputs, Labels};
    use crate::testing;

    #[test]
    fn ranks_are_centred_in_each_session_and_worth_what_the_returns_above_it_are() {
        let panel = testing::panel(5, 120, 1);
        let features = FeatureTable::compute(&Inputs::of(&panel));
        let labels = Labels::new(&panel, &features, 1);
        let task = Task { features: &features, labels: &labels };
        let rows: Vec<u32> =
            (0..features.len()).filter(|&row| task.labelled(row)).map(|row| row as u32).collect();
        let targets = Order::of(&task).targets(features.len(), &rows);
        let session = features.sessions()[rows[10] as usize];
        let mut day: Vec<(f64, f32)> = rows
            .iter()
            .zip(&targets.rank)
            .filter(|(row, _)| features.sessions()[**row as usize] == session)
            .map(|(&row, &rank)| (labels.value(row as usize), rank))
            .collect();
        day.sort_by(|a, b| a.0.total_cmp(&b.0));
        let ranks: Vec<f32> = day.iter().map(|(_, rank)| *rank).collect();
        assert_eq!(ranks, [-0.4, -0.2, 0.0, 0.2, 0.4]);
        // Returns spread evenly over 4% are worth about that from the lowest to the highest.
        assert!((targets.worth - 0.04).abs() < 0.015, "{}", targets.worth);
        // A part of the rows is ranked among itself.
        let half: Vec<u32> = rows.iter().copied().filter(|row| row % 2 == 0).collect();
        let of_half = Order::of(&task).targets(features.len(), &half);
        assert!(of_half.rank.iter().all(|rank| rank.abs() < 0.5) && of_half.rank.len() == half.len());
        assert!(of_half.rank.iter().map(|rank| f64::from(*rank)).sum::<f64>().abs() < 1e-4);
    }

    #[test]
    fn equal_labels_share_their_rank() {
        let order = Order { sorted: vec![(0, 7, -1.0), (1, 7, 2.0), (2, 7, 2.0), (3, 7, 5.0), (4, 8, 1.0)] };
        let targets = order.targets(5, &[0, 1, 2, 3, 4]);
        assert_eq!(targets.rank, [-0.375, 0.0, 0.0, 0.375, 0.0]);
    }
}
