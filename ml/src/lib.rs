//! The forecasting library of Almanac: numbers in, numbers out.
//!
//! It reads daily bars, computes features, learns models, measures them by walk-forward, calibrates their
//! uncertainty and forecasts. It knows no database, no network, no clock and no ambient randomness: the session it
//! may know up to and every seed are arguments. No type of Polars or ndarray appears in its signatures.
//!
//! **Where to start.** [`bars`] brings files in and out; [`Panel`] holds the bars of all instruments;
//! [`train()`] makes an [`Artefact`], its [`Evaluation`](evaluation::Evaluation) and the report of the leak
//! sentinel; [`forecast`] uses the artefact, and [`explain`] takes a forecast apart. The way of a number: [`features`] → [`models`] → [`conformal`] →
//! [`evaluation`].
//!
//! **What must hold.** A row's features depend on that row, earlier ones of the same instrument, and the
//! same session of the others. The same
//! input gives the same bytes, whatever the order of rows or the number of threads: loops that decide numbers are
//! plain ones here, in a fixed order, with logarithms from `libm`.
//!
//! **To add a model family** write one file in [`models`] and one variant of [`Family`]; the compiler asks for the
//! rest. **To add a feature** write it into a file of [`features`] with its unit and look-back, and its name into a new
//! [`FeatureSet`]: registered versions look at those that are there.

pub mod agreement;
pub mod artefact;
pub mod bars;
pub mod conformal;
pub mod days;
pub mod drift;
pub mod evaluation;
pub mod explain;
pub mod features;
pub mod fifths;
pub mod headlines;
pub mod import;
pub mod leaks;
pub mod models;
pub mod onnx;
pub mod panel;
pub mod parallel;
pub mod predict;
pub mod processor;
mod recipe;
pub mod sentiment;
pub mod simulator;
#[cfg(test)]
mod testing;
pub mod train;
mod uncertainty;
pub mod volatility;

pub use artefact::{Artefact, ArtefactError};
pub use bars::{Bar, Bars, CodecError, Decoded, Finding, FindingKind, Rules};
pub use features::{DailySentiment, FeatureSet, FeatureTable, Inputs};
pub use import::{ImportError, ImportSpec, import};
pub use models::Family;
pub use panel::{Panel, Split};
pub use parallel::Threads;
pub use predict::{Abstention, Forecast, Outcome, Predicted, forecast};
pub use processor::Processor;
pub use train::{Progress, Stage, TrainError, Trained, TrainingSpec, train};
