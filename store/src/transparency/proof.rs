//! Proofs over the tree of the log: that an event is in it, and that a later tree only adds to an earlier one.
//!
//! Which hashes a proof holds follows RFC 6962 section 2.1.1 and 2.1.2; how it is verified follows RFC 9162 section
//! 2.1.3.2 and 2.1.4.2. Everything here is pure: where the hashes come from is the business of `tiles`.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::hex_text;
use crate::log::Hash;
use crate::log::tree::{leaf, parent};

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofRefused {
    /// It speaks of an event or a tree that cannot be.
    #[error("the proof speaks of a place outside of the tree")]
    Outside,
    /// It has too few hashes or too many.
    #[error("the proof does not have the number of hashes such a proof has")]
    Length,
    /// Its hashes lead to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// That an event is in the tree of a size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InclusionProof {
    /// The event's place in the log, from 1.
    pub ordinal: i64,
    /// The number of events in the tree.
    pub size: i64,
    /// The digest of the event; the hash of its leaf is made from it.
    #[serde(with = "hex_text")]
    pub leaf: Hash,
    /// What stands beside the way from the leaf to the root, from the bottom up.
    #[serde(with = "hex_text::list")]
    pub hashes: Vec<Hash>,
}

impl InclusionProof {
    /// Verifies that the tree with this `root` holds the event.
    ///
    /// # Errors
    /// When the proof does not show it.
    pub fn verify(&self, root: &Hash) -> Result<(), ProofRefused> {
        let (Ok(ordinal), Ok(size)) = (u64::try_from(self.ordinal), u64::try_from(self.size)) else {
            return Err(ProofRefused::Outside);
        };
        if ordinal == 0 || ordinal > size {
            return Err(ProofRefused::Outside);
        }
        let mut place = Place { node: ordinal - 1, last: size - 1 };
        let mut hash = leaf(&self.leaf);
        for beside in &self.hashes {
            if place.last == 0 {
                return Err(ProofRefused::Length);
            }
            hash = if place.is_right() { parent(beside, &hash) } else { parent(&hash, beside) };
            place.rise();
        }
        match (place.last, hash == *root) {
            (0, true) => Ok(()),
            (0, false) => Err(ProofRefused::Root),
            (_, _) => Err(ProofRefused::Length),
        }
    }
}

/// That the tree of one size begins with all of the tree of a smaller one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistencyProof {
    /// The number of events in the earlier tree, at least 1.
    pub from: i64,
    /// The number of events in the later tree.
    pub to: i64,
    /// The root of the earlier tree.
    #[serde(with = "hex_text")]
    pub from_root: Hash,
    /// The root of the later tree.
    #[serde(with = "hex_text")]
    pub to_root: Hash,
    /// The hashes that lead to both roots.
    #[serde(with = "hex_text::list")]
    pub hashes: Vec<Hash>,
}

impl ConsistencyProof {
    /// Verifies that the later tree only adds to the earlier one. Whoever asks compares the two roots with the heads
    /// they know.
    ///
    /// # Errors
    /// When the proof does not show it.
    pub fn verify(&self) -> Result<(), ProofRefused> {
        let (Ok(from), Ok(to)) = (u64::try_from(self.from), u64::try_from(self.to)) else {
            return Err(ProofRefused::Outside);
        };
        if from == 0 || from > to {
            return Err(ProofRefused::Outside);
        }
        if from == to {
            return match (self.hashes.is_empty(), self.from_root == self.to_root) {
                (true, true) => Ok(()),
                (true, false) => Err(ProofRefused::Root),
                (false, _) => Err(ProofRefused::Length),
            };
        }
        let mut place = Place { node: from - 1, last: to - 1 };
        while place.node & 1 == 1 {
            place.halve();
        }
        // A tree of a power of two is one perfect subtree, so its root begins both ways.
        let mut hashes = self.hashes.iter();
        let first = if from.is_power_of_two() { Some(&self.from_root) } else { hashes.next() };
        let Some(first) = first else { return Err(ProofRefused::Length) };
        let (mut earlier, mut later) = (*first, *first);
        for beside in hashes {
            if place.last == 0 {
                return Err(ProofRefused::Length);
            }
            if place.is_right() {
                earlier = parent(beside, &earlier);
                later = parent(beside, &later);
            } else {
                later = parent(&later, beside);
            }
            place.rise();
        }
        match (place.last, earlier == self.from_root && later == self.to_root) {
            (0, true) => Ok(()),
            (0, false) => Err(ProofRefused::Root),
            (_, _) => Err(ProofRefused::Length),
        }
    }
}

/// A node on its way up, and the last node of its level.
struct Place {
    node: u64,
    last: u64,
}

impl Place {
    /// Whether what stands beside it stands to its left.
    fn is_right(&self) -> bool {
        self.node & 1 == 1 || self.node == self.last
    }

    fn halve(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }

    /// One level up; the last node of a ragged tree skips the levels on which it stands alone.
    fn rise(&mut self) {
        if self.node == self.last {
            while self.node & 1 == 0 && self.node != 0 {
                self.halve();
            }
        }
        self.halve();
    }
}

/// A perfect subtree: the leaves from `index * 2^height` on, `2^height` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub height: u32,
    pub index: u64,
}

/// The perfect subtrees that make up a subtree of RFC 6962 over these leaves, largest first.
pub(super) fn perfect(leaves: &Range<u64>) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut from = leaves.start;
    while from < leaves.end {
        let height = (leaves.end - from).ilog2();
        nodes.push(Node { height, index: from >> height });
        from += 1 << height;
    }
    nodes
}

/// The hash of such a subtree, from the hashes of its perfect ones.
pub(super) fn joined(hashes: impl DoubleEndedIterator<Item = Hash>) -> Option<Hash> {
    hashes.rev().reduce(|right, left| parent(&left, &right))
}

/// The subtrees whose hashes make an inclusion proof, from the bottom up: PATH of RFC 6962 section 2.1.1.
pub(super) fn inclusion_path(index: u64, size: u64) -> Vec<Range<u64>> {
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to - from > 1 {
        let split = from + largest_power_below(to - from);
        if index < split {
            path.push(split..to);
            to = split;
        } else {
            path.push(from..split);
            from = split;
        }
    }
    path.reverse();
    path
}

/// The subtrees whose hashes make a consistency proof: PROOF of RFC 6962 section 2.1.2.
pub(super) fn consistency_path(earlier: u64, size: u64) -> Vec<Range<u64>> {
    let (mut from, mut to, mut is_whole) = (0, size, true);
    let mut path = Vec::new();
    while earlier < to {
        let split = from + largest_power_below(to - from);
        if earlier <= split {
            path.push(split..to);
            to = split;
        } else {
            path.push(from..split);
            from = split;
            is_whole = false;
        }
    }
    if !is_whole {
        path.push(from..to);
    }
    path.reverse();
    path
}

/// The largest power of two below `count`, which is at least 2.
fn largest_power_below(count: u64) -> u64 {
    count.next_power_of_two() / 2
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
