//! What an ONNX file says, read into plain structs (onnx.proto of ONNX 1.22). What could carry data or behaviour from
//! elsewhere is refused here: data in other files, functions, graphs inside of nodes, operators of other domains.

use std::collections::BTreeMap;

use super::OnnxError;
use super::protobuf::{Content, doubles, fields, longs, singles};

/// More nodes than this make no model of a few features.
const MOST_NODES: usize = 10_000;
/// The versions of the operators of ONNX whose meaning is known here.
const OPERATORS: std::ops::RangeInclusive<i64> = 7..=25;
/// The same of `ai.onnx.ml`; from version 5 on trees are written in another way.
const ML_OPERATORS: std::ops::RangeInclusive<i64> = 1..=4;

/// The types of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// 32 bits.
    Single,
    /// 64 bits.
    Double,
    /// Whole numbers; in shapes only.
    Whole,
}

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor {
    pub kind: Kind,
    pub shape: Vec<usize>,
    /// Exact for numbers of 32 bits, and for whole ones as large as a shape may be.
    pub values: Vec<f64>,
}

/// The value of an attribute.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Attribute {
    pub float: Option<f64>,
    pub int: Option<i64>,
    pub text: Option<String>,
    pub tensor: Option<Tensor>,
    pub floats: Vec<f64>,
    pub ints: Vec<i64>,
    pub texts: Vec<String>,
}

/// One operation.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Node {
    /// With its domain where that is not ONNX itself: `ai.onnx.ml.Scaler`.
    pub operator: String,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub attributes: BTreeMap<String, Attribute>,
}

/// An input or output.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Port {
    pub name: String,
    pub kind: Option<Kind>,
    /// None for what is only known when the model runs.
    pub shape: Option<Vec<Option<i64>>>,
}

/// A model.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct File {
    pub nodes: Vec<Node>,
    pub constants: BTreeMap<String, Tensor>,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
}

impl File {
    pub fn read(bytes: &[u8]) -> Result<Self, OnnxError> {
        let mut message = fields(bytes);
        let (mut graph, mut opsets) = (None, Vec::new());
        while let Some((number, content)) = message.next()? {
            match number {
                7 => graph = Some(content.bytes()?),
                8 => opsets.push(opset(content.bytes()?)?),
                20 => return Err(OnnxError::unsupported("it carries its training")),
                25 => return Err(OnnxError::unsupported("it defines functions of its own")),
                // Version, producer, texts.
                1..=6 | 14 | 26 => {}
                _ => return Err(OnnxError::Foreign),
            }
        }
        let graph = graph.ok_or(OnnxError::Foreign)?;
        let graph = Self::graph(graph)?;
        let named = |domain: &str| opsets.iter().any(|(named, _)| normal(named) == domain);
        if let Some(node) = graph.nodes.iter().find(|node| !named(domain_of(&node.operator))) {
            let words = format!("it does not say of which version {} is", node.operator);
            return Err(OnnxError::Malformed(words));
        }
        for (domain, version) in &opsets {
            let known = match normal(domain) {
                "" => OPERATORS,
                "ai.onnx.ml" => ML_OPERATORS,
                // Converters name domains they make no use of; nodes that do are refused.
                _ => continue,
            };
            if !known.contains(version) {
                let name = if domain.is_empty() { "ai.onnx" } else { domain };
                return Err(OnnxError::Unsupported(format!(
                    "it is written for version {version} of the operators of {name}; {} to {} are known here \
                     (`target_opset` chooses)",
                    known.start(),
                    known.end()
                )));
            }
        }
        Ok(graph)
    }

    fn graph(bytes: &[u8]) -> Result<Self, OnnxError> {
        let (mut file, mut message) = (Self::default(), fields(bytes));
        while let Some((number, content)) = message.next()? {
            match number {
                1 => {
                    file.nodes.push(node(content.bytes()?)?);
                    if file.nodes.len() > MOST_NODES {
                        return Err(OnnxError::Unsupported(format!("it has more than {MOST_NODES} nodes")));
                    }
                }
                5 => {
                    let (name, tensor) = tensor(content.bytes()?)?;
                    file.constants.insert(name, tensor);
                }
                11 => file.inputs.push(port(content.bytes()?)?),
                12 => file.outputs.push(port(content.bytes()?)?),
                15 => return Err(OnnxError::unsupported("it has sparse constants")),
                _ => {}
            }
        }
        Ok(file)
    }
}

/// The operators of ONNX itself have an empty domain, or its name.
fn normal(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// The domain before an operator's name.
fn domain_of(operator: &str) -> &str {
    operator.rsplit_once('.').map_or("", |(domain, _)| domain)
}

fn opset(bytes: &[u8]) -> Result<(String, i64), OnnxError> {
    let (mut domain, mut version, mut message) = (String::new(), 0, fields(bytes));
    while let Some((number, content)) = message.next()? {
        match number {
            1 => domain = content.text()?,
            2 => version = content.int()?,
            _ => {}
        }
    }
    Ok((domain, version))
}

fn node(bytes: &[u8]) -> Result<Node, OnnxError> {
    let (mut node, mut domain, mut message) = (Node::default(), String::new(), fields(bytes));
    while let Some((number, content)) = message.next()? {
        match number {
            1 => node.inputs.push(content.text()?),
            2 => node.outputs.push(content.text()?),
            4 => node.operator = content.text()?,
            5 => {
                let (name, attribute) = attribute(content.bytes()?)?;
                node.attributes.insert(name, attribute);
            }
            7 => domain = content.text()?,
            _ => {}
        }
    }
    if !domain.is_empty() && domain != "ai.onnx" {
        node.operator = format!("{domain}.{}", node.operator);
    }
    Ok(node)
}

fn attribute(bytes: &[u8]) -> Result<(String, Attribute), OnnxError> {
    let (mut name, mut value, mut message) = (String::new(), Attribute::default(), fields(bytes));
    while let Some((number, content)) = message.next()? {
        match number {
            1 => name = content.text()?,
            2 => {
                let mut float = Vec::new();
                content.floats(&mut float)?;
                value.float = float.first().copied();
            }
            3 => value.int = Some(content.int()?),
            4 => value.text = Some(content.text()?),
            5 => value.tensor = Some(tensor(content.bytes()?)?.1),
            7 => content.floats(&mut value.floats)?,
            8 => content.ints(&mut value.ints)?,
            9 => value.texts.push(content.text()?),
            // Graphs, sparse tensors, types, references to the attributes of a function.
            6 | 10 | 11 | 14 | 15 | 21 | 22 | 23 => {
                return Err(OnnxError::unsupported("a node holds a graph or other things than numbers"));
            }
            _ => {}
        }
    }
    Ok((name, value))
}

fn tensor(bytes: &[u8]) -> Result<(String, Tensor), OnnxError> {
    let mut message = fields(bytes);
    let (mut name, mut dimensions, mut kind, mut raw) = (String::new(), Vec::new(), 0, None);
    let (mut singly, mut wholly, mut doubly) = (Vec::new(), Vec::new(), Vec::new());
    while let Some((number, content)) = message.next()? {
        match number {
            1 => content.ints(&mut dimensions)?,
            2 => kind = content.int()?,
            4 => content.floats(&mut singly)?,
            5 | 7 => content.ints(&mut wholly)?,
            8 => name = content.text()?,
            9 => raw = Some(content.bytes()?),
            10 => content.doubles(&mut doubly)?,
            13 => return Err(OnnxError::unsupported("a constant lies in another file")),
            14 if content.int()? != 0 => {
                return Err(OnnxError::unsupported("a constant lies in another file"));
            }
            3 => return Err(OnnxError::unsupported("a constant comes in pieces")),
            _ => {}
        }
    }
    let whole = |values: Vec<i64>| values.into_iter().map(|value| value as f64).collect::<Vec<_>>();
    let kind = kind_of(kind)
        .ok_or_else(|| OnnxError::unsupported("a constant is neither a number of 32 nor of 64 bits"))?;
    let values = match (kind, raw) {
        (Kind::Single, None) => singly,
        (Kind::Single, Some(raw)) => singles(raw)?,
        (Kind::Double, None) => doubly,
        (Kind::Double, Some(raw)) => doubles(raw)?,
        (Kind::Whole, None) => whole(wholly),
        (Kind::Whole, Some(raw)) => whole(longs(raw)?),
    };
    let shape = dimensions.iter().map(|&size| usize::try_from(size)).collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| OnnxError::Foreign)?;
    let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
    if count != Some(values.len()) || values.iter().any(|value| !value.is_finite()) {
        return Err(OnnxError::malformed("a constant has another size than it says, or holds no numbers"));
    }
    Ok((name, Tensor { kind, shape, values }))
}

const fn kind_of(number: i64) -> Option<Kind> {
    match number {
        1 => Some(Kind::Single),
        7 => Some(Kind::Whole),
        11 => Some(Kind::Double),
        _ => None,
    }
}

fn port(bytes: &[u8]) -> Result<Port, OnnxError> {
    let (mut port, mut message) = (Port::default(), fields(bytes));
    while let Some((number, content)) = message.next()? {
        match number {
            1 => port.name = content.text()?,
            2 => {
                // A tensor is field 1 of the type; sequences and maps are others and leave no kind behind.
                let Some(tensor) = first(content, 1)? else { continue };
                let mut tensor = fields(tensor.bytes()?);
                while let Some((number, content)) = tensor.next()? {
                    match number {
                        1 => port.kind = kind_of(content.int()?),
                        2 => port.shape = Some(shape(content.bytes()?)?),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(port)
}

fn shape(bytes: &[u8]) -> Result<Vec<Option<i64>>, OnnxError> {
    let (mut shape, mut message) = (Vec::new(), fields(bytes));
    while let Some((number, content)) = message.next()? {
        if number == 1 {
            shape.push(first(content, 1)?.map(Content::int).transpose()?);
        }
    }
    Ok(shape)
}

/// The first field of this number in a message.
fn first(message: Content<'_>, wanted: u64) -> Result<Option<Content<'_>>, OnnxError> {
    let mut message = fields(message.bytes()?);
    while let Some((number, content)) = message.next()? {
        if number == wanted {
            return Ok(Some(content));
        }
    }
    Ok(None)
}
