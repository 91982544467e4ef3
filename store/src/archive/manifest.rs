//! What an export says of itself: which files belong to it, and what they hold.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::chain::Chain;
use super::error::{ArchiveError, Damage};
use super::folder;
use crate::log::{Frontier, Hash};

/// The name of the manifest inside an export.
pub(super) const FILE: &str = "manifest.json";

/// What the manifest of every export of this program begins with.
const KIND: &str = "almanac-log-export";

/// The version of the layout; raised when older programs could not read it.
const VERSION: u32 = 1;

/// How the events of an export are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One event a line, in the canonical form of JSON.
    Jsonl,
    /// One event a row.
    Parquet,
}

impl Format {
    /// Its name, which is the ending of its files too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "jsonl" => Ok(Self::Jsonl),
            "parquet" => Ok(Self::Parquet),
            _ => Err("an export is written as `jsonl` or as `parquet`".to_owned()),
        }
    }
}

/// What an export says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    kind: String,
    version: u32,
    /// How its events are written.
    pub format: Format,
    /// The name of the log, as its checkpoints give it; none when no checkpoint was ever published.
    pub origin: Option<String>,
    /// The key by which its checkpoints are signed, in the text form of C2SP.
    pub verifier_key: Option<String>,
    /// False while a run is under way, and after one that was interrupted.
    pub complete: bool,
    /// The log before the first event of the export; of size 0 unless the export begins later.
    pub after: Head,
    /// The log up to the last event of the export.
    pub head: Head,
    /// The files that hold the events, in order.
    pub segments: Vec<Segment>,
}

/// What the manifest of every version has.
#[derive(Deserialize)]
struct Start {
    kind: String,
    version: u32,
}

/// The log up to some event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The ordinal of that event, which is the size of the tree.
    pub size: i64,
    /// The root of the tree (RFC 6962).
    pub root: Hex,
    /// The latest moment of the events up to it.
    pub as_of: Option<DateTime<Utc>>,
    /// The roots of the perfect subtrees, largest first: from them the tree grows on.
    pub frontier: Vec<Hex>,
}

/// A file of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Its name, made of its first and last ordinal.
    pub file: String,
    /// Its first ordinal.
    pub first: i64,
    /// Its last ordinal.
    pub last: i64,
    /// Its size.
    pub bytes: u64,
    /// The digest of its bytes, in hexadecimal.
    pub sha256: String,
}

/// A digest of the log, written in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex(pub Hash);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = hash_from_hex(&text).ok_or("a digest has 64 hexadecimal digits");
        hash.map(Self).map_err(serde::de::Error::custom)
    }
}

/// The digest written as `text`, which must be in lower case.
pub(super) fn hash_from_hex(text: &str) -> Option<Hash> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    hex::decode(text).ok().filter(|_| plain)?.try_into().ok()
}

impl Head {
    pub(super) fn of(chain: &Chain) -> Self {
        Self {
            size: chain.size(),
            root: Hex(chain.root()),
            as_of: chain.as_of,
            frontier: chain.frontier.roots().iter().copied().map(Hex).collect(),
        }
    }

    /// The log up to here, so that the next event can be added; none when the parts do not fit each other.
    pub(super) fn chain(&self) -> Option<Chain> {
        let size = u64::try_from(self.size).ok()?;
        let frontier = Frontier::from_parts(size, self.frontier.iter().map(|root| root.0).collect())?;
        (frontier.root() == self.root.0).then_some(Chain { frontier, as_of: self.as_of })
    }
}

impl Segment {
    pub(super) fn name(first: i64, last: i64, format: Format) -> String {
        // As many digits as sort well for a while; more are as good.
        format!("events-{first:012}-{last:012}.{format}")
    }

    /// True for names that only segments have.
    pub(super) fn is_name(name: &str) -> bool {
        let Some((range, format)) = name.strip_prefix("events-").and_then(|rest| rest.split_once('.')) else {
            return false;
        };
        let ordinal = |text: &str| text.parse::<i64>().ok();
        let range = range.split_once('-').and_then(|(first, last)| ordinal(first).zip(ordinal(last)));
        let format = Format::from_str(format).ok();
        range.zip(format).is_some_and(|((first, last), format)| Self::name(first, last, format) == name)
    }
}

impl Manifest {
    /// The manifest of an export that holds nothing yet.
    pub(super) fn new(format: Format, after: &Chain) -> Self {
        Self {
            kind: KIND.to_owned(),
            version: VERSION,
            format,
            origin: None,
            verifier_key: None,
            complete: false,
            after: Head::of(after),
            head: Head::of(after),
            segments: Vec::new(),
        }
    }

    /// Reads the manifest in `folder` and checks that its parts fit each other; none when there is none.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, ArchiveError> {
        let path = folder.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ArchiveError::io(&path)(error)),
        };
        let start: Start = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if start.kind != KIND || start.version != VERSION {
            let reason = format!(
                "it is a `{}` of version {}; this program reads `{KIND}` of version {VERSION}",
                start.kind, start.version
            );
            return Err(ArchiveError::Foreign { file: path, reason });
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        manifest.check()?;
        Ok(Some(manifest))
    }

    /// Writes it whole or not at all.
    pub(super) fn write(&self, folder: &Path) -> Result<(), ArchiveError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(crate::StoreError::from)?;
        text.push(b'\n');
        folder::write(&folder.join(FILE), &text)
    }

    fn check(&self) -> Result<(), ArchiveError> {
        for (name, head) in [("after", &self.after), ("head", &self.head)] {
            if head.chain().is_none() {
                return Err(damaged(format!("the parts of `{name}` do not fit each other")));
            }
        }
        let mut end = self.after.size;
        for segment in &self.segments {
            let Segment { file, first, last, .. } = segment;
            // A name that is not made of the range could lead elsewhere.
            if *first != end + 1 || last < first || *file != Segment::name(*first, *last, self.format) {
                return Err(damaged(format!("the segment `{file}` is not the one that follows event {end}")));
            }
            end = *last;
        }
        if end != self.head.size {
            return Err(damaged(format!(
                "the segments end at event {end}, `head` at event {}",
                self.head.size
            )));
        }
        Ok(())
    }
}

fn damaged(reason: String) -> ArchiveError {
    ArchiveError::Damaged(Damage { file: FILE.to_owned(), row: None, ordinal: None, reason })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_names_of_segments_are_names_of_segments() {
        assert!(Segment::is_name("events-000000000001-000000100000.jsonl"));
        assert!(Segment::is_name("events-000000000001-1000000000000.parquet"));
        for name in [
            "",
            "events-1-2.jsonl",
            "events-000000000001-000000000002.csv",
            "../events-000000000001-000000000002.jsonl",
            "events-000000000001-000000000002.jsonl.unfinished",
            "manifest.json",
        ] {
            assert!(!Segment::is_name(name), "{name}");
        }
    }

    #[test]
    fn a_manifest_whose_parts_do_not_fit_is_damaged() {
        let segment = |first, last| Segment {
            file: Segment::name(first, last, Format::Jsonl),
            first,
            last,
            bytes: 1,
            sha256: String::new(),
        };
        let empty = Manifest::new(Format::Jsonl, &Chain::default());
        assert!(empty.check().is_ok());
        for broken in [
            Manifest { segments: vec![segment(1, 2)], ..empty.clone() },
            Manifest { segments: vec![segment(2, 1)], ..empty.clone() },
            Manifest { head: Head { size: 1, ..empty.head.clone() }, ..empty.clone() },
            Manifest { after: Head { root: Hex([0; 32]), ..empty.head.clone() }, ..empty.clone() },
        ] {
            assert!(broken.check().unwrap_err().is_tampering(), "{broken:?}");
        }
    }
}
