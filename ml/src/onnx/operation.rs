//! The arithmetic of the operations. Sums run from the first number to the last, in 64 bits.

use super::trees::Ensemble;

/// What a step computes from its inputs, whose sizes were made sure of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operation {
    /// The same numbers, perhaps in another shape or kind.
    Same,
    /// Number by number, each input by its list of places.
    Pairs { arithmetic: Arithmetic, left: Vec<u32>, right: Vec<u32> },
    /// Number by number.
    Each(Function),
    /// Rows of the first (`rows` of `inner` numbers) times columns of the second.
    Product { rows: usize, inner: usize, columns: usize, transposed: bool },
    /// One input after the other.
    Joined,
    /// (x - offset) × scale.
    Scaled { offset: Vec<f64>, scale: Vec<f64> },
    /// What is `replaced`, or no number, becomes the given value.
    Imputed { replaced: f64, values: Vec<f64> },
    /// A weighted sum.
    Linear { weights: Vec<f64>, intercept: f64 },
    /// Trees.
    Trees(Box<Ensemble>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Relu,
    Tanh,
    Sigmoid,
}

impl Operation {
    /// Computes into `out`.
    pub fn compute(&self, inputs: &[&[f64]], out: &mut Vec<f64>) {
        out.clear();
        match self {
            Self::Same => out.extend_from_slice(inputs[0]),
            Self::Joined => inputs.iter().for_each(|input| out.extend_from_slice(input)),
            Self::Pairs { arithmetic, left, right } => {
                let pairs = left.iter().zip(right);
                let value =
                    |(&a, &b): (&u32, &u32)| arithmetic.of(inputs[0][a as usize], inputs[1][b as usize]);
                out.extend(pairs.map(value));
            }
            Self::Each(function) => out.extend(inputs[0].iter().map(|&value| function.of(value))),
            Self::Product { rows, inner, columns, transposed } => {
                for row in 0..*rows {
                    let row = &inputs[0][row * inner..(row + 1) * inner];
                    for column in 0..*columns {
                        let at = |place: usize| {
                            if *transposed { column * inner + place } else { place * columns + column }
                        };
                        let terms = row.iter().enumerate().map(|(place, value)| value * inputs[1][at(place)]);
                        out.push(terms.sum());
                    }
                }
            }
            Self::Scaled { offset, scale } => {
                let terms = inputs[0].iter().zip(offset).zip(scale);
                out.extend(terms.map(|((value, offset), scale)| (value - offset) * scale));
            }
            Self::Imputed { replaced, values } => {
                #[allow(clippy::float_cmp, reason = "the very value that stands for a missing one")]
                let missing = |value: f64| value.is_nan() || value == *replaced;
                let terms = inputs[0].iter().zip(values);
                out.extend(terms.map(|(&value, &other)| if missing(value) { other } else { value }));
            }
            Self::Linear { weights, intercept } => {
                let sum: f64 = inputs[0].iter().zip(weights).map(|(value, weight)| value * weight).sum();
                out.push(sum + intercept);
            }
            Self::Trees(trees) => out.push(trees.predict(inputs[0])),
        }
    }

    /// About how many additions and comparisons it takes for one row that is `size` numbers long in the end.
    pub fn cost(&self, size: usize) -> usize {
        match self {
            Self::Product { rows, inner, columns, .. } => {
                rows.saturating_mul(*inner).saturating_mul(*columns)
            }
            Self::Linear { weights, .. } => weights.len(),
            Self::Trees(trees) => trees.cost(),
            Self::Same
            | Self::Pairs { .. }
            | Self::Each(_)
            | Self::Joined
            | Self::Scaled { .. }
            | Self::Imputed { .. } => size,
        }
    }
}

impl Arithmetic {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
        }
    }
}

impl Function {
    fn of(self, value: f64) -> f64 {
        match self {
            Self::Relu => value.max(0.0),
            Self::Tanh => libm::tanh(value),
            Self::Sigmoid => 1.0 / (1.0 + libm::exp(-value)),
        }
    }
}
