//! What a dataset consists of, by digest: a version names its manifest, and from it the data come back as they were.

use almanac_domain::values::{Digest, Session};
use almanac_ml::{Split, artefact};
use almanac_projections::ingestions::Batch;
use serde_json::{Value, json};
use uuid::Uuid;

/// A batch and the digest of its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedBatch {
    /// The batch.
    pub id: Uuid,
    /// The SHA-256 of its rows as they are stored.
    pub sha256: Digest,
}

impl From<&Batch> for NamedBatch {
    fn from(batch: &Batch) -> Self {
        Self { id: batch.id, sha256: batch.object.sha256.clone() }
    }
}

/// The batches and splits of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Bars, in the order of the log.
    pub batches: Vec<NamedBatch>,
    /// Headlines, in the order of the log; none where no news were looked at.
    pub headlines: Option<Vec<NamedBatch>>,
    /// The splits that were known.
    pub splits: Vec<Split>,
}

impl Manifest {
    /// The manifest of bars alone.
    pub fn of_bars(batches: &[Batch], splits: &[Split]) -> Self {
        let batches = batches.iter().map(NamedBatch::from).collect();
        Self { batches, headlines: None, splits: splits.to_vec() }
    }

    /// As JSON: no spaces, keys in one order, one fixed order of lines.
    pub fn to_bytes(&self) -> Vec<u8> {
        let named = |batches: &[NamedBatch]| {
            batches.iter().map(|batch| json!([batch.id, batch.sha256])).collect::<Vec<_>>()
        };
        let splits: Vec<_> = self
            .splits
            .iter()
            .map(|split| json!([split.key, split.effective, split.ratio.to_string()]))
            .collect();
        let mut manifest = json!({ "batches": named(&self.batches), "splits": splits });
        if let Some(headlines) = &self.headlines {
            manifest["headlines"] = json!(named(headlines));
        }
        manifest.to_string().into_bytes()
    }

    /// The digest that names the data in events.
    pub fn digest(&self) -> Digest {
        digest(&self.to_bytes())
    }

    /// Reads what [`Manifest::to_bytes`] wrote; nothing for other bytes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let splits = value.get("splits")?.as_array()?.iter().map(split).collect::<Option<_>>()?;
        let headlines = match value.get("headlines") {
            Some(headlines) => Some(named(headlines)?),
            None => None,
        };
        Some(Self { batches: named(value.get("batches")?)?, headlines, splits })
    }
}

pub(super) fn digest(bytes: &[u8]) -> Digest {
    #[allow(clippy::expect_used, reason = "a SHA-256 in hexadecimal is a digest")]
    artefact::digest(bytes).parse().expect("a digest")
}

fn named(list: &Value) -> Option<Vec<NamedBatch>> {
    let one = |item: &Value| {
        let id = item.get(0)?.as_str()?.parse().ok()?;
        Some(NamedBatch { id, sha256: item.get(1)?.as_str()?.parse().ok()? })
    };
    list.as_array()?.iter().map(one).collect()
}

fn split(item: &Value) -> Option<Split> {
    let effective: Session = item.get(1)?.as_str()?.parse().ok()?;
    let ratio: f64 = item.get(2)?.as_str()?.parse().ok()?;
    let sound = ratio.is_finite() && ratio > 0.0;
    sound.then_some(Split { key: item.get(0)?.as_str()?.to_owned(), effective, ratio })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn manifest() -> Manifest {
        let batch = |n: u128| NamedBatch { id: Uuid::from_u128(n), sha256: "a".repeat(64).parse().unwrap() };
        let effective = Session::from_ymd_opt(2024, 1, 4).unwrap();
        let split = Split { key: Uuid::from_u128(7).to_string(), effective, ratio: 1.0 / 3.0 };
        Manifest { batches: vec![batch(2), batch(1)], headlines: None, splits: vec![split] }
    }

    #[test]
    fn a_manifest_comes_back_as_it_was_and_news_make_it_another() {
        let bars = manifest();
        assert_eq!(Manifest::parse(&bars.to_bytes()).unwrap(), bars);
        let news = Manifest { headlines: Some(vec![]), ..bars.clone() };
        assert_eq!(Manifest::parse(&news.to_bytes()).unwrap(), news);
        assert_ne!(bars.digest(), news.digest());
    }

    #[test]
    fn what_is_no_manifest_is_not_guessed_at() {
        for text in ["", "{}", r#"{"batches":[["x","y"]],"splits":[]}"#, r#"{"batches":[]}"#] {
            assert_eq!(Manifest::parse(text.as_bytes()), None, "{text}");
        }
        let text = String::from_utf8(manifest().to_bytes()).unwrap();
        assert_eq!(Manifest::parse(text.replace("0.333", "-0.333").as_bytes()), None);
    }
}
