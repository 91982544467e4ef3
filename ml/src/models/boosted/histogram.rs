//! How gradients are spread over the bins of each feature: all a split is chosen from.
//!
//! Gradients are whole numbers, so sums are exact: neither the order of rows nor the number of threads can change them,
//! and the histogram of a sibling is that of the parent less one's own to the last bit. Sum and count lie in one
//! number, the count in its lower bits, so that one addition keeps up both.

use super::bins::{BINS, Bins};

/// Bits of the count: below 2^24 rows of at most 2^15 in size a sum stays within its 40 bits.
const COUNT_BITS: u32 = 24;
/// More rows than this would spill the count into the sum.
pub(super) const MOST_ROWS: usize = (1 << COUNT_BITS) - 1;
/// Gradients are at most this in size.
pub(super) const LARGEST_GRADIENT: f32 = 32_767.0;

/// A sum of gradients and the number of rows behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Packed(pub i64);

impl Packed {
    fn one(gradient: i32) -> i64 {
        (i64::from(gradient) << COUNT_BITS) + 1
    }

    pub fn rows(self) -> i64 {
        self.0 & MOST_ROWS as i64
    }

    pub fn sum(self) -> i64 {
        self.0 >> COUNT_BITS
    }
}

/// Per feature and bin, a [`Packed`].
pub(super) type Histogram = Vec<[i64; BINS]>;

/// The histogram of some rows.
pub(super) fn of_rows(bins: &Bins<'_>, gradient: &[i32], rows: &[u32]) -> Histogram {
    let mut histogram = vec![[0; BINS]; bins.edges.len()];
    match bins.stride {
        1 => fill::<1>(&mut histogram, &bins.words, gradient, rows),
        2 => fill::<2>(&mut histogram, &bins.words, gradient, rows),
        3 => fill::<3>(&mut histogram, &bins.words, gradient, rows),
        4 => fill::<4>(&mut histogram, &bins.words, gradient, rows),
        stride => {
            for &row in rows {
                let words = &bins.words[row as usize * stride..];
                add(&mut histogram, words, Packed::one(gradient[row as usize]));
            }
        }
    }
    histogram
}

/// The same for a number of words known when compiled, without a test for each of the full words' features.
fn fill<const STRIDE: usize>(histogram: &mut Histogram, words: &[u64], gradient: &[i32], rows: &[u32]) {
    let (full, last) = histogram.split_at_mut(8 * (STRIDE - 1));
    let (full, _) = full.as_chunks_mut::<8>();
    let (words, _) = words.as_chunks::<STRIDE>();
    for &row in rows {
        let words = &words[row as usize];
        let packed = Packed::one(gradient[row as usize]);
        for (eight, word) in full.iter_mut().zip(words) {
            for (j, bins) in eight.iter_mut().enumerate() {
                let bin = &mut bins[(word >> (8 * j)) as usize % BINS];
                *bin = bin.wrapping_add(packed);
            }
        }
        add(last, &words[STRIDE - 1..], packed);
    }
}

fn add(histogram: &mut [[i64; BINS]], words: &[u64], packed: i64) {
    for (eight, &word) in histogram.chunks_mut(8).zip(words) {
        let mut word = word;
        for bins in eight {
            let bin = &mut bins[word as usize % BINS];
            *bin = bin.wrapping_add(packed);
            word >>= 8;
        }
    }
}

/// What remains of the parent's histogram without one child's: the other child's.
pub(super) fn less(mut parent: Histogram, child: &Histogram) -> Histogram {
    for (mine, theirs) in parent.as_flattened_mut().iter_mut().zip(child.as_flattened()) {
        *mine = mine.wrapping_sub(*theirs);
    }
    parent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sum_and_count_are_kept_apart_whatever_the_signs() {
        let packed = [-32_767, 5, 32_767, -1, -1].into_iter().map(Packed::one).sum();
        assert_eq!((Packed(packed).sum(), Packed(packed).rows()), (3, 5));
        let most = MOST_ROWS as i64;
        for gradient in [-32_767, 32_767] {
            let packed = Packed(Packed::one(gradient) * most);
            assert_eq!((packed.sum(), packed.rows()), (i64::from(gradient) * most, most));
        }
    }
}
