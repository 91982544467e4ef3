//! From what a file says to steps that compute one row; every size is made sure of here.

use std::collections::HashMap;

use super::file::{Attribute, File, Kind, Node, Port, Tensor};
use super::operation::{Arithmetic, Function, Operation};
use super::shapes::{MOST_NUMBERS, broadcast, places, reshaped};
use super::trees::Ensemble;
use super::{MOST_BYTES, OnnxError};

/// No forecast takes more additions than this.
const MOST_WORK: usize = 50_000_000;

/// A model that gives one number for a row of features.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// The features are the first of the values; constants keep their place.
    constants: Vec<(usize, Vec<f64>)>,
    steps: Vec<Step>,
    values: usize,
    input: Kind,
    output: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct Step {
    operation: Operation,
    inputs: Vec<usize>,
    output: usize,
    kind: Kind,
}

/// Room for working, kept between the rows of one model: its values, the constants in their places.
pub(crate) struct Room(Vec<Vec<f64>>);

impl Graph {
    /// Reads a model that looks at `features` features.
    ///
    /// # Errors
    /// When the bytes are no ONNX model, it is not one of a row of features and one number for it, or it does
    /// something that is not known here.
    pub fn read(bytes: &[u8], features: usize) -> Result<Self, OnnxError> {
        if bytes.len() > MOST_BYTES {
            return Err(OnnxError::TooLarge { bytes: bytes.len() });
        }
        Building::of(File::read(bytes)?, features)
    }

    /// Room for its own rows.
    pub(crate) fn room(&self) -> Room {
        let mut values = vec![Vec::new(); self.values];
        for (place, constant) in &self.constants {
            values[*place].clone_from(constant);
        }
        Room(values)
    }

    /// What it makes of a row of features.
    ///
    /// # Panics
    /// When the row has not as many features as were said, or the room is that of another model.
    pub(crate) fn predict(&self, row: &[f64], room: &mut Room) -> f64 {
        let values = &mut room.0;
        values[0].clear();
        values[0].extend_from_slice(row);
        self.input.round(&mut values[0]);
        for step in &self.steps {
            let mut out = std::mem::take(&mut values[step.output]);
            let inputs: Vec<&[f64]> = step.inputs.iter().map(|&input| values[input].as_slice()).collect();
            step.operation.compute(&inputs, &mut out);
            step.kind.round(&mut out);
            values[step.output] = out;
        }
        values[self.output].first().copied().unwrap_or(f64::NAN)
    }
}

impl Kind {
    /// Sums, products and quotients of 32 bits are those of 64 bits, rounded once more (Figueroa 1995).
    fn round(self, values: &mut [f64]) {
        if self == Self::Single {
            for value in &mut *values {
                *value = f64::from(*value as f32);
            }
        }
    }
}

/// A value while the steps are made: its kind, its shape for one row, and its numbers where they are constant.
struct Value {
    kind: Kind,
    shape: Vec<usize>,
    constant: Option<Vec<f64>>,
}

impl Value {
    fn size(&self) -> usize {
        self.shape.iter().product()
    }

    fn of(tensor: Tensor) -> Self {
        Self { kind: tensor.kind, shape: tensor.shape, constant: Some(tensor.values) }
    }
}

struct Building {
    values: Vec<Value>,
    names: HashMap<String, usize>,
    steps: Vec<Step>,
    work: usize,
}

impl Building {
    fn of(file: File, features: usize) -> Result<Graph, OnnxError> {
        let constants = &file.constants;
        let inputs: Vec<&Port> =
            file.inputs.iter().filter(|port| !constants.contains_key(&port.name)).collect();
        let ([input], [output]) = (inputs.as_slice(), file.outputs.as_slice()) else {
            return Err(OnnxError::Unsupported(format!(
                "it has {} inputs and {} outputs; one of each is taken",
                inputs.len(),
                file.outputs.len()
            )));
        };
        let kind = of_rows(input, features)?;
        let mut building = Self {
            values: vec![Value { kind, shape: vec![1, features], constant: None }],
            names: [(input.name.clone(), 0)].into(),
            steps: Vec::new(),
            work: 0,
        };
        for (name, tensor) in file.constants {
            building.name(&name, Value::of(tensor))?;
        }
        for node in &file.nodes {
            building.node(node)?;
        }
        let output = building.names.get(&output.name).copied();
        let output = output.ok_or_else(|| OnnxError::malformed("its output is computed nowhere"))?;
        let last = &building.values[output];
        if last.size() != 1 || last.shape.len() > 2 || last.kind == Kind::Whole {
            return Err(OnnxError::Unsupported(format!(
                "it gives {} numbers of the shape {:?} for a row; one is wanted",
                last.size(),
                last.shape
            )));
        }
        let values = building.values.len();
        let constant = |(place, value): (usize, Value)| value.constant.map(|numbers| (place, numbers));
        Ok(Graph {
            constants: building.values.into_iter().enumerate().filter_map(constant).collect(),
            steps: building.steps,
            values,
            input: kind,
            output,
        })
    }

    fn name(&mut self, name: &str, value: Value) -> Result<usize, OnnxError> {
        let size = value.shape.iter().try_fold(1_usize, |size, &next| size.checked_mul(next));
        if value.constant.is_none() && size.is_none_or(|size| size == 0 || size > MOST_NUMBERS) {
            return Err(OnnxError::unsupported("a value has no numbers, or too many"));
        }
        self.values.push(value);
        let place = self.values.len() - 1;
        match self.names.insert(name.to_owned(), place) {
            None => Ok(place),
            Some(_) => Err(OnnxError::Malformed(format!("two values are called `{name}`"))),
        }
    }

    /// Adds a step that computes a value of this shape and kind.
    fn step(
        &mut self,
        operation: Operation,
        inputs: Vec<usize>,
        shape: Vec<usize>,
        kind: Kind,
        name: &str,
    ) -> Result<usize, OnnxError> {
        let output = self.name(name, Value { kind, shape, constant: None })?;
        self.work = self.work.saturating_add(operation.cost(self.values[output].size()));
        if self.work > MOST_WORK {
            return Err(OnnxError::unsupported("a forecast would take too long"));
        }
        self.steps.push(Step { operation, inputs, output, kind });
        Ok(output)
    }

    fn node(&mut self, node: &Node) -> Result<(), OnnxError> {
        let [name] = node.outputs.as_slice() else {
            return Err(OnnxError::Unsupported(format!(
                "{} has {} outputs",
                node.operator,
                node.outputs.len()
            )));
        };
        if node.operator == "Constant" {
            let tensor = node.attributes.get("value").and_then(|value| value.tensor.clone());
            let tensor = tensor.ok_or_else(|| OnnxError::unsupported("a constant without a tensor"))?;
            return self.name(name, Value::of(tensor)).map(|_| ());
        }
        let find = |input: &String| {
            let found = self.names.get(input).copied();
            found.ok_or_else(|| {
                OnnxError::Malformed(format!("{} looks at `{input}`, which is nowhere", node.operator))
            })
        };
        let given = node.inputs.iter().filter(|input| !input.is_empty());
        let inputs: Vec<usize> = given.map(find).collect::<Result<_, _>>()?;
        let Some(&first) = inputs.first() else {
            return Err(OnnxError::Malformed(format!("{} has no input", node.operator)));
        };
        let (kind, shape) = (self.values[first].kind, self.values[first].shape.clone());
        let width = self.values[first].size();
        let alone = |operation, shape, kind| (operation, vec![first], shape, kind);
        let (operation, inputs, shape, kind) = match node.operator.as_str() {
            "Add" | "Sub" | "Mul" | "Div" | "Sum" => return self.arithmetic(node, &inputs, name),
            "MatMul" | "Gemm" => return self.product(node, &inputs, name),
            "Identity" => alone(Operation::Same, shape, kind),
            "Cast" => alone(Operation::Same, shape, cast(node)?),
            "Relu" => alone(Operation::Each(Function::Relu), shape, kind),
            "Tanh" => alone(Operation::Each(Function::Tanh), shape, kind),
            "Sigmoid" => alone(Operation::Each(Function::Sigmoid), shape, kind),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
                let shape = self.another_shape(node, &inputs, shape, width)?;
                alone(Operation::Same, shape, kind)
            }
            "Concat" => {
                let shape = self.joined(node, &inputs)?;
                (Operation::Joined, inputs, shape, kind)
            }
            "ai.onnx.ml.Scaler" => {
                let (offset, scale) = (floats(node, "offset", width)?, floats(node, "scale", width)?);
                alone(Operation::Scaled { offset, scale }, shape, Kind::Single)
            }
            "ai.onnx.ml.Imputer" => {
                let values = floats(node, "imputed_value_floats", width)?;
                let replaced = node.attributes.get("replaced_value_float").and_then(|it| it.float);
                let replaced = replaced.unwrap_or_default();
                alone(Operation::Imputed { replaced, values }, shape, kind)
            }
            "ai.onnx.ml.LinearRegressor" => alone(linear(node, width)?, vec![1, 1], Kind::Single),
            "ai.onnx.ml.TreeEnsembleRegressor" => {
                let trees = Box::new(Ensemble::of(node, width)?);
                alone(Operation::Trees(trees), vec![1, 1], Kind::Single)
            }
            other => return Err(OnnxError::Unsupported(format!("the operation {other} is not known here"))),
        };
        self.step(operation, inputs, shape, kind, name).map(|_| ())
    }

    fn arithmetic(&mut self, node: &Node, inputs: &[usize], name: &str) -> Result<(), OnnxError> {
        let arithmetic = match node.operator.as_str() {
            "Sub" => Arithmetic::Sub,
            "Mul" => Arithmetic::Mul,
            "Div" => Arithmetic::Div,
            _ => Arithmetic::Add,
        };
        let [first, others @ ..] = inputs else { return Err(OnnxError::malformed("a sum of nothing")) };
        let many = node.operator == "Sum";
        if (!many && others.len() != 1) || (many && others.is_empty()) {
            return Err(OnnxError::Unsupported(format!("{} of {} values", node.operator, inputs.len())));
        }
        let mut sum = *first;
        for (place, other) in others.iter().enumerate() {
            // Those between have names no file can give: theirs are never empty after the mark.
            let name =
                if place + 1 == others.len() { name.to_owned() } else { format!("{name}\u{0}{place}") };
            sum = self.pairs(arithmetic, sum, *other, &name)?;
        }
        Ok(())
    }

    fn pairs(
        &mut self,
        arithmetic: Arithmetic,
        left: usize,
        right: usize,
        name: &str,
    ) -> Result<usize, OnnxError> {
        let (a, b) = (&self.values[left], &self.values[right]);
        if a.kind != b.kind {
            return Err(OnnxError::malformed("two kinds of numbers are brought together"));
        }
        let kind = a.kind;
        let shape = broadcast(&a.shape, &b.shape)?;
        let operation =
            Operation::Pairs { arithmetic, left: places(&a.shape, &shape), right: places(&b.shape, &shape) };
        self.step(operation, vec![left, right], shape, kind, name)
    }

    fn product(&mut self, node: &Node, inputs: &[usize], name: &str) -> Result<(), OnnxError> {
        let flag = |name: &str| node.attributes.get(name).and_then(|it| it.int).unwrap_or_default() != 0;
        let factor = |name: &str| node.attributes.get(name).and_then(|it| it.float).unwrap_or(1.0);
        let plain =
            (factor("alpha") - 1.0).abs() < f64::EPSILON && (factor("beta") - 1.0).abs() < f64::EPSILON;
        let (transposed, many) = (flag("transB"), node.operator == "Gemm");
        if flag("transA") || !plain || inputs.len() < 2 || inputs.len() > 2 + usize::from(many) {
            return Err(OnnxError::Unsupported(format!("this form of {}", node.operator)));
        }
        let (left, right) = (&self.values[inputs[0]], &self.values[inputs[1]]);
        let (&[rows, inner], second) = (left.shape.as_slice(), right.shape.as_slice()) else {
            return Err(OnnxError::Unsupported(format!("{} of the shape {:?}", node.operator, left.shape)));
        };
        let (first, columns, shape) = match (second, transposed) {
            (&[first, columns], false) | (&[columns, first], true) => (first, columns, vec![rows, columns]),
            (&[first], false) => (first, 1, vec![rows]),
            _ => return Err(OnnxError::Unsupported(format!("{} with the shape {second:?}", node.operator))),
        };
        if first != inner || left.kind != right.kind {
            return Err(OnnxError::malformed("rows and columns of a product do not fit"));
        }
        let kind = left.kind;
        let operation = Operation::Product { rows, inner, columns, transposed };
        match inputs.get(2) {
            None => self.step(operation, inputs.to_vec(), shape, kind, name).map(|_| ()),
            Some(&added) => {
                let product = format!("{name}\u{0}");
                let product = self.step(operation, inputs[..2].to_vec(), shape, kind, &product)?;
                self.pairs(Arithmetic::Add, product, added, name).map(|_| ())
            }
        }
    }

    fn another_shape(
        &self,
        node: &Node,
        inputs: &[usize],
        shape: Vec<usize>,
        size: usize,
    ) -> Result<Vec<usize>, OnnxError> {
        let wrong = || OnnxError::Unsupported(format!("this form of {}", node.operator));
        let listed = |name: &str| -> Option<Vec<i64>> {
            let constant = inputs.get(1).and_then(|&place| self.values[place].constant.as_ref());
            let whole = |values: &Vec<f64>| values.iter().map(|&value| value as i64).collect();
            let attribute = node.attributes.get(name).map(|it| it.ints.clone());
            constant.map(whole).or(attribute.filter(|list| !list.is_empty()))
        };
        match node.operator.as_str() {
            "Reshape" => reshaped(&listed("shape").ok_or_else(wrong)?, &shape, size).ok_or_else(wrong),
            "Flatten" => match node.attributes.get("axis").and_then(|it| it.int).unwrap_or(1) {
                1 if shape.first() == Some(&1) => Ok(vec![1, size]),
                _ => Err(wrong()),
            },
            "Squeeze" => {
                let axes = listed("axes");
                let gone = |axis: usize| match &axes {
                    None => shape[axis] == 1,
                    Some(axes) => axes
                        .iter()
                        .any(|&given| given == axis as i64 || given == axis as i64 - shape.len() as i64),
                };
                let kept: Vec<usize> =
                    (0..shape.len()).filter(|&axis| !gone(axis)).map(|axis| shape[axis]).collect();
                if kept.iter().product::<usize>() == size { Ok(kept) } else { Err(wrong()) }
            }
            _ => {
                let mut axes = listed("axes").ok_or_else(wrong)?;
                axes.sort_unstable();
                let mut shape = shape;
                for given in axes {
                    let place =
                        usize::try_from(given).ok().filter(|&place| place <= shape.len() && place < 8);
                    shape.insert(place.ok_or_else(wrong)?, 1);
                }
                Ok(shape)
            }
        }
    }

    /// The shape of values one after the other along an axis before which there is nothing to interleave.
    fn joined(&self, node: &Node, inputs: &[usize]) -> Result<Vec<usize>, OnnxError> {
        let wrong = || OnnxError::Unsupported("this form of Concat".to_owned());
        let first = &self.values[inputs[0]];
        let mut shape = first.shape.clone();
        let axis = node.attributes.get("axis").and_then(|it| it.int).ok_or_else(wrong)?;
        let axis = if axis < 0 { axis + shape.len() as i64 } else { axis };
        let axis = usize::try_from(axis).ok().filter(|&axis| axis < shape.len()).ok_or_else(wrong)?;
        let mut all = 0_usize;
        for &input in inputs {
            let value = &self.values[input];
            let fits = value.kind == first.kind
                && value.shape.len() == shape.len()
                && (0..shape.len()).all(|at| at == axis || value.shape[at] == shape[at]);
            if !fits {
                return Err(wrong());
            }
            all = all.saturating_add(value.shape[axis]);
        }
        if shape[..axis].iter().any(|&size| size != 1) {
            return Err(wrong());
        }
        shape[axis] = all;
        Ok(shape)
    }
}

/// The kind of an input that is rows of so many features.
fn of_rows(input: &Port, features: usize) -> Result<Kind, OnnxError> {
    let kind = match input.kind {
        Some(kind @ (Kind::Single | Kind::Double)) => kind,
        Some(Kind::Whole) | None => {
            return Err(OnnxError::unsupported("its input holds no numbers of 32 or 64 bits"));
        }
    };
    let Some([rows, width]) = input.shape.as_deref() else {
        return Err(OnnxError::unsupported("its input is no table of rows and features"));
    };
    if rows.is_some_and(|rows| rows != 1) {
        return Err(OnnxError::unsupported("it takes a fixed number of rows; export it with an open one"));
    }
    match width {
        Some(width) if *width != features as i64 => Err(OnnxError::Unsupported(format!(
            "it looks at {width} features, not at the {features} there are"
        ))),
        Some(_) | None => Ok(kind),
    }
}

fn cast(node: &Node) -> Result<Kind, OnnxError> {
    match node.attributes.get("to").and_then(|to| to.int) {
        Some(1) => Ok(Kind::Single),
        Some(11) => Ok(Kind::Double),
        _ => Err(OnnxError::unsupported("a cast to other than numbers of 32 or 64 bits")),
    }
}

fn linear(node: &Node, width: usize) -> Result<Operation, OnnxError> {
    let int = |name: &str| node.attributes.get(name).and_then(|it| it.int);
    if int("targets").unwrap_or(1) != 1 {
        return Err(OnnxError::unsupported("its sum gives more than one number for a row"));
    }
    match node.attributes.get("post_transform").and_then(|it| it.text.as_deref()) {
        None | Some("NONE") => {}
        Some(other) => {
            return Err(OnnxError::Unsupported(format!("its sum ends in the transformation {other}")));
        }
    }
    let list =
        |name: &str| node.attributes.get(name).map(|it: &Attribute| it.floats.clone()).unwrap_or_default();
    let (weights, intercepts) = (list("coefficients"), list("intercepts"));
    let finite = weights.iter().chain(&intercepts).all(|value| value.is_finite());
    if weights.len() != width || intercepts.len() > 1 || !finite {
        return Err(OnnxError::malformed("a sum has not one weight for each value"));
    }
    Ok(Operation::Linear { weights, intercept: intercepts.first().copied().unwrap_or_default() })
}

/// One number for each of `width` values, or one for all.
fn floats(node: &Node, name: &str, width: usize) -> Result<Vec<f64>, OnnxError> {
    let list = node.attributes.get(name).map(|it| it.floats.as_slice()).unwrap_or_default();
    match list {
        [one] if one.is_finite() => Ok(vec![*one; width]),
        list if list.len() == width && list.iter().all(|value| value.is_finite()) => Ok(list.to_vec()),
        _ => Err(OnnxError::Malformed(format!("{name} is not one for each value"))),
    }
}
