//! `ai.onnx.ml.TreeEnsembleRegressor`: trees whose leaves are added up, as scikit-learn, LightGBM and XGBoost export
//! them.

use std::collections::HashMap;

use super::OnnxError;
use super::file::{Attribute, Node};

/// Trees, made sure of: every way from a root ends at a leaf.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ensemble {
    nodes: Vec<TreeNode>,
    roots: Vec<u32>,
    base: f64,
    average: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum TreeNode {
    Leaf(f64),
    Branch { feature: u32, threshold: f64, mode: Mode, unknown_is_true: bool, yes: u32, no: u32 },
}

/// How a value is compared with a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    Unequal,
}

impl Mode {
    fn named(name: &str) -> Result<Option<Self>, OnnxError> {
        Ok(Some(match name {
            "LEAF" => return Ok(None),
            "BRANCH_LEQ" => Self::AtMost,
            "BRANCH_LT" => Self::Below,
            "BRANCH_GTE" => Self::AtLeast,
            "BRANCH_GT" => Self::Above,
            "BRANCH_EQ" => Self::Equal,
            "BRANCH_NEQ" => Self::Unequal,
            other => return Err(OnnxError::Unsupported(format!("a tree branches by {other}"))),
        }))
    }

    #[allow(clippy::float_cmp, reason = "equal means equal in the format's words")]
    fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::AtMost => value <= threshold,
            Self::Below => value < threshold,
            Self::AtLeast => value >= threshold,
            Self::Above => value > threshold,
            Self::Equal => value == threshold,
            Self::Unequal => value != threshold,
        }
    }
}

impl Ensemble {
    /// The sum, or mean, of the leaves a row ends at.
    pub fn predict(&self, row: &[f64]) -> f64 {
        let sum: f64 = self.roots.iter().map(|&root| self.leaf(root, row)).sum();
        self.base + if self.average { sum / self.roots.len() as f64 } else { sum }
    }

    fn leaf(&self, root: u32, row: &[f64]) -> f64 {
        let mut at = root;
        loop {
            match self.nodes[at as usize] {
                TreeNode::Leaf(value) => return value,
                TreeNode::Branch { feature, threshold, mode, unknown_is_true, yes, no } => {
                    let value = row[feature as usize];
                    let holds = if value.is_nan() { unknown_is_true } else { mode.holds(value, threshold) };
                    at = if holds { yes } else { no };
                }
            }
        }
    }

    /// About how many comparisons a row takes.
    pub fn cost(&self) -> usize {
        // A way is no longer than its tree; balanced ones are far shorter, and 64 is beyond any that were learned.
        self.nodes.len().min(self.roots.len().saturating_mul(64))
    }

    /// The trees of a node that looks at `width` values.
    pub fn of(node: &Node, width: usize) -> Result<Self, OnnxError> {
        let reading = Reading { attributes: node };
        let targets = reading.int("n_targets")?;
        if targets != 1 {
            return Err(OnnxError::Unsupported(format!(
                "its trees give {targets} numbers for a row, not one"
            )));
        }
        reading.no_transform()?;
        let average = match reading.text("aggregate_function") {
            None | Some("SUM") => false,
            Some("AVERAGE") => true,
            Some(other) => {
                return Err(OnnxError::Unsupported(format!("its trees are brought together by {other}")));
            }
        };
        let base = reading.numbers("base_values", None)?;
        if base.len() > 1 {
            return Err(malformed("more than one base value"));
        }
        let places = reading.places("nodes_treeids", "nodes_nodeids")?;
        let mut nodes = reading.nodes(&places, width)?;
        let leaves = reading.places("target_treeids", "target_nodeids")?;
        let count = leaves.list.len();
        let weights = reading.numbers("target_weights", Some(count))?;
        if reading.ints("target_ids", count)?.iter().any(|&target| target != 0) {
            return Err(malformed("a leaf speaks of a number there is not"));
        }
        for (place, weight) in leaves.list.iter().zip(weights) {
            match places.found.get(place).map(|&at| &mut nodes[at as usize]) {
                Some(TreeNode::Leaf(value)) => *value += weight,
                Some(TreeNode::Branch { .. }) | None => return Err(malformed("a weight of no leaf")),
            }
        }
        let roots = roots(&nodes, &places.list)?;
        Ok(Self { nodes, roots, base: base.first().copied().unwrap_or_default(), average })
    }
}

/// Trees and nodes by their numbers.
struct Places {
    list: Vec<(i64, i64)>,
    found: HashMap<(i64, i64), u32>,
}

struct Reading<'a> {
    attributes: &'a Node,
}

impl Reading<'_> {
    fn get(&self, name: &str) -> Option<&Attribute> {
        self.attributes.attributes.get(name)
    }

    fn int(&self, name: &str) -> Result<i64, OnnxError> {
        let value = self.get(name).and_then(|attribute| attribute.int);
        value.ok_or_else(|| OnnxError::Malformed(format!("trees without {name}")))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.text.as_deref()
    }

    fn no_transform(&self) -> Result<(), OnnxError> {
        match self.text("post_transform") {
            None | Some("NONE") => Ok(()),
            Some(other) => {
                Err(OnnxError::Unsupported(format!("its trees end in the transformation {other}")))
            }
        }
    }

    fn ints(&self, name: &str, count: usize) -> Result<&[i64], OnnxError> {
        let values = self.get(name).map(|attribute| attribute.ints.as_slice()).unwrap_or_default();
        if values.len() == count { Ok(values) } else { Err(uneven(name)) }
    }

    /// Numbers of 32 bits, or of 64 in the tensor of the same name.
    fn numbers(&self, name: &str, count: Option<usize>) -> Result<Vec<f64>, OnnxError> {
        let tensor = self.get(&format!("{name}_as_tensor")).and_then(|attribute| attribute.tensor.as_ref());
        let values = match (tensor, self.get(name)) {
            (Some(tensor), _) => tensor.values.clone(),
            (None, Some(attribute)) => attribute.floats.clone(),
            (None, None) => Vec::new(),
        };
        if values.iter().any(|value| value.is_nan()) {
            return Err(OnnxError::Malformed(format!("{name} holds no numbers")));
        }
        if count.is_none_or(|count| values.len() == count) { Ok(values) } else { Err(uneven(name)) }
    }

    fn places(&self, trees: &str, nodes: &str) -> Result<Places, OnnxError> {
        let trees = self.get(trees).map(|attribute| attribute.ints.as_slice()).unwrap_or_default();
        let nodes = self.ints(nodes, trees.len())?;
        let list: Vec<(i64, i64)> = trees.iter().copied().zip(nodes.iter().copied()).collect();
        if u32::try_from(list.len()).is_err() || list.is_empty() {
            return Err(malformed("trees without a node, or with too many"));
        }
        let found = list.iter().enumerate().map(|(at, &place)| (place, at as u32)).collect();
        Ok(Places { list, found })
    }

    fn nodes(&self, places: &Places, width: usize) -> Result<Vec<TreeNode>, OnnxError> {
        let count = places.list.len();
        if places.found.len() != count {
            return Err(malformed("two nodes of a tree have one number"));
        }
        let modes = self.get("nodes_modes").map(|attribute| attribute.texts.as_slice()).unwrap_or_default();
        if modes.len() != count {
            return Err(uneven("nodes_modes"));
        }
        let features = self.ints("nodes_featureids", count)?;
        let thresholds = self.numbers("nodes_values", Some(count))?;
        let (yes, no) = (self.ints("nodes_truenodeids", count)?, self.ints("nodes_falsenodeids", count)?);
        let unknown = match self.get("nodes_missing_value_tracks_true") {
            Some(attribute) if !attribute.ints.is_empty() => {
                self.ints("nodes_missing_value_tracks_true", count)?
            }
            Some(_) | None => &[],
        };
        let mut nodes = Vec::with_capacity(count);
        for (at, &(tree, _)) in places.list.iter().enumerate() {
            let child = |id: i64| {
                let child = places.found.get(&(tree, id)).copied();
                child.ok_or_else(|| malformed("a branch that leads nowhere"))
            };
            nodes.push(match Mode::named(&modes[at])? {
                None => TreeNode::Leaf(0.0),
                Some(mode) => TreeNode::Branch {
                    feature: u32::try_from(features[at])
                        .ok()
                        .filter(|&feature| (feature as usize) < width)
                        .ok_or_else(|| malformed("a tree looks at a feature there is not"))?,
                    threshold: thresholds[at],
                    mode,
                    unknown_is_true: unknown.get(at).is_some_and(|&unknown| unknown != 0),
                    yes: child(yes[at])?,
                    no: child(no[at])?,
                },
            });
        }
        Ok(nodes)
    }
}

/// The first node of each tree, provided every other one has exactly one parent and is reached from there.
fn roots(nodes: &[TreeNode], places: &[(i64, i64)]) -> Result<Vec<u32>, OnnxError> {
    let mut parents = vec![0_u8; nodes.len()];
    for node in nodes {
        if let TreeNode::Branch { yes, no, .. } = *node {
            for child in [yes, no] {
                parents[child as usize] = parents[child as usize].saturating_add(1);
            }
        }
    }
    if parents.iter().any(|&parents| parents > 1) {
        return Err(malformed("a node of a tree has two parents"));
    }
    let roots: Vec<u32> = (0..nodes.len()).filter(|&at| parents[at] == 0).map(|at| at as u32).collect();
    let mut trees: Vec<i64> = roots.iter().map(|&root| places[root as usize].0).collect();
    trees.dedup();
    let mut different = trees.clone();
    different.sort_unstable();
    different.dedup();
    if different.len() != roots.len() {
        return Err(malformed("a tree with two roots"));
    }
    // With one parent each, what cannot be reached from a root goes round in a circle.
    let (mut reached, mut open) = (0, roots.clone());
    while let Some(at) = open.pop() {
        reached += 1;
        if let TreeNode::Branch { yes, no, .. } = nodes[at as usize] {
            open.extend([yes, no]);
        }
    }
    if reached == nodes.len() { Ok(roots) } else { Err(malformed("a tree that goes round in a circle")) }
}

fn malformed(why: &str) -> OnnxError {
    OnnxError::malformed(why)
}

fn uneven(name: &str) -> OnnxError {
    OnnxError::Malformed(format!("{name} is not one for each node or leaf"))
}
