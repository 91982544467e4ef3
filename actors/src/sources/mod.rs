//! Where prices and headlines come from.
//!
//! A source hands over bytes as it received them, so that what is recorded can be digested and checked later; what
//! the bytes mean is decided by `almanac_ml::bars` when they are ingested. To add a source: one file here with a type
//! that is a [`MarketData`], one line in [`of`], and one in the contract test (`tests/sources.rs`).

pub mod folder;
pub mod http;
pub mod replay;
pub mod simulator;

use std::sync::Arc;

use almanac_domain::instrument::CorporateAction;
use almanac_domain::values::Session;
use almanac_ml::bars::Finding;
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::parts::Parts;
use crate::settings::SourceSettings;
use crate::trade::TradeError;

/// A source of daily bars, and of the headlines and corporate actions that come with them.
#[async_trait]
pub trait MarketData: Send + Sync {
    /// The kind of source, as it stands in events.
    fn name(&self) -> &'static str;

    /// What is new. Asked again without anything having changed outside, it may give the same again: what was ingested
    /// before is known by its digest.
    async fn fetch(&self, wanted: &Wanted) -> Result<Vec<Batch>, SourceError>;

    /// The part of this label need not be given again until it changes: it was recorded, or refused for good.
    fn settled(&self, label: &str);
}

/// What the service would like to know.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The last session it has bars of, if it has any.
    pub after: Option<Session>,
    /// The last session that has closed and settled.
    pub until: Session,
    /// The service's time.
    pub now: DateTime<Utc>,
}

/// What belongs together and is recorded together.
#[derive(Debug, Default)]
pub struct Batch {
    /// Tables of bars.
    pub bars: Vec<Part>,
    /// Tables of headlines.
    pub headlines: Vec<Part>,
    /// Whether the headlines of this batch count as first seen now or when they were published.
    pub headlines_seen: Seen,
    /// Splits, dividends and delistings.
    pub actions: Vec<Action>,
    /// The labels of the parts that the actions came from.
    pub actions_from: Vec<String>,
    /// Names and sectors.
    pub companies: Vec<Company>,
    /// What the source itself has found in bytes that are not handed over as they came.
    pub findings: Vec<Finding>,
    /// What could not be had: the label of the part, and why.
    pub failures: Vec<(String, SourceError)>,
}

/// Bytes as received.
#[derive(Debug, Clone)]
pub struct Part {
    /// Where they came from, such as a file's name or a symbol.
    pub label: String,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How they are to be read.
    pub codec: Codec,
    /// The symbol of rows that name none.
    pub default_symbol: Option<String>,
}

/// How bytes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Comma-separated values with a header.
    Csv,
    /// Parquet.
    Parquet,
}

/// When a headline counts as first seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Seen {
    /// At the moment it arrives: nobody here knew it before.
    #[default]
    Now,
    /// When it was published: only a simulated newsroom, which nobody could have read otherwise, may say so.
    WhenPublished,
}

/// Something that happened to a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The share's symbol.
    pub symbol: String,
    /// For splits and dividends the first session that trades after them, for a delisting the last session.
    pub session: Session,
    /// What happened.
    pub happening: Happening,
}

/// What can happen to a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// Its company split it or paid a dividend.
    Acted(CorporateAction),
    /// It trades no more. Only a source that says so in words may say so: silence is an outage, never a delisting.
    Delisted,
}

/// What a source knows of a company.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Company {
    /// Its symbol.
    pub symbol: String,
    /// Its name.
    pub name: Option<String>,
    /// Its sector.
    pub sector: Option<String>,
}

/// Why a source gave nothing. Each has a stable word for events and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It did not answer in time.
    #[error("the source did not answer within {seconds} s")]
    Timeout {
        /// The limit.
        seconds: u64,
    },
    /// It could not be reached at all.
    #[error("the source could not be reached: {detail}")]
    Unreachable {
        /// What the network said.
        detail: String,
    },
    /// It does not know what was asked for.
    #[error("the source knows nothing of this symbol (404)")]
    NotFound,
    /// It was asked too often.
    #[error("the source was asked too often (429) and did not relent within the waiting budget")]
    TooManyRequests,
    /// It answered with an error.
    #[error("the source answered with status {0}")]
    Status(u16),
    /// It answered with a web page.
    #[error("the source answered with a web page instead of a table")]
    Html,
    /// The answer broke off.
    #[error("the answer broke off before its end")]
    Truncated,
    /// The answer is longer than allowed.
    #[error("the answer is longer than {most_bytes} bytes")]
    TooLarge {
        /// The limit.
        most_bytes: usize,
    },
    /// It failed again and again and is left alone for a while.
    #[error("the source failed again and again and is left alone until {until}")]
    LeftAlone {
        /// When it is asked again.
        until: DateTime<Utc>,
    },
    /// A file or folder could not be read.
    #[error("`{path}` could not be read: {detail}")]
    Unreadable {
        /// The file's name.
        path: String,
        /// What the machine said.
        detail: String,
    },
    /// A file beside the bars is not what its name says.
    #[error("`{path}`: {detail}")]
    Malformed {
        /// The file's name.
        path: String,
        /// What is wrong.
        detail: String,
    },
}

impl SourceError {
    /// The reason as a stable word.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::Unreachable { .. } => "unreachable",
            Self::NotFound => "not_found",
            Self::TooManyRequests => "too_many_requests",
            Self::Status(_) => "error_status",
            Self::Html => "html",
            Self::Truncated => "truncated",
            Self::TooLarge { .. } => "too_large",
            Self::LeftAlone { .. } => "left_alone",
            Self::Unreadable { .. } => "unreadable",
            Self::Malformed { .. } => "malformed",
        }
    }
}

/// The sources that the settings name.
pub fn of(parts: &Parts) -> Result<Vec<Arc<dyn MarketData>>, TradeError> {
    let calendar = parts.calendar();
    parts
        .settings
        .sources
        .iter()
        .map(|source| {
            Ok(match source {
                SourceSettings::Folder(path) => Arc::new(folder::Folder::new(path)) as Arc<dyn MarketData>,
                SourceSettings::Replay(path) => Arc::new(replay::Replay::new(path, calendar)),
                SourceSettings::Http(settings) => Arc::new(
                    http::Http::new(settings.clone())
                        .map_err(TradeError::broken("could not set up the web source"))?,
                ),
                SourceSettings::Simulator(settings) => Arc::new(simulator::Simulator::new(settings.clone())),
            })
        })
        .collect()
}
