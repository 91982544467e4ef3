//! What the actors are told: plain values with defaults. Reading them from files and the environment is the
//! business of the edge.

use std::path::PathBuf;
use std::time::Duration;

use almanac_domain::training_run::{FeatureSet, TrainingPlan};
use almanac_domain::trial::{self, TrialRule};
use almanac_domain::values::{Exchange, Horizon, Mode, ModelName, Probability, Session, Symbol};
use almanac_ml::simulator;
use chrono::TimeDelta;

use crate::dispatcher::WebhookSettings;
use crate::notifier::MailSettings;

/// Everything the actors of one service are told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Real or simulated prices, by which clock. It stands in every event.
    pub mode: Mode,
    /// The exchange whose sessions are followed.
    pub exchange: Exchange,
    /// The model whose champion publishes.
    pub model: ModelName,
    /// Where prices and headlines come from.
    pub sources: Vec<SourceSettings>,
    /// What is trained, and when.
    pub training: TrainingSettings,
    /// A version publishes for this many sessions after the last one of its data, and abstains from then on.
    pub expire_after: u32,
    /// A prediction is voided after this many sessions without a bar at or after its target.
    pub void_after: u32,
    /// How long after the close of a session its bars are asked for.
    pub settle: TimeDelta,
    /// How long after the close of a session a round waits, in live mode, for shares whose bars have not come.
    pub wait_for_bars: TimeDelta,
    /// How the actors are watched.
    pub supervision: Supervision,
    /// How mails leave.
    pub mail: MailSettings,
    /// How webhooks leave.
    pub webhooks: WebhookSettings,
    /// How heads of the log are signed.
    pub log: LogSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Live,
            exchange: parsed("XNYS"),
            model: parsed("us-daily"),
            sources: Vec::new(),
            training: TrainingSettings::default(),
            expire_after: 250,
            void_after: 10,
            settle: TimeDelta::zero(),
            wait_for_bars: TimeDelta::hours(2),
            supervision: Supervision::default(),
            mail: MailSettings::default(),
            webhooks: WebhookSettings::default(),
            log: LogSettings::default(),
        }
    }
}

/// How heads of the log are signed.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// The file with the key, made when the log has none yet; without it this node signs nothing.
    pub key: Option<PathBuf>,
    /// The name of the log, where one was chosen. It cannot be changed once there is a key.
    pub origin: Option<String>,
    /// The name of a new log for which none was chosen.
    pub host: String,
    /// A head is published this long after the last one, if anything was sealed since.
    pub checkpoint_every: TimeDelta,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            key: None,
            origin: None,
            host: "localhost".to_owned(),
            checkpoint_every: TimeDelta::minutes(5),
        }
    }
}

/// One source of market data.
#[derive(Debug, Clone)]
pub enum SourceSettings {
    /// A folder, or one file, of CSV and Parquet; what is there is taken as soon as it is there.
    Folder(PathBuf),
    /// The same files, given out session by session as the clock passes them.
    Replay(PathBuf),
    /// CSV from a web service.
    Http(HttpSettings),
    /// The market simulator.
    Simulator(simulator::Settings),
}

/// How a web service is asked for bars.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The address, with `{symbol}` and, where the service knows them, `{from}` and `{to}` (`YYYY-MM-DD`).
    pub template: String,
    /// The symbols to ask for.
    pub symbols: Vec<Symbol>,
    /// The first session wanted when nothing is known yet.
    pub from: Session,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one answer may take from beginning to end.
    pub timeout: Duration,
    /// The longest answer read, in bytes.
    pub most_bytes: usize,
    /// How long all waiting for `Retry-After` and back-off may take in one round of requests.
    pub waiting_budget: Duration,
    /// After this many failures in a row the source is left alone for [`HttpSettings::breaker_pause`].
    pub breaker_after: u32,
    /// How long a source that failed again and again is left alone.
    pub breaker_pause: TimeDelta,
}

impl HttpSettings {
    /// Asks `template` for `symbols`, with limits that suit a public service.
    pub fn new(template: impl Into<String>, symbols: Vec<Symbol>, from: Session) -> Self {
        Self {
            template: template.into(),
            symbols,
            from,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(20),
            most_bytes: 32 << 20,
            waiting_budget: Duration::from_secs(60),
            breaker_after: 5,
            breaker_pause: TimeDelta::minutes(15),
        }
    }
}

/// What is trained, and when.
#[derive(Debug, Clone)]
pub struct TrainingSettings {
    /// The family of models, such as `ensemble`, which is never told worse than the drift.
    pub family: String,
    /// What a version looks at.
    pub feature_set: FeatureSet,
    /// The horizons a version covers.
    pub horizons: Vec<Horizon>,
    /// Whether the daily sentiment is a feature.
    pub sentiment: bool,
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// A new version is trained after this many sessions; 0 never for that reason.
    pub retrain_every: u32,
    /// What else makes a training due.
    pub watch: WatchSettings,
    /// How versions after the first become champion.
    pub promotion: Promotion,
    /// How trials are decided that nobody has opened in other words.
    pub trial: TrialSettings,
    /// No version is asked for before there are this many sessions of data.
    pub least_sessions: usize,
    /// After this time another trainer takes over from one that was killed.
    pub lease: Duration,
}

/// How versions after the first become champion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promotion {
    /// An administrator promotes them.
    Manual,
    /// A version that is not worse in its evaluation goes on trial by itself, and is promoted when it wins.
    Trial,
}

/// How a trial is decided.
#[derive(Debug, Clone, Copy)]
pub struct TrialSettings {
    /// It is decided on this many sessions, or on as many as its longest horizon needs.
    pub decide_after: u32,
    /// After this many sessions it ends anyway, or as soon as the last of those it is decided on can be scored.
    pub latest: u32,
    /// The one-sided level at which the challenger wins.
    pub significance: Probability,
}

impl Default for TrialSettings {
    fn default() -> Self {
        Self { decide_after: 60, latest: 100, significance: parsed_probability(0.05) }
    }
}

impl TrialSettings {
    /// The rule of a trial at these horizons, with as many sessions as they need.
    pub fn rule(&self, mut horizons: Vec<Horizon>) -> TrialRule {
        horizons.sort_unstable();
        horizons.dedup();
        let longest = horizons.iter().map(|horizon| horizon.sessions()).max().unwrap_or(1);
        let decide_after = self.decide_after.max(TrialRule::fewest(longest));
        let latest = self.latest_of(decide_after, longest);
        TrialRule::new(horizons, decide_after, latest, self.significance)
    }

    /// The latest session of a trial that is decided on so many at horizons up to `longest`: when all of them can be scored
    /// and a quarter as many have passed, so that a round that was missed does not end it undecided.
    pub fn latest_of(&self, decide_after: u32, longest: u32) -> u32 {
        let scored = decide_after.saturating_add(longest);
        self.latest.max(scored).max(scored.saturating_add(decide_after / 4).min(trial::MOST))
    }
}

/// What makes a training due between those of the schedule. A threshold of 0 is never passed.
#[derive(Debug, Clone, Copy)]
pub struct WatchSettings {
    /// The champion's data ended this many sessions ago.
    pub age: u32,
    /// The coverage of the published 80% intervals is this far from 80%.
    pub coverage: f64,
    /// The champion's squared error is this share above that of the average drift.
    pub skill: f64,
    /// So many features of the last month are not what the champion learnt from, of the core; in proportion of a wider set.
    pub features: u32,
    /// Coverage and skill are those of the last so many sessions that were scored.
    pub window: u32,
    /// No training is asked for because of these before so many sessions since the last.
    pub pause: u32,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self { age: 126, coverage: 0.1, skill: 0.02, features: 3, window: 40, pause: 10 }
    }
}

impl Default for TrainingSettings {
    fn default() -> Self {
        Self {
            family: "ensemble".to_owned(),
            feature_set: FeatureSet::Wide,
            horizons: [1, 5, 20].into_iter().filter_map(|sessions| Horizon::new(sessions).ok()).collect(),
            sentiment: false,
            seed: 1,
            retrain_every: 21,
            watch: WatchSettings::default(),
            promotion: Promotion::Trial,
            trial: TrialSettings::default(),
            least_sessions: 504,
            lease: Duration::from_secs(20),
        }
    }
}

impl TrainingSettings {
    /// The plan of a run that nobody asked for in other words.
    pub fn plan(&self) -> TrainingPlan {
        TrainingPlan {
            family: self.family.clone(),
            feature_set: self.feature_set,
            horizons: self.horizons.clone(),
            sentiment: self.sentiment,
            seed: self.seed,
        }
    }
}

/// How the actors are watched.
#[derive(Debug, Clone)]
pub struct Supervision {
    /// Everyone looks for something due at least this often.
    pub poll: Duration,
    /// A pass that takes longer hangs.
    pub patience: Duration,
    /// The pause after the first failure; each further one doubles it.
    pub first_pause: Duration,
    /// The longest pause after a failure.
    pub longest_pause: Duration,
    /// An actor that fails more often than this within [`Supervision::within`] is given up for that time.
    pub budget: usize,
    /// The time in which failures are counted.
    pub within: Duration,
}

impl Default for Supervision {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            patience: Duration::from_secs(300),
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(30),
            budget: 8,
            within: Duration::from_secs(600),
        }
    }
}

/// For the literals above, which a test makes.
#[allow(clippy::expect_used, reason = "the literals are tested below")]
fn parsed_probability(literal: f64) -> Probability {
    Probability::from_f64(literal).expect("between 0 and 1")
}

/// For the literals above, which a test parses.
#[allow(clippy::expect_used, reason = "the literals are tested below")]
fn parsed<V: std::str::FromStr<Err: std::fmt::Debug>>(literal: &str) -> V {
    literal.parse().expect("a valid literal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_follow_new_york_at_one_five_and_twenty_sessions() {
        let settings = Settings::default();
        assert_eq!(settings.exchange.as_str(), "XNYS");
        assert_eq!(settings.model.as_str(), "us-daily");
        let horizons: Vec<u32> = settings.training.horizons.iter().map(|h| h.sessions()).collect();
        assert_eq!(horizons, [1, 5, 20]);
        let rule = settings.training.trial.rule(settings.training.horizons.clone());
        assert_eq!((rule.check(), rule.decide_after), (Ok(()), 80));
        let long = settings.training.trial.rule(vec![Horizon::new(20).unwrap(), Horizon::new(1).unwrap()]);
        assert_eq!((long.check(), long.decide_after, long.latest), (Ok(()), 80, 120));
    }
}
