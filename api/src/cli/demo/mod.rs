//! `almanac demo`: the service on a simulated market, or on the user's own data, with a clock that lives through
//! sessions in seconds.
//!
//! 1. What the demo was begun with is kept beside its data: a second start goes on with the same market and sign-ins.
//! 2. The clock stands at the evening of the last session of the history, or where the log ends. The actors find by
//!    themselves that there is history to take in, a version to train and a round to publish.
//! 3. Then the clock is put from evening to evening, and each time the actors are left to do all that is due. Killed at
//!    any moment, the next start goes on from what the log holds.

mod history;
mod kept;
mod people;

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use almanac_actors::settings::TrialSettings;
use almanac_actors::supervisor::{ActorReport, ActorState};
use almanac_domain::calendar::Calendar;
use almanac_domain::clock::{Clock, SetClock};
use almanac_domain::training_run::FeatureSet;
use almanac_domain::values::{Mode, Session};
use almanac_ml::simulator::MOST_COMPANIES;
use almanac_projections::moment;
use almanac_projections::predictions::rounds::{self, Round};
use almanac_store::StoreError;
use almanac_store::clock::Entropy;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep, sleep_until};

use self::history::History;
use self::kept::Kept;
use super::one_off::spinner;
use super::{Failure, Place, asked_to_stop, say};
use crate::config::{Config, Effective, Origin};
use crate::server::listen;
use crate::{App, Environment, Foundation, Running, StartError};

/// Bars come in this long after the close.
const AFTER_THE_CLOSE: TimeDelta = TimeDelta::minutes(30);

/// How long the actors may take over one session; the first one takes in the history and trains.
const PATIENCE: Duration = Duration::from_secs(900);

/// A trial of the demo is decided on this many sessions, so that one is seen to its end.
const SHORT_TRIAL: u32 = 20;

/// So many ports after the usual one are tried.
const PORTS: u16 = 100;

/// Runs the service on a simulated market, or on your own data, and lives through months in minutes.
#[derive(Debug, Args)]
pub(super) struct Demo {
    #[command(flatten)]
    place: Place,
    /// Where to listen [default: 127.0.0.1:8080, or the next port that is free]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Seconds that a session takes; 0 goes as fast as the machine can.
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    speed: f64,
    /// The first sessions are lived through without waiting, so that there soon is a record to look at.
    #[arg(long, value_name = "SESSIONS", default_value_t = 40)]
    hurry: usize,
    /// The last session to live through; the service goes on running.
    #[arg(long, value_name = "DATE")]
    until: Option<Session>,
    /// How many companies the simulated market has.
    #[arg(long, default_value_t = 30, value_parser = RangedU64ValueParser::<usize>::new().range(5..=MOST_COMPANIES as u64))]
    instruments: usize,
    /// How many years of history it begins with.
    #[arg(long, default_value_t = 6, value_parser = RangedU64ValueParser::<usize>::new().range(3..=50))]
    years: usize,
    /// The same seed gives the same market.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Your own bars instead: a folder or file of CSV and Parquet.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// End when the last session is lived through; without --until, after the first predictions.
    #[arg(long)]
    exit: bool,
}

impl Demo {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let began = Instant::now();
        let stop = asked_to_stop()?;
        let (mut config, effective) = self.config()?;
        let entropy = Entropy::system();
        let kept = Kept::beside(&config.data_dir, &self, &entropy)?;
        let calendar = Calendar::of(&config.exchange);
        let history = History::of(&kept, calendar)?;
        let kept = kept.keep(&config.data_dir)?;
        config.demo = true;
        config.mode = history.mode;
        // The ensemble takes some thirty times as long, and nobody likes to wait for a demo.
        if effective.origin("family") == Origin::Default {
            "ridge".clone_into(&mut config.family);
            // Which does not rank better by more columns, only slower (docs/forecasting.md).
            if effective.origin("feature_set") == Origin::Default {
                config.feature_set = FeatureSet::Core;
            }
        }
        if effective.origin("trial.decide_after") == Origin::Default {
            config.trial =
                TrialSettings { decide_after: SHORT_TRIAL, latest: 2 * SHORT_TRIAL, ..config.trial };
        }
        config.sources = history.sources.clone();
        let listener = Self::listener(&config, &effective)?;

        say(match config.mode {
            Mode::Simulated => {
                "Almanac demo on a simulated market: every company and every price is invented."
            }
            Mode::Replayed | Mode::Live => "Almanac demo on your data, replayed.",
        })?;
        let bar = spinner();
        bar.set_message("starting the database");
        let foundation = Foundation::lay(&config).await?;
        let clock = Arc::new(SetClock::at(evening(calendar, history.begins)));
        if let Some(lived) = moment::now(foundation.database.pool()).await?.as_of {
            clock.advance_to(lived);
        }
        let environment = Environment {
            listener: Some(listener),
            first_password: Some(kept.admin_password.clone()),
            ..Environment::with_clock(clock.clone())
        };
        let admin = config.admin_email.clone();
        let running = App::start_on(foundation, config, environment).await?;
        let user = people::demo_user(&running, &kept).await?;
        bar.suspend(|| {
            say(&format!("\n  Pages      {}", running.url()))?;
            say(&format!("  Demo user  {}   password {}", people::EMAIL, kept.demo_password))?;
            say(&format!("  Admin      {admin}   password {}\n", kept.admin_password))
        })?;

        let life =
            Life { running: &running, clock: &clock, calendar, demo: &self, history: &history, bar: &bar };
        let lived = tokio::select! {
            lived = life.live(user, began) => lived,
            () = stop => Ok(()),
        };
        bar.finish_and_clear();
        running.stop().await?;
        lived
    }

    /// The configuration; the data lie in a folder of their own unless somebody says otherwise.
    fn config(&self) -> Result<(Config, Effective), Failure> {
        let mut place = self.place.clone();
        if place.data_dir.is_none() && std::env::var_os("ALMANAC_DATA_DIR").is_none() {
            place.data_dir = Some(match &self.data {
                None => PathBuf::from("./demo-data"),
                Some(data) => {
                    own_data_dir(&fs::canonicalize(data).map_err(|error| unreadable(data, &error))?)
                }
            });
        }
        let listen = self.listen.clone().map(|listen| ("listen", listen));
        Ok(place.config(listen.into_iter().collect())?)
    }

    /// Where to listen: where somebody said, or on the first port that is free.
    fn listener(config: &Config, effective: &Effective) -> Result<TcpListener, StartError> {
        let said = effective.origin("listen") != Origin::Default;
        let parts = config.listen.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
        let Some((host, Ok(port))) = parts.filter(|_| !said) else { return listen(&config.listen) };
        let mut tried = (port..=port.saturating_add(PORTS)).map(|port| listen(&format!("{host}:{port}")));
        tried.find_map(Result::ok).map_or_else(|| listen(&config.listen), Ok)
    }
}

/// The demo of each folder of own data has a folder of its own beside that of the simulated market.
fn own_data_dir(data: &Path) -> PathBuf {
    let digest = Sha256::digest(data.as_os_str().as_encoded_bytes());
    PathBuf::from(format!("./demo-data-{}", hex::encode(&digest[..4])))
}

fn unreadable(data: &Path, error: &io::Error) -> Failure {
    format!("`{}` cannot be read: {error}", data.display()).into()
}

/// The time at which the demo looks at a session that has closed.
fn evening(calendar: Calendar, session: Session) -> DateTime<Utc> {
    calendar.closes_at(session) + AFTER_THE_CLOSE
}

/// Living through sessions.
struct Life<'a> {
    running: &'a Running,
    clock: &'a SetClock,
    calendar: Calendar,
    demo: &'a Demo,
    history: &'a History,
    bar: &'a ProgressBar,
}

impl Life<'_> {
    async fn live(&self, user: people::DemoUser, began: Instant) -> Result<(), Failure> {
        match self.last_round().await? {
            Some(round) => self.say(&format!("The demo goes on after {}.", round.session))?,
            None => self.begin(user, began).await?,
        }
        self.rest().await;
        if self.demo.exit && self.demo.until.is_none() {
            return Ok(());
        }
        let hurried =
            (0..self.demo.hurry).fold(self.history.begins, |session, _| self.calendar.next(session));
        while let Some(session) = self.next_session() {
            let speed = if session <= hurried { 0.0 } else { self.demo.speed };
            let next = Instant::now() + Duration::try_from_secs_f64(speed).unwrap_or_default();
            self.clock.advance_to(evening(self.calendar, session));
            self.bar.set_message(format!("the evening of {session}"));
            self.rest().await;
            sleep_until(next).await;
        }
        if self.demo.exit {
            return Ok(());
        }
        let last = self.calendar.last_closed(self.clock.now());
        self.say(&format!("The demo has come to {last} and stays there. Ctrl-C ends it."))?;
        self.bar.finish_and_clear();
        std::future::pending().await
    }

    /// Waits for the first round, however long the machine takes over it.
    async fn begin(&self, user: people::DemoUser, began: Instant) -> Result<(), Failure> {
        self.bar.set_message("taking in the history");
        people::watch_five(self.running, user).await?;
        self.bar.set_message("learning from the history and publishing the first predictions");
        loop {
            if let Some(round) = self.last_round().await? {
                let (seconds, session) = (began.elapsed().as_secs_f64(), round.session);
                let count = round.published;
                return self.say(&format!(
                    "{count} predictions as of {session} are there, {seconds:.1} s after the start."
                ));
            }
            if let Some(report) = self.running.actors.reports().into_iter().find(is_failed) {
                let why = report.error.unwrap_or_default();
                return Err(format!("the {} has failed and was given up: {why}", report.name).into());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn last_round(&self) -> Result<Option<Round>, StoreError> {
        let parts = &self.running.parts;
        rounds::last_complete(parts.database.pool(), &parts.settings.model).await
    }

    fn say(&self, line: &str) -> Result<(), Failure> {
        self.bar.suspend(|| say(line))
    }

    /// Lets the actors do everything that is due. What one of them cannot do is said; the others go on.
    async fn rest(&self) {
        self.running.actors.ring();
        if let Err(error) = self.running.actors.run_until_idle(PATIENCE).await {
            tracing::warn!(%error, "the actors did not come to rest");
        }
    }

    fn next_session(&self) -> Option<Session> {
        let next = self.calendar.next(self.calendar.last_closed(self.clock.now()));
        let ends = [self.demo.until, self.history.ends].into_iter().flatten().min();
        ends.is_none_or(|ends| next <= ends).then_some(next)
    }
}

fn is_failed(report: &ActorReport) -> bool {
    report.state == ActorState::Failed
}
