//! A model that was trained elsewhere, as the ONNX file it came in.

use std::sync::Arc;

use super::{FitError, Fitted, Forecaster, Spread, Task};
use crate::onnx::{Graph, OnnxError};

/// Learns nothing: what it would have to learn is in the file.
pub(super) struct Imported;

impl Forecaster for Imported {
    fn needed_rows(&self, _: usize) -> usize {
        0
    }

    fn fit(&self, _task: &Task<'_>, cutoffs: &[i32]) -> Result<Vec<Fitted>, FitError> {
        if cutoffs.is_empty() { Ok(Vec::new()) } else { Err(FitError::Imported) }
    }
}

/// A model that was trained elsewhere. Clones share the file.
#[derive(Debug, Clone)]
pub struct Onnx {
    file: Arc<Vec<u8>>,
    graph: Arc<Graph>,
    /// Where the rows lay that it may have learned from.
    pub(super) spread: Spread,
}

impl PartialEq for Onnx {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file && self.spread == other.spread
    }
}

impl Onnx {
    /// The model in a file, which looks at as many features as are spread.
    ///
    /// # Errors
    /// When the file is no model that can be used.
    pub fn new(file: Vec<u8>, spread: Spread) -> Result<Self, OnnxError> {
        let graph = Graph::read(&file, spread.mean.len())?;
        Ok(Self { file: Arc::new(file), graph: Arc::new(graph), spread })
    }

    /// The file, byte for byte.
    pub fn file(&self) -> &[u8] {
        &self.file
    }

    /// Where the rows lay that it may have learned from.
    pub fn spread(&self) -> &Spread {
        &self.spread
    }

    /// The expected log return of a row with these features; no number where the model gives none.
    pub fn predict(&self, features: &[f64]) -> f64 {
        self.graph.predict(features, &mut self.graph.room())
    }

    /// The same for rows that lie one after the other, bit by bit.
    ///
    /// # Panics
    /// When `width` is zero.
    pub fn predict_rows(&self, rows: &[f64], width: usize) -> Vec<f64> {
        let mut room = self.graph.room();
        rows.chunks_exact(width).map(|row| self.graph.predict(row, &mut room)).collect()
    }

    /// The expected log return where every feature is at its mean.
    pub fn base(&self) -> f64 {
        self.graph.predict(&self.spread.mean, &mut self.graph.room())
    }

    /// Per feature, by how much the expected log return changes when it leaves its mean for where it is, one feature after
    /// the other; the mean of doing so from the first to the last and from the last to the first (two of the orders that
    /// Shapley values average over). With [`Onnx::base`] they sum up to the expected log return.
    pub fn contributions(&self, features: &[f64]) -> Vec<f64> {
        let mut contributions = vec![0.0; features.len()];
        let forth = (0..features.len()).collect::<Vec<_>>();
        let back = forth.iter().rev().copied().collect();
        for order in [forth, back] {
            let mut room = self.graph.room();
            let mut row = self.spread.mean.clone();
            let mut before = self.graph.predict(&row, &mut room);
            for feature in order {
                row[feature] = features[feature];
                let after = self.graph.predict(&row, &mut room);
                contributions[feature] += (after - before) / 2.0;
                before = after;
            }
        }
        contributions
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::features::{FeatureTable, Inputs, Labels};
    use crate::{Family, testing};

    #[test]
    fn an_imported_family_learns_nothing_and_says_so() {
        let panel = testing::panel(2, 100, 1);
        let features = FeatureTable::compute(&Inputs::of(&panel));
        let labels = Labels::new(&panel, &features, 1);
        let task = Task { features: &features, labels: &labels };
        let family = Family::Onnx;
        assert_eq!(family.forecaster().fit(&task, &[20_000]), Err(FitError::Imported));
        assert_eq!(family.forecaster().fit(&task, &[]), Ok(vec![]));
        assert!(family.flaw().is_some());
        // Nobody can ask for it to be trained by name.
        assert_eq!((family.name(), Family::named("onnx")), ("onnx", None));
    }
}
