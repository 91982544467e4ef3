//! What verbs that do one thing and end have in common: the foundation, and tables that keep level with the log.

use std::sync::Arc;
use std::time::Duration;

use almanac_actors::Parts;
use almanac_actors::supervisor::{Role, Running, Service};
use almanac_domain::calendar::Calendar;
use almanac_domain::clock::{Clock, SetClock};
use almanac_domain::values::Mode;
use almanac_store::clock::{Entropy, SystemClock};
use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use url::Url;

use super::{Failure, Place};
use crate::config::Config;
use crate::{Foundation, StartError};

/// How long the tables may take to become level with the log.
const PATIENCE: Duration = Duration::from_secs(600);

/// Flags of every verb that does one thing.
#[derive(Debug, Clone, Args)]
pub(super) struct OneOff {
    #[command(flatten)]
    place: Place,
    /// Print the report as one line of JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Work as if it were this time, or the evening of this session: for data of the past, in the mode `replayed`.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// A foundation with tables that are level with the log and kept so.
pub(super) struct Workbench {
    pub(super) parts: Parts,
    foundation: Foundation,
    tables: Running,
}

impl OneOff {
    /// Sets everything up.
    pub(super) async fn workbench(&self) -> Result<Workbench, Failure> {
        let (mut config, _) = self.place.config(vec![])?;
        let clock: Arc<dyn Clock> = match &self.at {
            None => Arc::new(SystemClock),
            Some(at) => {
                if config.mode == Mode::Live {
                    config.mode = Mode::Replayed;
                }
                Arc::new(SetClock::at(moment(at, &config)?))
            }
        };
        let foundation = Foundation::lay(&config).await?;
        let public_url =
            config.public_url.clone().map_or_else(|| Url::parse("http://127.0.0.1:8080/"), Ok)?;
        let parts = foundation.parts(&config, &public_url, clock, Entropy::system())?;
        let tables = Service::start(&parts, &[Role::Log]);
        let bench = Workbench { parts, foundation, tables };
        bench.tables.run_until_idle(PATIENCE).await.map_err(StartError::from)?;
        Ok(bench)
    }

    /// A bar for long work; hidden where a script reads.
    pub(super) fn bar(&self) -> ProgressBar {
        if self.json { ProgressBar::hidden() } else { spinner() }
    }
}

impl Workbench {
    /// Lets the tables become level with the log, and ends.
    pub(super) async fn clear_away(self) -> Result<(), StartError> {
        self.tables.run_until_idle(PATIENCE).await?;
        self.tables.stop().await;
        drop(self.parts);
        self.foundation.clear_away().await
    }
}

/// A bar that says what is being done, for how long.
pub(super) fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// Lets a bar count steps, once it is known how many there are.
pub(super) fn steps(bar: &ProgressBar, count: usize) {
    if bar.length().is_some() {
        return;
    }
    if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:24} {pos} of {len}: {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.set_length(count as u64);
}

fn moment(text: &str, config: &Config) -> Result<DateTime<Utc>, Failure> {
    if let Ok(moment) = text.parse::<DateTime<Utc>>() {
        return Ok(moment);
    }
    let day: NaiveDate = text
        .parse()
        .map_err(|_| format!("`--at {text}` is neither a time (RFC 3339) nor a date (YYYY-MM-DD)"))?;
    let calendar = Calendar::of(&config.exchange);
    Ok(calendar.closes_at(calendar.at_or_before(day)))
}
