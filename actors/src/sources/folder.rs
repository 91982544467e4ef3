//! The folder source: CSV and Parquet as people bring them, one file for all or one for each symbol.
//!
//! `headlines*.csv` holds headlines, `actions.csv` splits, dividends and delistings, `instruments.csv` names and
//! sectors; every other `.csv` and `.parquet` holds bars. A file's name is the symbol of rows that name none. A file
//! that has been settled is not read again until its length or its time changes.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use almanac_domain::values::Symbol;
use async_trait::async_trait;

use super::{Batch, Codec, MarketData, Part, Seen, SourceError, Wanted};
use beside::{read_actions, read_companies};

mod beside;

/// A folder, or one file.
pub struct Folder {
    path: PathBuf,
    seen: Mutex<HashMap<String, Sighting>>,
}

/// A file as it was when it was last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sighting {
    bytes: u64,
    changed_at: Option<SystemTime>,
    settled: bool,
}

/// What a file of a folder holds, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Bars(Codec),
    Headlines,
    Actions,
    Companies,
}

impl Folder {
    /// The source of the folder or file at `path`.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: Mutex::default() }
    }

    /// Everything in the folder that is new or has changed.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read.
    pub fn read(&self) -> Result<Batch, SourceError> {
        let mut batch = Batch { headlines_seen: Seen::Now, ..Batch::default() };
        let mut small = Vec::new();
        for (path, content) in listed(&self.path)? {
            let label = label(&path);
            let sighting = sighting(&path)?;
            let known = self.known(&label, sighting);
            if matches!(content, Content::Actions | Content::Companies) {
                small.push((path, content, label, sighting, known));
                continue;
            }
            if known {
                continue;
            }
            let bytes = fs::read(&path).map_err(|error| unreadable(&path, &error))?;
            let part = |codec| Part {
                label: label.clone(),
                bytes: bytes.clone(),
                codec,
                default_symbol: default_symbol(&path),
            };
            match content {
                Content::Bars(codec) => batch.bars.push(part(codec)),
                Content::Headlines => batch.headlines.push(part(Codec::Csv)),
                Content::Actions | Content::Companies => {}
            }
            self.remember(label, sighting);
        }
        let actions_changed =
            small.iter().any(|(_, content, _, _, known)| *content == Content::Actions && !known);
        if batch.bars.is_empty() && batch.headlines.is_empty() && !actions_changed {
            return Ok(batch);
        }
        // Read with every batch: they may have come before the bars they speak of.
        for (path, content, label, sighting, known) in small {
            let bytes = fs::read(&path).map_err(|error| unreadable(&path, &error))?;
            if content == Content::Companies {
                batch.companies = read_companies(&label, &bytes)?;
                continue;
            }
            batch.actions = read_actions(&label, &bytes)?;
            batch.actions_from = vec![label.clone()];
            if !known {
                self.remember(label, sighting);
            }
        }
        Ok(batch)
    }

    fn known(&self, label: &str, now: Sighting) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(label).is_some_and(|before| {
            before.settled && (before.bytes, before.changed_at) == (now.bytes, now.changed_at)
        })
    }

    fn remember(&self, label: String, sighting: Sighting) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(label, sighting);
    }
}

#[async_trait]
impl MarketData for Folder {
    fn name(&self) -> &'static str {
        "folder"
    }

    async fn fetch(&self, _wanted: &Wanted) -> Result<Vec<Batch>, SourceError> {
        let batch = self.read()?;
        let empty = batch.bars.is_empty() && batch.headlines.is_empty() && batch.actions_from.is_empty();
        Ok(if empty { vec![] } else { vec![batch] })
    }

    fn settled(&self, label: &str) {
        if let Some(sighting) = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get_mut(label) {
            sighting.settled = true;
        }
    }
}

/// The files of a folder that mean something here, by name; a single file is taken as it is.
fn listed(path: &Path) -> Result<Vec<(PathBuf, Content)>, SourceError> {
    let about = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if about.is_file() {
        let content = content(path).ok_or_else(|| SourceError::Malformed {
            path: label(path),
            detail: "neither .csv nor .parquet".to_owned(),
        })?;
        return Ok(vec![(path.to_owned(), content)]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| unreadable(path, &error))? {
        let file = entry.map_err(|error| unreadable(path, &error))?.path();
        if let Some(content) = content(&file).filter(|_| file.is_file()) {
            files.push((file, content));
        }
    }
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(files)
}

fn content(path: &Path) -> Option<Content> {
    let name = path.file_name()?.to_str()?.to_lowercase();
    let (stem, extension) = name.rsplit_once('.')?;
    match extension {
        "parquet" => Some(Content::Bars(Codec::Parquet)),
        "csv" | "txt" => Some(match stem {
            "actions" => Content::Actions,
            "instruments" => Content::Companies,
            _ if stem.starts_with("headlines") => Content::Headlines,
            _ => Content::Bars(Codec::Csv),
        }),
        _ => None,
    }
}

fn sighting(path: &Path) -> Result<Sighting, SourceError> {
    let about = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    Ok(Sighting { bytes: about.len(), changed_at: about.modified().ok(), settled: false })
}

fn label(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The file's name in capital letters, where that could be a symbol.
fn default_symbol(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_str()?.to_uppercase();
    stem.parse::<Symbol>().ok().map(String::from)
}

fn unreadable(path: &Path, error: &std::io::Error) -> SourceError {
    SourceError::Unreadable { path: label(path), detail: error.to_string() }
}
