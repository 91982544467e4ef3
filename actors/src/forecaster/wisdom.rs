//! What a version knows: its artefact, opened by digest, and the drift of the data it learned from.

use std::sync::{Arc, Mutex, PoisonError};

use almanac_ml::features::Labels;
use almanac_ml::models::{Task, drift};
use almanac_ml::{Artefact, FeatureTable, Inputs, days};
use almanac_projections::models::Champion;
use almanac_store::StoreError;

use crate::market::View;
use crate::parts::Parts;
use crate::trade::TradeError;

/// An artefact ready for use.
pub(super) struct Wisdom {
    digest: String,
    pub(super) artefact: Artefact,
    /// For each horizon of the artefact, the mean return of the data it learned from: the baseline beside every forecast.
    pub(super) drifts: Vec<f64>,
}

/// Keeps the artefact that was used last.
#[derive(Default)]
pub(super) struct Library(Mutex<Option<Arc<Wisdom>>>);

impl Library {
    /// The version's artefact.
    ///
    /// # Errors
    /// When its bytes are missing, or are not those that were registered; they are not opened then.
    pub(super) async fn of(
        &self,
        parts: &Parts,
        champion: &Champion,
        view: &Arc<View>,
    ) -> Result<Arc<Wisdom>, TradeError> {
        let digest = champion.artefact.sha256.to_string();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.digest == digest) {
            return Ok(known);
        }
        let bytes = parts.objects.get(&champion.artefact.key).await.map_err(StoreError::from)?;
        let artefact = Artefact::open(&bytes, &digest)
            .map_err(TradeError::broken("the version's artefact cannot be used"))?;
        let view = Arc::clone(view);
        let wisdom = tokio::task::spawn_blocking(move || {
            let drifts = drifts(&artefact, &view);
            Arc::new(Wisdom { digest, artefact, drifts })
        })
        .await
        .map_err(TradeError::broken("could not open the version's artefact"))?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&wisdom));
        Ok(wisdom)
    }
}

/// Zero where nothing can be learned, which a trained artefact rules out.
fn drifts(artefact: &Artefact, view: &View) -> Vec<f64> {
    let kept: Option<Vec<f64>> = artefact.models.iter().map(|model| model.drift).collect();
    kept.unwrap_or_else(|| {
        // An artefact from before it kept them.
        let panel = view.panel(artefact.as_of);
        let features = FeatureTable::compute(&Inputs::of(&panel));
        let cutoff = days::day(artefact.as_of) + 1;
        let of = |horizon: usize| {
            let labels = Labels::new(&panel, &features, horizon);
            drift(&Task { features: &features, labels: &labels }, cutoff).unwrap_or(0.0)
        };
        artefact.models.iter().map(|model| of(model.horizon)).collect()
    })
}
