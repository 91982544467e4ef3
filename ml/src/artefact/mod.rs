//! What training leaves behind: numbers in a format of our own, never code. The same model gives the same bytes, and
//! bytes are opened only when their digest is the expected one.
//!
//! Format: `ALMANACM`, a format number, then the fields of [`Artefact`] in their order (see `bytes.rs` and `models.rs`).
//! Earlier ones are still read: format 1 ended before the reference of the features, formats 1 and 2 kept neither drift nor
//! spread.

mod bytes;
mod models;
mod reference;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use crate::conformal::{Calibration, Scale};
use crate::days;
use crate::drift::FeatureReference;
use crate::models::{Family, Fitted, Spread};
use bytes::{Reader, Writer};

const MAGIC: &[u8; 8] = b"ALMANACM";
/// Raised with every change of the format; bytes of a later format are refused.
const FORMAT: u64 = 3;
/// The first format that keeps a reference of the features.
const WITH_REFERENCE: u64 = 2;
/// The first format that keeps the drift and the spread of the features.
const WITH_DRIFT: u64 = 3;

/// A trained model with everything needed to forecast with it and to train it again.
#[derive(Debug, Clone, PartialEq)]
pub struct Artefact {
    /// What learned it.
    pub family: Family,
    /// The features it looks at, in their order.
    pub features: Vec<String>,
    /// One model per horizon, shortest first.
    pub models: Vec<HorizonModel>,
    /// The first session of the data it learned from.
    pub trained_from: NaiveDate,
    /// The last session it was allowed to know.
    pub as_of: NaiveDate,
    /// SHA-256 of the panel it learned from, hexadecimal.
    pub data_digest: String,
    /// What chance in its training started from.
    pub seed: u64,
    /// The code that trained it.
    pub code_version: String,
    /// What the features looked like in training; empty in artefacts of format 1.
    pub reference: FeatureReference,
    /// Where the features lay in training, whatever the model makes of them; unknown in artefacts of formats 1 and 2.
    pub spread: Option<Spread>,
}

/// The model of one horizon.
#[derive(Debug, Clone, PartialEq)]
pub struct HorizonModel {
    /// Rows ahead.
    pub horizon: usize,
    /// Labels it learned from.
    pub training_rows: usize,
    /// Their mean when it was made, a baseline beside every forecast; unknown in artefacts of formats 1 and 2.
    pub drift: Option<f64>,
    /// What it learned.
    pub fitted: Fitted,
    /// What the scale of its uncertainty is computed with; only where that is [`Scale::Har`].
    pub volatility: Option<Fitted>,
    /// How far off its forecasts of the last year were.
    pub calibration: Calibration,
}

/// Why bytes are no artefact that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArtefactError {
    /// The bytes are not those that were registered.
    #[error("the artefact's digest is {found}, expected {expected}; it was not opened")]
    WrongDigest {
        /// The digest that was registered.
        expected: String,
        /// The digest of the bytes.
        found: String,
    },
    /// The bytes are something else altogether.
    #[error("the bytes are no almanac model artefact")]
    Foreign,
    /// The format is one this version does not know.
    #[error("the artefact has format {found}; this version reads format {FORMAT}")]
    UnknownFormat {
        /// The format number.
        found: u64,
    },
    /// The bytes end too early.
    #[error("the artefact is truncated")]
    Truncated,
    /// The fields contradict each other or the format.
    #[error("the artefact is malformed: {0}")]
    Malformed(&'static str),
}

/// SHA-256 of bytes as hexadecimal text.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl Artefact {
    /// The artefact as bytes; the same artefact gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.raw(MAGIC);
        out.int(FORMAT);
        models::write_family(&mut out, &self.family);
        out.int(self.features.len() as u64);
        self.features.iter().for_each(|name| out.text(name));
        out.int(self.models.len() as u64);
        self.models.iter().for_each(|model| write_model(&mut out, model));
        out.day(days::day(self.trained_from));
        out.day(days::day(self.as_of));
        out.text(&self.data_digest);
        out.int(self.seed);
        out.text(&self.code_version);
        reference::write(&mut out, &self.reference);
        out.byte(u8::from(self.spread.is_some()));
        if let Some(spread) = &self.spread {
            models::write_spread(&mut out, spread);
        }
        out.bytes
    }

    /// Opens bytes, provided their digest is the expected one (hexadecimal SHA-256); nothing is parsed before.
    ///
    /// # Errors
    /// When the digest is another, or the bytes are no artefact of this format.
    pub fn open(bytes: &[u8], expected_digest: &str) -> Result<Self, ArtefactError> {
        let found = digest(bytes);
        if !found.eq_ignore_ascii_case(expected_digest) {
            return Err(ArtefactError::WrongDigest { expected: expected_digest.to_owned(), found });
        }
        Self::parse(bytes)
    }

    /// How many deviations a value of a feature lies from the mean of training.
    ///
    /// # Panics
    /// When there are not that many features.
    pub fn distance(&self, model: &HorizonModel, feature: usize, value: f64) -> f64 {
        match &self.spread {
            Some(spread) => spread.distance(feature, value),
            None => model.fitted.distance(feature, value),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, ArtefactError> {
        let mut input = Reader { rest: bytes.strip_prefix(MAGIC).ok_or(ArtefactError::Foreign)? };
        let format = input.int()?;
        if !(1..=FORMAT).contains(&format) {
            return Err(ArtefactError::UnknownFormat { found: format });
        }
        let family = models::read_family(&mut input)?;
        let names = input.count(8)?;
        let features = (0..names).map(|_| input.text()).collect::<Result<Vec<_>, _>>()?;
        let models = input.count(8)?;
        let models = (0..models)
            .map(|_| read_model(&mut input, features.len(), format))
            .collect::<Result<Vec<_>, _>>()?;
        let count = features.len();
        let artefact = Self {
            family,
            features,
            models,
            trained_from: days::date(input.day()?),
            as_of: days::date(input.day()?),
            data_digest: input.text()?,
            seed: input.int()?,
            code_version: input.text()?,
            reference: if format < WITH_REFERENCE {
                FeatureReference::default()
            } else {
                reference::read(&mut input, count)?
            },
            spread: if format < WITH_DRIFT { None } else { read_spread(&mut input, count)? },
        };
        if input.rest.is_empty() {
            Ok(artefact)
        } else {
            Err(ArtefactError::Malformed("bytes after the end"))
        }
    }
}

fn read_spread(input: &mut Reader<'_>, features: usize) -> Result<Option<Spread>, ArtefactError> {
    match input.byte()? {
        0 => Ok(None),
        1 => models::read_spread(input, features).map(Some),
        _ => Err(ArtefactError::Malformed("a spread that is neither there nor not")),
    }
}

fn write_model(out: &mut Writer, model: &HorizonModel) {
    out.int(model.horizon as u64);
    out.int(model.training_rows as u64);
    out.byte(u8::from(model.drift.is_some()));
    model.drift.iter().for_each(|&drift| out.float(drift));
    models::write_fitted(out, &model.fitted);
    out.byte(match model.calibration.scale {
        Scale::Constant => 0,
        Scale::Volatility => 1,
        Scale::Har => 2,
    });
    if let Some(volatility) = &model.volatility {
        models::write_fitted(out, volatility);
        out.int(model.calibration.instruments.len() as u64);
        for (key, factor) in &model.calibration.instruments {
            out.text(key);
            out.float(*factor);
        }
    }
    out.int(model.calibration.rows as u64);
    out.floats(&model.calibration.grid);
}

fn read_model(input: &mut Reader<'_>, features: usize, format: u64) -> Result<HorizonModel, ArtefactError> {
    let horizon = input.size()?;
    if horizon == 0 {
        return Err(ArtefactError::Malformed("a horizon of zero"));
    }
    let training_rows = input.size()?;
    let drift = match if format < WITH_DRIFT { 0 } else { input.byte()? } {
        0 => None,
        1 => Some(input.float()?),
        _ => return Err(ArtefactError::Malformed("a drift that is neither there nor not")),
    };
    let fitted = models::read_fitted(input, features)?;
    let scale = match input.byte()? {
        0 => Scale::Constant,
        1 => Scale::Volatility,
        2 => Scale::Har,
        _ => return Err(ArtefactError::Malformed("an unknown scale")),
    };
    let (mut volatility, mut instruments) = (None, BTreeMap::new());
    if scale == Scale::Har {
        volatility = Some(models::read_fitted(input, crate::volatility::NAMES.len())?);
        for _ in 0..input.count(16)? {
            instruments.insert(input.text()?, input.float()?);
        }
    }
    let (rows, grid) = (input.size()?, input.floats()?);
    let calibration =
        Calibration::from_parts(scale, rows, grid, instruments).ok_or(ArtefactError::Malformed(
            "score quantiles that fall or are not 199, or a factor of an instrument below zero",
        ))?;
    Ok(HorizonModel { horizon, training_rows, drift, fitted, volatility, calibration })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::drift::ColumnReference;
    use crate::models::Linear;

    fn artefact() -> Artefact {
        let scores = (0..500).map(|i| f64::from(i) / 100.0 - 2.5).collect();
        let calibration = Calibration::from_scores(Scale::Volatility, scores).unwrap();
        let linear = Linear {
            mean: vec![0.25, -1.0],
            std: vec![1.0, 2.0],
            coefficient: vec![1e-4, -3e-5],
            intercept: 0.1 + 0.2,
        };
        let model = |horizon, fitted| HorizonModel {
            horizon,
            training_rows: 1234,
            drift: Some(3e-4),
            fitted,
            volatility: None,
            calibration: calibration.clone(),
        };
        Artefact {
            family: Family::Ridge { alpha: 1000.0 },
            features: vec!["lr_1".to_owned(), "std_20".to_owned()],
            models: vec![model(1, Fitted::Linear(linear)), model(5, Fitted::Constant(-0.001))],
            trained_from: NaiveDate::from_ymd_opt(2013, 2, 8).unwrap(),
            as_of: NaiveDate::from_ymd_opt(2018, 2, 7).unwrap(),
            data_digest: "ab".repeat(32),
            seed: 42,
            code_version: "0.1.0".to_owned(),
            reference: FeatureReference { columns: vec![column(0.5), column(-2.0)] },
            spread: Some(Spread { mean: vec![0.5, -2.0], std: vec![1.0, 0.25] }),
        }
    }

    fn column(middle: f64) -> ColumnReference {
        let quantiles = (0..200).map(|k| middle + f64::from(k) / 64.0).collect();
        ColumnReference { quantiles, usual_stability: 0.125, usual_distance: 0.0625 }
    }

    /// The artefact above as the first format wrote it.
    const FORMAT_1: &[u8] = include_bytes!("../../tests/fixtures/artefact-1.model");
    /// The same as the second format wrote it.
    const FORMAT_2: &[u8] = include_bytes!("../../tests/fixtures/artefact-2.model");
    /// The same as the third format writes it.
    const FORMAT_3: &[u8] = include_bytes!("../../tests/fixtures/artefact-3.model");

    #[test]
    fn every_format_there_has_been_is_still_read() {
        let mut second = artefact();
        second.models.iter_mut().for_each(|model| model.drift = None);
        second.spread = None;
        let first = Artefact { reference: FeatureReference::default(), ..second.clone() };
        assert_eq!(Artefact::open(FORMAT_1, &digest(FORMAT_1)).unwrap(), first);
        assert_eq!(Artefact::open(FORMAT_2, &digest(FORMAT_2)).unwrap(), second);
        assert_eq!(Artefact::open(FORMAT_3, &digest(FORMAT_3)).unwrap(), artefact());
        assert_eq!(artefact().to_bytes(), FORMAT_3, "what is written today is the last of them");
        let without = second.to_bytes();
        assert_eq!(Artefact::open(&without, &digest(&without)).unwrap(), second);
    }

    #[test]
    fn an_artefact_survives_the_way_to_bytes_and_back() {
        let bytes = artefact().to_bytes();
        assert_eq!(Artefact::open(&bytes, &digest(&bytes)).unwrap(), artefact());
        assert_eq!(bytes, artefact().to_bytes());
    }

    #[test]
    fn bytes_with_another_digest_are_refused_before_they_are_parsed() {
        let bytes = artefact().to_bytes();
        let expected = digest(&bytes);
        for place in 0..bytes.len() {
            let mut corrupt = bytes.clone();
            corrupt[place] ^= 1;
            let refused = Artefact::open(&corrupt, &expected).unwrap_err();
            assert!(matches!(refused, ArtefactError::WrongDigest { .. }));
        }
        let foreign = Artefact::open(b"\x80\x04pickle", &expected).unwrap_err();
        assert!(matches!(foreign, ArtefactError::WrongDigest { .. }));
    }

    #[test]
    fn truncated_bytes_are_refused_even_under_their_own_digest() {
        let bytes = artefact().to_bytes();
        for length in 0..bytes.len() {
            let part = &bytes[..length];
            assert!(Artefact::open(part, &digest(part)).is_err(), "{length} of {} bytes", bytes.len());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(
            Artefact::open(&longer, &digest(&longer)).unwrap_err(),
            ArtefactError::Malformed("bytes after the end")
        );
    }

    #[test]
    fn foreign_bytes_and_other_formats_are_refused() {
        assert_eq!(
            Artefact::open(b"PK\x03\x04", &digest(b"PK\x03\x04")).unwrap_err(),
            ArtefactError::Foreign
        );
        let mut later = artefact().to_bytes();
        later[8] = 9;
        assert_eq!(
            Artefact::open(&later, &digest(&later)).unwrap_err(),
            ArtefactError::UnknownFormat { found: 9 }
        );
    }

    #[test]
    fn no_corruption_makes_opening_panic() {
        let bytes = artefact().to_bytes();
        for place in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut corrupt = bytes.clone();
                corrupt[place] = value;
                let _ = Artefact::open(&corrupt, &digest(&corrupt));
            }
        }
    }
}
