//! Models trained elsewhere, in the open format of the Linux Foundation's ONNX: read, checked, and computed row by row.
//!
//! A regressor of scikit-learn or LightGBM is a short graph of a few kinds of operations, and those are what is known
//! here; a graph with any other is refused by the name of the operation. Each row is computed by itself, in plain loops
//! of a fixed order, in 64 bits and rounded to 32 where the model says so: the same bits on every processor, whatever
//! rows come along with it. Nothing in a file is trusted: every index, shape and size is checked when it is read, so
//! that computing cannot fail, cannot run for long and cannot reach outside of its own numbers.
//!
//! `protobuf.rs` reads the bytes, `file.rs` what they say, `graph.rs` makes steps of it, `operation.rs` and `trees.rs`
//! compute. To add an operation: one case in `graph.rs`, and its arithmetic in `operation.rs`.

mod file;
mod graph;
mod operation;
mod protobuf;
mod shapes;
mod trees;

pub use graph::Graph;

/// Files larger than this are refused before they are read, in bytes.
pub const MOST_BYTES: usize = 256 << 20;

/// Why a file is no model that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// It is larger than [`MOST_BYTES`].
    #[error("the file has {bytes} bytes; at most {MOST_BYTES} are taken")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It ends too early.
    #[error("the file is cut off")]
    Truncated,
    /// It is something else.
    #[error("the file is no ONNX model")]
    Foreign,
    /// It contradicts itself.
    #[error("the model is malformed: {0}")]
    Malformed(String),
    /// It asks for something that is not done here.
    #[error("the model cannot be used: {0}")]
    Unsupported(String),
}

impl OnnxError {
    fn unsupported(why: &str) -> Self {
        Self::Unsupported(why.to_owned())
    }

    fn malformed(why: &str) -> Self {
        Self::Malformed(why.to_owned())
    }
}
