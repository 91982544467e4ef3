//! A regression tree, and what each feature did to a forecast.

use std::num::NonZeroU32;

/// A binary tree; the first node is the root, and children come after their parents.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    nodes: Vec<Node>,
}

/// A place in a tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node {
    /// What is expected of the training rows that came here.
    pub value: f64,
    /// Where rows go on; nothing at a leaf.
    pub split: Option<Split>,
}

/// A question to a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// Rows up to this value go to `left`, the others to the node after it.
    pub threshold: f64,
    /// The feature asked for.
    pub feature: u32,
    /// The place of a node.
    pub left: NonZeroU32,
}

impl Tree {
    /// A tree of nodes; nothing when there is none, or a child does not come after its parent and inside the list, or
    /// a question is to a feature that is not there.
    pub fn new(nodes: Vec<Node>, features: usize) -> Option<Self> {
        let leads_on = |(place, node): (usize, &Node)| {
            node.split.is_none_or(|split| {
                let left = split.left.get() as usize;
                (split.feature as usize) < features && left > place && left + 1 < nodes.len()
            })
        };
        (!nodes.is_empty() && nodes.iter().enumerate().all(leads_on)).then_some(Self { nodes })
    }

    /// The nodes, the root first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The value of the leaf a row comes to.
    pub fn predict(&self, features: &[f64]) -> f64 {
        let mut node = &self.nodes[0];
        while let Some(split) = node.split {
            node = &self.nodes[split.next(features)];
        }
        node.value
    }

    /// Adds to `out`, per feature, by how much its questions moved the expectation on the row's way (Saabas 2014,
    /// "Interpreting random forests"); with the root's value they sum up to the forecast.
    pub fn add_contributions(&self, features: &[f64], out: &mut [f64]) {
        let mut node = &self.nodes[0];
        while let Some(split) = node.split {
            let next = &self.nodes[split.next(features)];
            out[split.feature as usize] += next.value - node.value;
            node = next;
        }
    }
}

impl Split {
    fn next(&self, features: &[f64]) -> usize {
        // No branch: which way a row goes is what the processor cannot foresee.
        self.left.get() as usize + usize::from(features[self.feature as usize] > self.threshold)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn nodes() -> Vec<Node> {
        let split = |feature, threshold, left| {
            Some(Split { feature, threshold, left: NonZeroU32::new(left).unwrap() })
        };
        vec![
            Node { value: 0.5, split: split(1, 2.0, 1) },
            Node { value: 1.0, split: None },
            Node { value: -1.0, split: split(0, 0.0, 3) },
            Node { value: -3.0, split: None },
            Node { value: 7.0, split: None },
        ]
    }

    #[test]
    fn rows_up_to_the_threshold_go_left_and_contributions_sum_up_to_the_forecast() {
        let tree = Tree::new(nodes(), 2).unwrap();
        for (features, leaf) in [([9.0, 2.0], 1.0), ([0.0, 2.1], -3.0), ([0.1, 2.1], 7.0)] {
            assert!((tree.predict(&features) - leaf).abs() < 1e-12);
            let mut contributions = [0.0; 2];
            tree.add_contributions(&features, &mut contributions);
            assert!((0.5 + contributions.iter().sum::<f64>() - leaf).abs() < 1e-12);
        }
    }

    #[test]
    fn nodes_that_lead_nowhere_or_in_a_circle_are_no_tree() {
        assert_eq!(Tree::new(Vec::new(), 2), None);
        assert_eq!(Tree::new(nodes(), 1), None);
        for left in [1, 2, 4, 5] {
            let mut nodes = nodes();
            let left = NonZeroU32::new(left).unwrap();
            nodes[2].split = Some(Split { feature: 0, threshold: 0.0, left });
            assert_eq!(Tree::new(nodes, 2), None);
        }
    }
}
