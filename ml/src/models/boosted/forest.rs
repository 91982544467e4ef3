//! The trees of a model, and the leaf of each that a row comes to without being led there.
//!
//! The leaves of a tree are numbered from left to right. Where a question sends a row to the right, the leaves on its left
//! are out of reach; of those that no question has ruled out, the row comes to the first (`QuickScorer`, Lucchese et al.
//! 2015). Which leaves all questions of a tree to one feature rule out depends on nothing but which of the feature's
//! thresholds lie below the value. So for each feature and each place among its thresholds the leaves left over are kept,
//! for eight trees side by side, and a row takes one `and` per feature that the eight ask for, with nothing to foresee.

use std::collections::BTreeMap;

use super::bins::{BINS, Edges};
use super::tree::Tree;

/// Leaves that a word has bits for.
const LEAVES: usize = u16::BITS as usize;
/// Trees that are looked at together: their part of the table stays in the processor's nearest cache.
const ABREAST: usize = 8;
/// Rows that are led through one group of trees before the next one's turn.
const BLOCK: usize = 64;
/// Trees that there are tables for: ten times those that are grown, and not whatever a file that was tampered with holds.
const MOST_TREES: usize = 2_000;

/// Trees whose values are summed up.
#[derive(Debug, Clone, PartialEq)]
pub struct Forest {
    trees: Vec<Tree>,
    /// Nothing where a tree has too many leaves, a feature too many thresholds, or there are too many trees.
    table: Option<Table>,
}

/// What is left of each tree's leaves.
#[derive(Debug, Clone, PartialEq)]
struct Table {
    /// The features that some tree asks for, with all their thresholds.
    features: Vec<(usize, Edges)>,
    groups: Vec<Group>,
}

/// Trees that are looked at together.
#[derive(Debug, Clone, PartialEq)]
struct Group {
    asked: Vec<Asked>,
    /// Per tree, the values of its leaves.
    values: Vec<[f64; LEAVES]>,
}

/// What a group asks of one feature.
#[derive(Debug, Clone, PartialEq)]
struct Asked {
    /// Which of the table's features.
    feature: usize,
    /// Per place among the feature's thresholds, the leaves of each tree that are left.
    left: [[u16; ABREAST]; BINS],
}

impl Forest {
    /// These trees.
    pub fn new(trees: Vec<Tree>) -> Self {
        let table = Table::of(&trees);
        Self { trees, table }
    }

    /// Each tree.
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// The sum of the trees' values for a row, added up tree by tree.
    pub(super) fn sum(&self, features: &[f64]) -> f64 {
        self.trees.iter().fold(0.0, |sum, tree| sum + tree.predict(features))
    }

    /// The same for rows that lie one after the other, `width` features each, bit by bit.
    pub(super) fn sums(&self, rows: &[f64], width: usize) -> Vec<f64> {
        if let Some(table) = &self.table {
            return table.sums(rows, width);
        }
        // Tree by tree, so that each stays in the processor's cache for all rows.
        let mut sums = vec![0.0; rows.len() / width];
        for tree in &self.trees {
            for (sum, row) in sums.iter_mut().zip(rows.chunks_exact(width)) {
                *sum += tree.predict(row);
            }
        }
        sums
    }
}

/// A question of a tree.
struct Question {
    feature: usize,
    threshold: f64,
    /// A bit for each leaf on its left.
    on_the_left: u16,
}

impl Table {
    fn of(trees: &[Tree]) -> Option<Self> {
        if trees.len() > MOST_TREES {
            return None;
        }
        let (mut questions, mut values) = (Vec::new(), Vec::new());
        for tree in trees {
            let (mut asked, mut leaves) = (Vec::new(), Vec::new());
            number(tree, 0, LEAVES, &mut leaves, &mut asked)?;
            let mut padded = [0.0; LEAVES];
            padded.get_mut(..leaves.len())?.copy_from_slice(&leaves);
            values.push(padded);
            questions.push(asked);
        }
        let mut thresholds: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for question in questions.iter().flatten() {
            thresholds.entry(question.feature).or_default().push(question.threshold);
        }
        let features = thresholds.into_iter().map(|(feature, some)| Some((feature, Edges::between(some)?)));
        let features = features.collect::<Option<Vec<_>>>()?;
        let groups = questions.chunks(ABREAST).zip(values.chunks(ABREAST));
        let groups = groups
            .map(|(questions, values)| Group { asked: asked(&features, questions), values: values.to_vec() });
        let groups = groups.collect();
        Some(Self { features, groups })
    }

    fn sums(&self, rows: &[f64], width: usize) -> Vec<f64> {
        let mut sums = vec![0.0; rows.len() / width];
        let mut places = vec![[0; BLOCK]; self.features.len()];
        for (sums, rows) in sums.chunks_mut(BLOCK).zip(rows.chunks(BLOCK * width)) {
            for ((feature, thresholds), places) in self.features.iter().zip(&mut places) {
                for (place, row) in places.iter_mut().zip(rows.chunks_exact(width)) {
                    *place = thresholds.bin(row[*feature]) as u8;
                }
            }
            self.groups.iter().for_each(|group| group.add(&places, sums));
        }
        sums
    }
}

/// What a group of trees asks, by its questions.
fn asked(features: &[(usize, Edges)], questions: &[Vec<Question>]) -> Vec<Asked> {
    let mut asked: BTreeMap<usize, Asked> = BTreeMap::new();
    for (tree, questions) in questions.iter().enumerate() {
        for question in questions {
            let Ok(feature) = features.binary_search_by_key(&question.feature, |(feature, _)| *feature)
            else {
                continue;
            };
            let nothing = || Asked { feature, left: [[u16::MAX; ABREAST]; BINS] };
            let asked = asked.entry(feature).or_insert_with(nothing);
            // Whoever lies above the threshold goes to the right.
            for left in &mut asked.left[features[feature].1.bin(question.threshold) + 1..] {
                left[tree] &= !question.on_the_left;
            }
        }
    }
    asked.into_values().collect()
}

impl Group {
    /// Adds the values of the trees for rows whose places among the thresholds of the features are known.
    fn add(&self, places: &[[u8; BLOCK]], sums: &mut [f64]) {
        let mut standing = [[u16::MAX; ABREAST]; BLOCK];
        let standing = &mut standing[..sums.len()];
        for Asked { feature, left } in &self.asked {
            for (standing, place) in standing.iter_mut().zip(&places[*feature]) {
                for (standing, left) in standing.iter_mut().zip(&left[usize::from(*place) % BINS]) {
                    *standing &= left;
                }
            }
        }
        for (sum, standing) in sums.iter_mut().zip(standing) {
            for (values, standing) in self.values.iter().zip(standing) {
                // There is always a leaf left.
                *sum += values[standing.trailing_zeros() as usize % LEAVES];
            }
        }
    }
}

/// Numbers the leaves below a node from left to right and gives back the bits of those, with the questions on the way;
/// nothing where they are more than [`LEAVES`] or lie deeper than `deep`.
fn number(
    tree: &Tree,
    node: usize,
    deep: usize,
    leaves: &mut Vec<f64>,
    asked: &mut Vec<Question>,
) -> Option<u16> {
    let here = tree.nodes()[node];
    let Some(split) = here.split else {
        let bit = 1_u16.checked_shl(leaves.len() as u32)?;
        leaves.push(here.value);
        return Some(bit);
    };
    let (left, deep) = (split.left.get() as usize, deep.checked_sub(1)?);
    let on_the_left = number(tree, left, deep, leaves, asked)?;
    let on_the_right = number(tree, left + 1, deep, leaves, asked)?;
    asked.push(Question { feature: split.feature as usize, threshold: split.threshold, on_the_left });
    Some(on_the_left | on_the_right)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::models::boosted::{Node, Split};

    const FEATURES: u32 = 3;

    /// A tree with so many leaves, its questions and values from numbers.
    fn tree(leaves: usize, numbers: &[i8]) -> Tree {
        let mut numbers = numbers.iter().cycle().copied();
        let mut next = || i64::from(numbers.next().unwrap_or_default());
        let mut nodes = vec![Node { value: 0.5, split: None }];
        let mut ends = vec![0];
        while ends.len() < leaves {
            let end = ends.swap_remove(next().unsigned_abs() as usize % ends.len());
            let left = nodes.len();
            nodes[end].split = Some(Split {
                threshold: next() as f64 / 8.0,
                feature: next().unsigned_abs() as u32 % FEATURES,
                left: NonZeroU32::new(left as u32).unwrap(),
            });
            nodes.extend([0, 1].map(|_| Node { value: next() as f64 / 7.0, split: None }));
            ends.extend([left, left + 1]);
        }
        Tree::new(nodes, FEATURES as usize).unwrap()
    }

    fn same(forest: &Forest, rows: &[f64]) {
        let together = forest.sums(rows, FEATURES as usize);
        for (row, together) in rows.chunks_exact(FEATURES as usize).zip(&together) {
            assert_eq!(together.to_bits(), forest.sum(row).to_bits(), "{row:?}");
        }
        assert_eq!(together.len(), rows.len() / FEATURES as usize);
    }

    proptest! {
        #[test]
        fn rows_come_to_the_leaves_they_are_led_to(
            shapes in prop::collection::vec((1_usize..=16, prop::collection::vec(any::<i8>(), 7..40)), 0..70),
            values in prop::collection::vec(prop_oneof![
                9 => (-140_i16..140).prop_map(|value| f64::from(value) / 8.0),
                1 => prop_oneof![Just(f64::NAN), Just(-0.0), Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
            ], 0..40),
        ) {
            // Few enough different thresholds for a feature to have room for them.
            let coarse = |numbers: Vec<i8>| numbers.into_iter().map(|number| number / 8).collect::<Vec<_>>();
            let trees = shapes.into_iter().map(|(leaves, numbers)| tree(leaves, &coarse(numbers))).collect();
            let forest = Forest::new(trees);
            prop_assert!(forest.table.is_some());
            let whole = values.len() / FEATURES as usize * FEATURES as usize;
            same(&forest, &values[..whole]);
        }
    }

    #[test]
    fn branches_that_grow_together_again_are_followed_to_the_same_leaf() {
        let split = |threshold, feature, left| {
            Some(Split { threshold, feature, left: NonZeroU32::new(left).unwrap() })
        };
        let nodes = vec![
            Node { value: 0.0, split: split(0.0, 0, 1) },
            Node { value: 0.0, split: split(-1.0, 1, 3) },
            Node { value: 0.0, split: split(1.0, 1, 3) },
            Node { value: 2.0, split: None },
            Node { value: 3.0, split: None },
        ];
        let forest = Forest::new(vec![Tree::new(nodes, 3).unwrap()]);
        assert!(forest.table.is_some());
        same(&forest, &(0..300).map(|i| 2.0 * libm::sin(f64::from(i))).collect::<Vec<_>>());
    }

    #[test]
    fn trees_that_have_no_room_are_led_through_one_by_one() {
        let numbers: Vec<i8> = (-60..60).collect();
        let rows: Vec<f64> = (0..300).map(|i| 16.0 * libm::sin(f64::from(i))).collect();
        let many_leaves = Forest::new(vec![tree(17, &numbers), tree(3, &numbers)]);
        let thresholds = (0..127).map(|i| tree(2, &[0, i, 0, 1, -1])).collect();
        let many_thresholds = Forest::new(thresholds);
        // A hundred thousand questions, one below the other.
        let split = |left| Some(Split { threshold: 0.0, feature: 0, left: NonZeroU32::new(left).unwrap() });
        let leaf = Node { value: 0.5, split: None };
        let mut chain = vec![Node { value: 0.0, split: split(1) }];
        chain.extend((1..100_000).flat_map(|level| [Node { value: 0.0, split: split(2 * level + 1) }, leaf]));
        chain.extend([leaf, leaf]);
        let deep = Forest::new(vec![Tree::new(chain, 3).unwrap()]);
        let many_trees = Forest::new(vec![tree(3, &numbers); MOST_TREES + 1]);
        let endless = Split { threshold: f64::INFINITY, feature: 0, left: NonZeroU32::new(1).unwrap() };
        let endless = vec![Node { value: 0.0, split: Some(endless) }, leaf, leaf];
        let no_number = Forest::new(vec![Tree::new(endless, 3).unwrap()]);
        for forest in [many_leaves, many_thresholds, deep, many_trees, no_number] {
            assert!(forest.table.is_none());
            same(&forest, &rows);
        }
    }
}
