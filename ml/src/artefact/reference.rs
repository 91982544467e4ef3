//! What features looked like in training, as bytes and back.

use super::ArtefactError;
use super::bytes::{Reader, Writer};
use crate::drift::{ColumnReference, FeatureReference};

pub(super) fn write(out: &mut Writer, reference: &FeatureReference) {
    out.int(reference.columns.len() as u64);
    for column in &reference.columns {
        out.floats(&column.quantiles);
        out.float(column.usual_stability);
        out.float(column.usual_distance);
    }
}

/// Reads the reference of so many features, or an empty one.
pub(super) fn read(input: &mut Reader<'_>, features: usize) -> Result<FeatureReference, ArtefactError> {
    let count = input.count(24)?;
    if count != 0 && count != features {
        return Err(ArtefactError::Malformed("a reference of other features"));
    }
    let columns = (0..count).map(|_| {
        let quantiles = input.floats()?;
        if quantiles.is_empty() || quantiles.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err(ArtefactError::Malformed("quantiles of a feature that fall or are missing"));
        }
        let (usual_stability, usual_distance) = (input.float()?, input.float()?);
        Ok(ColumnReference { quantiles, usual_stability, usual_distance })
    });
    Ok(FeatureReference { columns: columns.collect::<Result<_, _>>()? })
}
