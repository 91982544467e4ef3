//! Families and what they have learned, as bytes and back. A kind's number is never used for another.

use std::num::NonZeroU32;

use super::ArtefactError;
use super::bytes::{Reader, Writer};
use crate::models::boosted::{Forest, Node, Split, Tree};
use crate::models::{
    Blend, Boosted, Choices, Family, Fitted, InstrumentDrifts, Linear, Onnx, RiseOdds, Spread,
};

pub(super) fn write_family(out: &mut Writer, family: &Family) {
    match family {
        Family::Zero => out.byte(0),
        Family::Drift => out.byte(1),
        Family::Ridge { alpha } => {
            out.byte(2);
            out.float(*alpha);
        }
        Family::Boosted(choices) => {
            out.byte(3);
            write_choices(out, choices);
        }
        Family::InstrumentDrift => out.byte(4),
        Family::ElasticNet { penalty, l1_ratio } => {
            out.byte(5);
            out.float(*penalty);
            out.float(*l1_ratio);
        }
        Family::Logistic { alpha } => {
            out.byte(6);
            out.float(*alpha);
        }
        Family::Ensemble { alpha, boosted } => {
            out.byte(7);
            out.float(*alpha);
            write_choices(out, boosted);
        }
        Family::Onnx => out.byte(8),
    }
}

pub(super) fn read_family(input: &mut Reader<'_>) -> Result<Family, ArtefactError> {
    Ok(match input.byte()? {
        0 => Family::Zero,
        1 => Family::Drift,
        2 => Family::Ridge { alpha: input.float()? },
        3 => Family::Boosted(read_choices(input)?),
        4 => Family::InstrumentDrift,
        5 => Family::ElasticNet { penalty: input.float()?, l1_ratio: input.float()? },
        6 => Family::Logistic { alpha: input.float()? },
        7 => Family::Ensemble { alpha: input.float()?, boosted: read_choices(input)? },
        8 => Family::Onnx,
        _ => return Err(ArtefactError::Malformed("an unknown family")),
    })
}

pub(super) fn write_fitted(out: &mut Writer, fitted: &Fitted) {
    match fitted {
        Fitted::Constant(value) => {
            out.byte(0);
            out.float(*value);
        }
        Fitted::Linear(linear) => {
            out.byte(1);
            write_linear(out, linear);
        }
        Fitted::Boosted(boosted) => {
            out.byte(2);
            out.float(boosted.drift);
            out.float(boosted.worth);
            write_spread(out, &boosted.spread);
            out.int(boosted.forest.trees().len() as u64);
            boosted.forest.trees().iter().for_each(|tree| write_tree(out, tree));
        }
        Fitted::InstrumentDrifts(drifts) => {
            out.byte(3);
            out.float(drifts.drift);
            out.int(drifts.drifts.len() as u64);
            for (key, drift) in &drifts.drifts {
                out.text(key);
                out.float(*drift);
            }
        }
        Fitted::RiseOdds(odds) => {
            out.byte(4);
            write_linear(out, &odds.log_odds);
            out.float(odds.rise);
            out.float(odds.fall);
        }
        Fitted::Blend(blend) => {
            out.byte(5);
            out.float(blend.drift);
            out.int(blend.members.len() as u64);
            for (weight, member) in &blend.members {
                out.float(*weight);
                write_fitted(out, member);
            }
        }
        Fitted::Onnx(onnx) => {
            out.byte(6);
            write_spread(out, onnx.spread());
            out.text(&super::digest(onnx.file()));
            out.int(onnx.file().len() as u64);
            out.raw(onnx.file());
        }
    }
}

/// Reads what was learned from `features` features.
pub(super) fn read_fitted(input: &mut Reader<'_>, features: usize) -> Result<Fitted, ArtefactError> {
    read_kind(input, features, false)
}

/// A member of a blend is no blend, so that no bytes nest without end.
fn read_kind(input: &mut Reader<'_>, features: usize, member: bool) -> Result<Fitted, ArtefactError> {
    Ok(match input.byte()? {
        0 => Fitted::Constant(input.float()?),
        1 => Fitted::Linear(read_linear(input, features)?),
        2 => {
            let (drift, worth) = (input.float()?, input.float()?);
            let spread = read_spread(input, features)?;
            let count = input.count(8)?;
            let trees = (0..count).map(|_| read_tree(input, features)).collect::<Result<_, _>>()?;
            Fitted::Boosted(Boosted { drift, worth, forest: Forest::new(trees), spread })
        }
        3 => {
            let drift = input.float()?;
            let count = input.count(16)?;
            let drifts =
                (0..count).map(|_| Ok((input.text()?, input.float()?))).collect::<Result<Vec<_>, _>>()?;
            if !drifts.windows(2).all(|pair| pair[0].0 < pair[1].0) {
                return Err(ArtefactError::Malformed("instruments out of order"));
            }
            Fitted::InstrumentDrifts(InstrumentDrifts { drift, drifts })
        }
        4 => Fitted::RiseOdds(RiseOdds {
            log_odds: read_linear(input, features)?,
            rise: input.float()?,
            fall: input.float()?,
        }),
        5 if !member => {
            let drift = input.float()?;
            let count = input.count(17)?;
            let members = (0..count)
                .map(|_| Ok((input.float()?, read_kind(input, features, true)?)))
                .collect::<Result<_, _>>()?;
            Fitted::Blend(Blend { drift, members })
        }
        6 if !member => {
            let spread = read_spread(input, features)?;
            let expected = input.text()?;
            let length = input.size()?;
            let file = input.raw(length)?;
            if super::digest(file) != expected {
                return Err(ArtefactError::Malformed("an imported file with another digest"));
            }
            let onnx = Onnx::new(file.to_vec(), spread);
            Fitted::Onnx(onnx.map_err(|_| ArtefactError::Malformed("an imported file that is no model"))?)
        }
        _ => return Err(ArtefactError::Malformed("an unknown kind of model")),
    })
}

fn write_linear(out: &mut Writer, linear: &Linear) {
    out.floats(&linear.mean);
    out.floats(&linear.std);
    out.floats(&linear.coefficient);
    out.float(linear.intercept);
}

fn read_linear(input: &mut Reader<'_>, features: usize) -> Result<Linear, ArtefactError> {
    let Spread { mean, std } = read_spread(input, features)?;
    let coefficient = input.floats()?;
    if coefficient.len() != features {
        return Err(ArtefactError::Malformed("not one weight per feature"));
    }
    Ok(Linear { mean, std, coefficient, intercept: input.float()? })
}

pub(super) fn write_spread(out: &mut Writer, spread: &Spread) {
    out.floats(&spread.mean);
    out.floats(&spread.std);
}

pub(super) fn read_spread(input: &mut Reader<'_>, features: usize) -> Result<Spread, ArtefactError> {
    let (mean, std) = (input.floats()?, input.floats()?);
    if mean.len() != features || std.len() != features {
        return Err(ArtefactError::Malformed("not one mean and deviation per feature"));
    }
    if std.iter().any(|&std| std <= 0.0) {
        return Err(ArtefactError::Malformed("a deviation that is not positive"));
    }
    Ok(Spread { mean, std })
}

fn write_choices(out: &mut Writer, choices: &Choices) {
    out.int(choices.trees as u64);
    out.float(choices.rate);
    out.int(choices.leaves as u64);
    out.int(choices.smallest_leaf as u64);
    out.float(choices.penalty);
    out.int(choices.parts as u64);
    out.int(choices.seed);
}

fn read_choices(input: &mut Reader<'_>) -> Result<Choices, ArtefactError> {
    let choices = Choices {
        trees: input.size()?,
        rate: input.float()?,
        leaves: input.size()?,
        smallest_leaf: input.size()?,
        penalty: input.float()?,
        parts: input.size()?,
        seed: input.int()?,
    };
    if choices.sound() {
        Ok(choices)
    } else {
        Err(ArtefactError::Malformed("choices no tree can be grown by"))
    }
}

fn write_tree(out: &mut Writer, tree: &Tree) {
    out.int(tree.nodes().len() as u64);
    for node in tree.nodes() {
        out.float(node.value);
        out.byte(u8::from(node.split.is_some()));
        if let Some(split) = node.split {
            out.small(split.feature);
            out.float(split.threshold);
            out.small(split.left.get());
        }
    }
}

fn read_tree(input: &mut Reader<'_>, features: usize) -> Result<Tree, ArtefactError> {
    let count = input.count(9)?;
    let nodes = (0..count).map(|_| read_node(input)).collect::<Result<_, _>>()?;
    Tree::new(nodes, features).ok_or(ArtefactError::Malformed("nodes that are no tree"))
}

fn read_node(input: &mut Reader<'_>) -> Result<Node, ArtefactError> {
    let value = input.float()?;
    let split = match input.byte()? {
        0 => None,
        1 => Some(Split {
            feature: input.small()?,
            threshold: input.float()?,
            left: NonZeroU32::new(input.small()?)
                .ok_or(ArtefactError::Malformed("a node that leads to the root"))?,
        }),
        _ => return Err(ArtefactError::Malformed("a node that is neither leaf nor split")),
    };
    Ok(Node { value, split })
}
