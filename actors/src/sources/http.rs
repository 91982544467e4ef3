//! The web source: CSV from a service by one address for each symbol.
//!
//! 1. Every symbol that has not given the wanted session is asked: for its whole history first, so that one that was
//!    missed is made up for, then with some days of overlap, so that corrections come in. Rows that are known already
//!    are not recorded again, and an answer counts as given when it is recorded.
//! 2. An answer that fails is asked for again up to [`TRIES`] times; `Retry-After` is respected as far as the waiting
//!    budget of the round goes.
//! 3. After too many failures in a row the source is left alone for a while (the breaker). A symbol that is not known
//!    there says nothing about the source, and nothing here ever says that a share was delisted.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use almanac_domain::values::{Session, Symbol};
use async_trait::async_trait;
use chrono::{DateTime, Days, TimeDelta, Utc};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};

use super::{Batch, Codec, MarketData, Part, SourceError, Wanted};
use crate::settings::HttpSettings;

/// How often one symbol is asked for in one round.
const TRIES: u32 = 3;
/// The wait before the second try where the source names none; the third waits twice as long.
const BACK_OFF: Duration = Duration::from_millis(500);
/// A source that does not have the session yet is asked again after this time.
const ASK_AGAIN: TimeDelta = TimeDelta::minutes(10);
/// Days before the last known session that are asked for again.
const OVERLAP: Days = Days::new(7);

/// A web service that serves daily bars as CSV.
pub struct Http {
    settings: HttpSettings,
    client: Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    symbols: HashMap<Symbol, Asked>,
    failures_in_a_row: u32,
    left_alone_until: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    /// The last session that was given and recorded.
    given: Option<Session>,
    /// The last session of an answer that is not recorded yet.
    pending: Option<Session>,
    at: DateTime<Utc>,
}

impl Http {
    /// A source by these settings.
    ///
    /// # Errors
    /// When no client can be built, as without the machine's certificates.
    pub fn new(settings: HttpSettings) -> Result<Self, reqwest::Error> {
        // Another part of the program may have installed it before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .user_agent(concat!("almanac/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { settings, client, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who has not given the wanted session and was not asked just now.
    fn due(&self, wanted: &Wanted) -> Vec<Symbol> {
        let state = self.state();
        let due = |asked: &Asked| {
            asked.given < Some(wanted.until) && (wanted.now >= asked.at + ASK_AGAIN || wanted.now < asked.at)
        };
        self.settings
            .symbols
            .iter()
            .filter(|&symbol| state.symbols.get(symbol).is_none_or(due))
            .cloned()
            .collect()
    }

    fn address(&self, symbol: &Symbol, wanted: &Wanted) -> String {
        let given = self.state().symbols.get(symbol).and_then(|asked| asked.given);
        let from = given.map_or(self.settings.from, |given| given - OVERLAP);
        let encoded: String = url::form_urlencoded::byte_serialize(symbol.as_str().as_bytes()).collect();
        self.settings
            .template
            .replace("{symbol}", &encoded)
            .replace("{from}", &from.to_string())
            .replace("{to}", &wanted.until.to_string())
    }

    /// The answer for one symbol, asked for again where that may help. `spent` is what the round has waited so far.
    async fn ask(
        &self,
        symbol: &Symbol,
        wanted: &Wanted,
        spent: &mut Duration,
    ) -> Result<Vec<u8>, SourceError> {
        let address = self.address(symbol, wanted);
        let mut tries = 1;
        loop {
            let Trouble { error, again } = match self.ask_once(&address).await {
                Ok(bytes) => return Ok(bytes),
                Err(trouble) => trouble,
            };
            let wait = match again {
                Again::Never => return Err(error),
                Again::AfterOurPause => BACK_OFF * tries,
                Again::After(wait) => wait,
            };
            if tries == TRIES || *spent + wait > self.settings.waiting_budget {
                return Err(error);
            }
            tracing::info!(symbol = symbol.as_str(), %error, ?wait, "asking the source again");
            *spent += wait;
            tries += 1;
            tokio::time::sleep(wait).await;
        }
    }

    async fn ask_once(&self, address: &str) -> Result<Vec<u8>, Trouble> {
        let response = self.client.get(address).send().await.map_err(|error| self.trouble(&error))?;
        match response.status() {
            StatusCode::OK => self.body(response).await,
            StatusCode::NOT_FOUND => Err(Trouble::lasting(SourceError::NotFound)),
            StatusCode::TOO_MANY_REQUESTS => {
                Err(Trouble { error: SourceError::TooManyRequests, again: retry_after(&response) })
            }
            status if status.is_server_error() => {
                Err(Trouble { error: SourceError::Status(status.as_u16()), again: retry_after(&response) })
            }
            status => Err(Trouble::lasting(SourceError::Status(status.as_u16()))),
        }
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Trouble> {
        let most_bytes = self.settings.most_bytes;
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if content_type.is_some_and(|kind| kind.to_lowercase().starts_with("text/html")) {
            return Err(Trouble::lasting(SourceError::Html));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.trouble_in_body(&error))? {
            if bytes.len() + chunk.len() > most_bytes {
                return Err(Trouble::lasting(SourceError::TooLarge { most_bytes }));
            }
            bytes.extend_from_slice(&chunk);
        }
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).trim_start().to_lowercase();
        if start.starts_with("<!doctype") || start.starts_with("<html") {
            return Err(Trouble::lasting(SourceError::Html));
        }
        Ok(bytes)
    }

    fn trouble(&self, error: &reqwest::Error) -> Trouble {
        let error = if error.is_timeout() {
            SourceError::Timeout { seconds: self.settings.timeout.as_secs() }
        } else {
            SourceError::Unreachable { detail: innermost(error) }
        };
        Trouble { error, again: Again::AfterOurPause }
    }

    fn trouble_in_body(&self, error: &reqwest::Error) -> Trouble {
        if error.is_timeout() {
            return self.trouble(error);
        }
        Trouble { error: SourceError::Truncated, again: Again::AfterOurPause }
    }

    /// Notes how it went; true when the source is to be left alone from now on.
    fn note(&self, symbol: &Symbol, outcome: Result<&[u8], &SourceError>, wanted: &Wanted) -> bool {
        let mut state = self.state();
        let before = state.symbols.get(symbol).and_then(|asked| asked.given);
        let pending = match outcome {
            // An answer without the wanted session is a step ahead all the same: what led up to it is not asked for again.
            Ok(bytes) => [Some(wanted.until), wanted.after]
                .into_iter()
                .flatten()
                .find(|&session| speaks_of(bytes, session)),
            Err(_) => None,
        };
        state.symbols.insert(symbol.clone(), Asked { given: before, pending, at: wanted.now });
        match outcome {
            Ok(_) => state.failures_in_a_row = 0,
            Err(SourceError::NotFound) => {}
            Err(_) => state.failures_in_a_row += 1,
        }
        let opens = state.failures_in_a_row >= self.settings.breaker_after;
        if opens {
            state.left_alone_until = Some(wanted.now + self.settings.breaker_pause);
            // One failure more opens it again at once, until something has succeeded.
            state.failures_in_a_row -= 1;
        }
        opens
    }
}

#[async_trait]
impl MarketData for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    async fn fetch(&self, wanted: &Wanted) -> Result<Vec<Batch>, SourceError> {
        let due = self.due(wanted);
        let left_alone_until = self.state().left_alone_until.filter(|until| *until > wanted.now);
        if due.is_empty() {
            return Ok(vec![]);
        }
        if let Some(until) = left_alone_until {
            return Err(SourceError::LeftAlone { until });
        }
        let (mut batch, mut spent) = (Batch::default(), Duration::ZERO);
        for symbol in due {
            let outcome = self.ask(&symbol, wanted, &mut spent).await;
            let opens = self.note(&symbol, outcome.as_deref(), wanted);
            match outcome {
                Ok(bytes) => batch.bars.push(Part {
                    label: symbol.to_string(),
                    bytes,
                    codec: Codec::Csv,
                    default_symbol: Some(symbol.into()),
                }),
                Err(error) => batch.failures.push((symbol.into(), error)),
            }
            if opens {
                tracing::warn!("the web source failed again and again and is left alone for a while");
                break;
            }
        }
        Ok(vec![batch])
    }

    fn settled(&self, label: &str) {
        let Ok(symbol) = label.parse::<Symbol>() else { return };
        if let Some(asked) = self.state().symbols.get_mut(&symbol) {
            asked.given = asked.given.max(asked.pending.take());
        }
    }
}

/// An answer that was none.
struct Trouble {
    error: SourceError,
    again: Again,
}

/// Whether to ask again.
enum Again {
    Never,
    AfterOurPause,
    /// The source has said when.
    After(Duration),
}

impl Trouble {
    const fn lasting(error: SourceError) -> Self {
        Self { error, again: Again::Never }
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3); dates count from the answer's own `Date`.
fn retry_after(response: &Response) -> Again {
    named_wait(response).map_or(Again::AfterOurPause, Again::After)
}

fn named_wait(response: &Response) -> Option<Duration> {
    let header =
        |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let value = header(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| DateTime::parse_from_rfc2822(text).ok();
    (date(value)? - date(header("date")?)?).to_std().ok()
}

fn speaks_of(bytes: &[u8], session: Session) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.contains(&session.to_string()) || text.contains(&session.format("%Y%m%d").to_string())
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
