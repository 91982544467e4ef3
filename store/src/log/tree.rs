//! The RFC 6962 Merkle tree over the digests of the log, kept as the roots of its perfect subtrees.

use sha2::{Digest, Sha256};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// The roots of the perfect subtrees that make up a tree of `size` leaves, largest first: all that is needed
/// to add leaves and to name the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// The frontier of a tree of `size` leaves with the given subtree roots.
    ///
    /// Returns none when a tree of that size does not have that many.
    pub fn from_parts(size: u64, roots: Vec<Hash>) -> Option<Self> {
        (u64::from(size.count_ones()) == roots.len() as u64).then_some(Self { size, roots })
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the perfect subtrees, largest first.
    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// Adds the digest of the next event as a leaf.
    pub fn push(&mut self, event_hash: &Hash) {
        self.push_leaf(leaf(event_hash));
    }

    /// Adds a leaf whose own hash is made already.
    pub(crate) fn push_leaf(&mut self, leaf: Hash) {
        let mut node = leaf;
        // Each trailing one of the old size is a perfect subtree as large as what is being added: they merge.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                node = parent(&left, &node);
            }
        }
        self.roots.push(node);
        self.size += 1;
    }

    /// The root of the tree (RFC 6962 section 2.1).
    pub fn root(&self) -> Hash {
        let mut from_the_right = self.roots.iter().rev();
        match from_the_right.next() {
            None => Sha256::digest([]).into(),
            Some(last) => from_the_right.fold(*last, |right, left| parent(left, &right)),
        }
    }
}

/// The hash of a leaf (RFC 6962 section 2.1).
pub(crate) fn leaf(data: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(data).finalize().into()
}

/// The hash of a node over its two children (RFC 6962 section 2.1).
pub(crate) fn parent(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 6962 section 2.1, by recursion.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => leaf(one),
            many => {
                let split = many.len().next_power_of_two() / 2;
                parent(&defined(&many[..split]), &defined(&many[split..]))
            }
        }
    }

    #[test]
    fn the_root_of_a_growing_tree_is_the_one_rfc_6962_defines() {
        let leaves: Vec<Hash> = (0..70_u8).map(|n| Sha256::digest([n]).into()).collect();
        let mut frontier = Frontier::default();
        for (count, leaf) in leaves.iter().enumerate() {
            assert_eq!(frontier.root(), defined(&leaves[..count]), "{count} leaves");
            frontier.push(leaf);
            assert_eq!(
                Frontier::from_parts(frontier.size(), frontier.roots().to_vec()),
                Some(frontier.clone())
            );
        }
        assert_eq!(Frontier::from_parts(3, vec![]), None);
    }

    #[test]
    fn the_empty_tree_has_the_root_rfc_6962_gives_it() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex::encode(Frontier::default().root()), empty);
    }
}
