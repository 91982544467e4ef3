//! Growing one tree: always the leaf whose split gains most is split next (Shi 2007; `LightGBM`, Ke et al. 2017).

use std::num::NonZeroU32;

use super::Choices;
use super::bins::{BINS, Bins, place};
use super::histogram::{self, Histogram, Packed};
use super::tree::{Node, Split};

/// A tree as it is grown, with questions to bins.
pub(super) struct Grown {
    nodes: Vec<GrownNode>,
    /// Per leaf, its node and its part of the rows.
    leaves: Vec<(usize, usize, usize)>,
}

struct GrownNode {
    total: Packed,
    question: Option<Question>,
}

#[derive(Clone, Copy)]
struct Question {
    feature: usize,
    /// Rows up to this bin go left.
    bin: usize,
    /// The right child comes right after it.
    left: usize,
}

/// The best question to the rows of a leaf.
#[derive(Clone, Copy)]
struct Best {
    gain: f64,
    feature: usize,
    bin: usize,
    left: Packed,
}

/// A leaf that may yet be split.
struct Leaf {
    node: usize,
    /// Its part of the rows.
    first: usize,
    end: usize,
    histogram: Histogram,
    best: Option<Best>,
}

/// Grows a tree on some training rows (their places in `bins`), which come out in another order.
pub(super) fn grow(bins: &Bins<'_>, gradient: &[i32], rows: &mut [u32], choices: &Choices) -> Grown {
    let histogram = histogram::of_rows(bins, gradient, rows);
    let total = histogram.first().map_or(Packed::default(), |bins| Packed(bins.iter().sum()));
    let mut nodes = vec![GrownNode { total, question: None }];
    let best = best(&histogram, total, bins, choices);
    let mut leaves = vec![Leaf { node: 0, first: 0, end: rows.len(), histogram, best }];
    let mut room = vec![0; rows.len()];
    while leaves.len() < choices.leaves {
        let Some((at, best)) = most_gaining(&leaves) else { break };
        let leaf = leaves.swap_remove(at);
        let mine = &mut rows[leaf.first..leaf.end];
        let middle = leaf.first + part(bins, mine, &mut room, best);
        let totals = [best.left, Packed(nodes[leaf.node].total.0 - best.left.0)];
        let left = nodes.len();
        nodes[leaf.node].question = Some(Question { feature: best.feature, bin: best.bin, left });
        nodes.extend(totals.map(|total| GrownNode { total, question: None }));
        let parts = [(leaf.first, middle), (middle, leaf.end)];
        if leaves.len() + 2 == choices.leaves {
            // Nobody will split the last two.
            leaves.extend(
                parts.into_iter().zip(left..).map(|((first, end), node)| Leaf::whole(node, first, end)),
            );
            break;
        }
        // Only the smaller child's rows are counted; the other has the rest.
        let smaller = usize::from(totals[1].rows() < totals[0].rows());
        let counted = histogram::of_rows(bins, gradient, &rows[parts[smaller].0..parts[smaller].1]);
        let rest = histogram::less(leaf.histogram, &counted);
        let histograms = if smaller == 0 { [counted, rest] } else { [rest, counted] };
        for (child, histogram) in histograms.into_iter().enumerate() {
            let best = self::best(&histogram, totals[child], bins, choices);
            let (first, end) = parts[child];
            leaves.push(Leaf { node: left + child, first, end, histogram, best });
        }
    }
    let leaves = leaves.iter().map(|leaf| (leaf.node, leaf.first, leaf.end)).collect();
    Grown { nodes, leaves }
}

impl Leaf {
    /// A leaf that is not to be split.
    fn whole(node: usize, first: usize, end: usize) -> Self {
        Self { node, first, end, histogram: Vec::new(), best: None }
    }
}

/// The leaf whose split gains most, the earliest of equal ones.
fn most_gaining(leaves: &[Leaf]) -> Option<(usize, Best)> {
    let splittable = leaves.iter().enumerate().filter_map(|(at, leaf)| Some((at, leaf.node, leaf.best?)));
    splittable
        .max_by(|a, b| a.2.gain.total_cmp(&b.2.gain).then(b.1.cmp(&a.1)))
        .map(|(at, _, best)| (at, best))
}

/// The question that lowers the squared error most, penalised as in `XGBoost` (Chen & Guestrin 2016, equation 7).
fn best(histogram: &Histogram, total: Packed, bins: &Bins<'_>, choices: &Choices) -> Option<Best> {
    let smallest = choices.smallest_leaf as i64;
    if total.rows() < 2 * smallest {
        return None;
    }
    let score = |sum: i64, rows: i64| {
        let sum = sum as f64;
        sum * sum / (rows as f64 + choices.penalty)
    };
    let parent = score(total.sum(), total.rows());
    let mut best: Option<Best> = None;
    for (feature, counts) in histogram.iter().enumerate() {
        let mut left = 0_i64;
        for (bin, &count) in counts.iter().enumerate().take(bins.edges[feature].len().min(BINS - 1)) {
            left = left.wrapping_add(count);
            let (below, above) = (Packed(left), Packed(total.0.wrapping_sub(left)));
            if count == 0 || below.rows() < smallest {
                continue;
            }
            if above.rows() < smallest {
                break;
            }
            let gain = score(below.sum(), below.rows()) + score(above.sum(), above.rows()) - parent;
            if gain > 0.0 && best.is_none_or(|best| gain > best.gain) {
                best = Some(Best { gain, feature, bin, left: below });
            }
        }
    }
    best
}

/// Brings the rows that go left before the others, each side in its order, and says how many they are.
fn part(bins: &Bins<'_>, rows: &mut [u32], room: &mut [u32], question: Best) -> usize {
    let (word, shift) = place(question.feature);
    let (mut left, mut right) = (0, 0);
    for at in 0..rows.len() {
        let row = rows[at];
        let bin = (bins.words[row as usize * bins.stride + word] >> shift) as usize & 0xff;
        let goes_left = usize::from(bin <= question.bin);
        // Both are written and one is kept: cheaper than a branch the processor cannot foresee.
        rows[left] = row;
        room[right] = row;
        left += goes_left;
        right += 1 - goes_left;
    }
    rows[left..].copy_from_slice(&room[..right]);
    left
}

impl Grown {
    /// The tree with the values of its nodes: mean gradients, drawn to zero by the penalty, times `unit`.
    pub fn nodes(&self, bins: &Bins<'_>, penalty: f64, unit: f64) -> Vec<Node> {
        let node = |node: &GrownNode| Node {
            value: unit * node.total.sum() as f64 / (node.total.rows() as f64 + penalty),
            split: node.question.and_then(|question| {
                let threshold = bins.edges[question.feature].upper(question.bin);
                let left = NonZeroU32::new(question.left as u32)?;
                Some(Split { threshold, feature: question.feature as u32, left })
            }),
        };
        self.nodes.iter().map(node).collect()
    }

    /// Adds the tree's value to the score of each row it was grown on; `rows` as they came out of growing.
    pub fn add_to(&self, scores: &mut [f32], rows: &[u32], nodes: &[Node]) {
        for &(node, first, end) in &self.leaves {
            let value = nodes[node].value as f32;
            rows[first..end].iter().for_each(|&row| scores[row as usize] += value);
        }
    }
}
