//! Feature values as the number of their bin, one byte each: what trees are grown on.

use crate::features::FeatureTable;

/// Bins of a feature at most. Sixty-four keep the histograms of all features in the processor's nearest cache; the
/// order of daily features within a bin says nothing about the next day.
pub(super) const BINS: usize = 64;
/// Bytes in a word of [`Bins`].
const BYTES: usize = 8;
/// Rows that the quantiles are taken from; more of them move an edge by less than its own noise.
const SAMPLE: usize = 20_000;

/// The edges between the bins of one feature, rising: bin `b` holds the values above edge `b - 1` up to edge `b`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Edges {
    count: usize,
    /// The edges, and infinities after them: a search among a known number is one without guesses.
    padded: [f64; BINS],
}

impl Edges {
    /// Edges that put about equally many of the values into each bin. Equal values are never parted.
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let mut edges: Vec<f64> = Vec::with_capacity(BINS - 1);
        for bin in 1..BINS {
            let place = bin * values.len() / BINS;
            let Some((&below, &above)) = place.checked_sub(1).map(|p| &values[p]).zip(values.get(place))
            else {
                continue;
            };
            // Between two neighbours where they differ; where many are equal, right above them all.
            let edge = if below < above { f64::midpoint(below, above) } else { above };
            if edges.last().is_none_or(|&last| last < edge) && values.last().is_some_and(|&most| edge < most)
            {
                edges.push(edge);
            }
        }
        Self::padded(&edges)
    }

    /// Edges at these values, given in any order; nothing where they are too many, or one is no number.
    pub fn between(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        values.dedup_by(|later, value| *value >= *later);
        (values.len() < BINS && values.iter().all(|value| value.is_finite())).then(|| Self::padded(&values))
    }

    fn padded(edges: &[f64]) -> Self {
        let mut padded = [f64::INFINITY; BINS];
        padded[..edges.len()].copy_from_slice(edges);
        Self { count: edges.len(), padded }
    }

    /// The number of edges; bins are one more.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The largest value of a bin that is not the last.
    pub fn upper(&self, bin: usize) -> f64 {
        self.padded[bin]
    }

    /// The bin of a value; the first one of what is no number.
    pub fn bin(&self, value: f64) -> usize {
        let mut below = 0;
        for step in [32, 16, 8, 4, 2, 1] {
            below += if self.padded[below + step - 1] < value { step } else { 0 };
        }
        below
    }
}

/// The bins of some rows, row after row, eight features to a word, so that one row is one place in memory.
pub(super) struct Bins<'a> {
    /// Per feature.
    pub edges: &'a [Edges],
    /// [`stride`] words for each row.
    pub words: Vec<u64>,
    /// Words per row.
    pub stride: usize,
}

/// Words per row.
pub(super) fn stride(features: usize) -> usize {
    features.div_ceil(BYTES)
}

/// The edges of a feature by the quantiles of some rows.
pub(super) fn edges(column: &[f64], rows: &[u32]) -> Edges {
    let step = rows.len().div_ceil(SAMPLE).max(1);
    Edges::of(rows.iter().step_by(step).map(|&row| column[row as usize]).collect())
}

/// The words of some rows of a table.
pub(super) fn words(features: &FeatureTable, rows: &[u32], edges: &[Edges]) -> Vec<u64> {
    let stride = stride(edges.len());
    let mut words = vec![0_u64; rows.len() * stride];
    for (feature, edges) in edges.iter().enumerate() {
        let (word, shift) = place(feature);
        let column = features.column(feature);
        for (words, &row) in words.chunks_exact_mut(stride).zip(rows) {
            words[word] |= (edges.bin(column[row as usize]) as u64) << shift;
        }
    }
    words
}

/// Where the bin of a feature lies in a row: its word, and the bits below it.
pub(super) fn place(feature: usize) -> (usize, u32) {
    (feature / BYTES, 8 * (feature % BYTES) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_hold_about_equally_many_values_and_edges_rise() {
        let edges = Edges::of((0..6_400).map(|i| f64::from(i * i)).collect());
        assert_eq!(edges.len(), BINS - 1);
        assert!(edges.padded[..edges.len()].windows(2).all(|pair| pair[0] < pair[1]));
        let mut held = [0; BINS];
        (0..6_400).for_each(|i| held[edges.bin(f64::from(i * i))] += 1);
        assert!(held.iter().all(|&rows| rows == 100), "{held:?}");
    }

    #[test]
    fn equal_values_share_a_bin_and_a_constant_has_one_alone() {
        let edges = Edges::of((0..1_000).map(|i| f64::from(u8::from(i % 5 == 0))).collect());
        assert_eq!(edges.len(), 1);
        assert_eq!((edges.bin(0.0), edges.bin(1.0)), (0, 1));
        assert_eq!(Edges::of(vec![3.5; 500]).len(), 0);
        assert_eq!(Edges::of(Vec::new()).len(), 0);
    }

    #[test]
    fn a_value_lies_at_or_below_the_upper_edge_of_its_bin_and_above_the_one_before() {
        let edges = Edges::of((0..999).map(|i| libm::sin(f64::from(i))).collect());
        for i in 0..999 {
            let value = libm::sin(f64::from(i) + 0.3);
            let bin = edges.bin(value);
            assert!(bin == edges.len() || value <= edges.upper(bin));
            assert!(bin == 0 || value > edges.upper(bin - 1));
        }
    }
}
