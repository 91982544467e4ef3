//! Gradient-boosted trees (Friedman 2001) on histograms, to rank the instruments of a session.
//!
//! Each tree is fitted to what the ones before it leave unexplained of the rank of a label in its session
//! (`targets.rs`), by counting gradients per bin (`bins.rs`, `histogram.rs`) and splitting where the squared error falls
//! most (`grow.rs`). The rows are dealt out to several parts, each of which grows trees of its own, and all are averaged:
//! as with bagging (Breiman 1996) the average errs less than any of them, and each costs its part of the time. The sum
//! of the trees, times what a unit of rank was worth in the training rows, is added to the drift.
//!
//! Parts are learned side by side on several threads; sums are of whole numbers and exact, and each part's trees depend
//! on its own rows alone, so that threads change no bit of them.

mod bins;
mod forest;
mod grow;
mod histogram;
mod targets;
mod tree;

use serde::{Deserialize, Serialize};

use super::{FitError, Fitted, Forecaster, Spread, Task, require};
use crate::parallel::Threads;

use bins::{Bins, Edges};
pub use forest::Forest;
use histogram::{LARGEST_GRADIENT, MOST_ROWS};
use targets::Order;
pub use tree::{Node, Split, Tree};

/// Rows binned at a time, so that they stay in the processor's cache.
const BLOCK: usize = 4096;

/// What has to be chosen before trees are grown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Choices {
    /// Trees of each part.
    pub trees: usize,
    /// The share of a tree's values that counts.
    pub rate: f64,
    /// Leaves of a tree, at most; 2 to 64.
    pub leaves: usize,
    /// Rows a leaf has at least.
    pub smallest_leaf: usize,
    /// Draws the values of leaves to zero, in rows.
    pub penalty: f64,
    /// Parts the training rows fall into; each has trees of its own, and all are averaged.
    pub parts: usize,
    /// Where the drawing starts from.
    pub seed: u64,
}

impl Default for Choices {
    fn default() -> Self {
        Self::CHOSEN
    }
}

impl Choices {
    /// Chosen on the quarters from 2014-07 to 2015-12 (docs/forecasting.md).
    pub const CHOSEN: Self =
        Self { trees: 25, rate: 0.1, leaves: 15, smallest_leaf: 250, penalty: 10.0, parts: 8, seed: 0 };

    /// Whether trees can be grown by them.
    pub fn sound(&self) -> bool {
        (1..=10_000).contains(&self.trees)
            && (2..=64).contains(&self.leaves)
            && (1..=1_000_000_000).contains(&self.smallest_leaf)
            && (0.0..=1.0).contains(&self.rate)
            && (self.penalty.is_finite() && self.penalty > 0.0)
            && (1..=64).contains(&self.parts)
    }
}

/// Trees and the threads to grow them on.
pub(super) struct Boosting {
    pub choices: Choices,
    pub threads: Threads,
}

/// What boosting has learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Boosted {
    /// The mean training label, which the trees know nothing of (log return).
    pub drift: f64,
    /// What a unit of rank was worth in the training rows (log return).
    pub worth: f64,
    /// Trees whose values sum up to an expected rank, from -1/2 to 1/2.
    pub forest: Forest,
    /// Where the training rows lay.
    pub spread: Spread,
}

impl Boosted {
    /// The expected log return.
    pub fn predict(&self, features: &[f64]) -> f64 {
        self.drift + self.worth * self.forest.sum(features)
    }

    /// The expected log returns of rows that lie one after the other, `width` features each; bit by bit those of
    /// [`Boosted::predict`].
    pub fn predict_rows(&self, rows: &[f64], width: usize) -> Vec<f64> {
        let mut sums = self.forest.sums(rows, width);
        for sum in &mut sums {
            *sum = self.drift + self.worth * *sum;
        }
        sums
    }

    /// What is expected before the first question: the drift, and what the roots expect of all rows alike.
    pub fn base(&self) -> f64 {
        self.drift + self.worth * self.forest.trees().iter().map(|tree| tree.nodes()[0].value).sum::<f64>()
    }

    /// Per feature, by how much it moved the expected log return (Saabas 2014); with [`Boosted::base`] they sum up to it.
    pub fn contributions(&self, features: &[f64]) -> Vec<f64> {
        let mut contributions = vec![0.0; features.len()];
        self.forest.trees().iter().for_each(|tree| tree.add_contributions(features, &mut contributions));
        for contribution in &mut contributions {
            *contribution *= self.worth;
        }
        contributions
    }
}

impl Forecaster for Boosting {
    /// Enough for one split in each part.
    fn needed_rows(&self, _: usize) -> usize {
        2 * self.choices.parts * self.choices.smallest_leaf
    }

    fn fit(&self, task: &Task<'_>, cutoffs: &[i32]) -> Result<Vec<Fitted>, FitError> {
        let Some(&first) = cutoffs.first() else { return Ok(Vec::new()) };
        require(training_rows(task, first).len(), self.needed_rows(task.features.names().len()), first)?;
        let order = Order::of(task);
        Ok(cutoffs.iter().map(|&cutoff| Fitted::Boosted(self.boost(task, &order, cutoff))).collect())
    }
}

/// The rows whose label has ended before a day.
fn training_rows(task: &Task<'_>, cutoff: i32) -> Vec<u32> {
    let known = |&row: &usize| task.labels.end(row) < cutoff && task.labelled(row);
    (0..task.features.len()).filter(known).map(|row| row as u32).collect()
}

/// The rows of one part: their bins and targets.
#[derive(Clone, Default)]
struct Part {
    words: Vec<u64>,
    target: Vec<f32>,
}

impl Boosting {
    fn boost(&self, task: &Task<'_>, order: &Order, cutoff: i32) -> Boosted {
        let rows = training_rows(task, cutoff);
        let targets = order.targets(task.features.len(), &rows);
        let width = task.features.names().len();
        let (edges, spread): (Vec<Edges>, Vec<(f64, f64)>) = self
            .threads
            .map(width, |feature| {
                let column = task.features.column(feature);
                (bins::edges(column, &rows), Spread::of_column(column, &rows))
            })
            .into_iter()
            .unzip();
        // Block by block, as neighbouring rows are read together however they are dealt out.
        let blocks = self.threads.map(rows.len().div_ceil(BLOCK), |block| {
            let first = block * BLOCK;
            let rows = &rows[first..rows.len().min(first + BLOCK)];
            self.deal(first, &bins::words(task.features, rows, &edges), &targets.rank)
        });
        let trees = self.threads.map(self.choices.parts, |part| {
            let mut all = Part::default();
            for block in &blocks {
                all.words.extend_from_slice(&block[part].words);
                all.target.extend_from_slice(&block[part].target);
            }
            self.grow_trees(all, &edges)
        });
        let forest = Forest::new(trees.into_iter().flatten().collect());
        let (mean, std) = spread.into_iter().unzip();
        Boosted { drift: targets.drift, worth: targets.worth, forest, spread: Spread { mean, std } }
    }

    /// Deals the rows from the `first` on, given by their words, out to the parts, each by a draw of its own.
    fn deal(&self, first: usize, words: &[u64], rank: &[f32]) -> Vec<Part> {
        let parts = self.choices.parts;
        let stride = words.len() / (rank.len() - first).min(BLOCK);
        let mut dealt = vec![Part::default(); parts];
        for (at, words) in (first..).zip(words.chunks_exact(stride)) {
            let draw = mixed(self.choices.seed ^ mixed(at as u64)) >> 32;
            let part = &mut dealt[((draw * parts as u64) >> 32) as usize];
            part.words.extend_from_slice(words);
            part.target.push(rank[at]);
        }
        dealt
    }

    /// Grows the trees of one part.
    fn grow_trees(&self, part: Part, edges: &[Edges]) -> Vec<Tree> {
        let choices = &self.choices;
        let count = part.target.len().min(MOST_ROWS);
        let bins = Bins { edges, words: part.words, stride: bins::stride(edges.len()) };
        let mut scores = vec![0.0_f32; count];
        let mut gradient = vec![0_i32; count];
        let mut order: Vec<u32> = Vec::with_capacity(count);
        let mut trees = Vec::with_capacity(choices.trees);
        for _ in 0..choices.trees {
            // Targets are within one half and scores far smaller, so that their difference is within one.
            for ((gradient, target), score) in gradient.iter_mut().zip(&part.target).zip(&scores) {
                *gradient = ((target - score).clamp(-1.0, 1.0) * LARGEST_GRADIENT) as i32;
            }
            order.clear();
            order.extend(0..count as u32);
            let grown = grow::grow(&bins, &gradient, &mut order, choices);
            let mut nodes = grown.nodes(&bins, choices.penalty, choices.rate / f64::from(LARGEST_GRADIENT));
            grown.add_to(&mut scores, &order, &nodes);
            // Each part's trees are one opinion among several.
            for node in &mut nodes {
                node.value /= choices.parts as f64;
            }
            trees.extend(Tree::new(nodes, edges.len()));
        }
        trees
    }
}

/// The finaliser of `SplitMix64` (Steele, Lea & Flood 2014): a number for each number, as good as drawn.
fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
