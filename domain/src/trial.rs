//! A trial: a challenger fills the slots of the champion in shadow until a rule that was fixed beforehand decides.
//!
//! The rule allows one look, after so many sessions and not before: who looks again and again finds what chance
//! offers. Every trial ends, at the latest after the sessions the rule names. The aggregate is the
//! [`Model`](crate::model::Model), whose stream holds the events.

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::DecidedBy;
use crate::values::{Horizon, Measure, Probability};

/// The loss of new trials: of one session, the mean over the horizons of the mean pinball loss of its pairs, divided by
/// the square root of the horizon so that no horizon outweighs the others. The mean pinball loss over the published
/// quantiles is half the continuous ranked probability score as far as these quantiles show it.
pub const LOSS: &str = "mean-pinball-per-root-session-1";

/// The test of new trials: Diebold and Mariano's of equal loss, one-sided, sessions as clusters, the long-run variance by
/// equally weighted cosines.
pub const TEST: &str = "diebold-mariano-cosine-1";

/// The rule's name when it promotes.
pub const GATE: &str = "trial";

/// The fewest sessions a trial is decided on, whatever its horizons.
const FEWEST: u32 = 8;

/// The most sessions a trial may take: forty years.
pub const MOST: u32 = 10_000;

/// How a trial is decided, fixed when it is opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrialRule {
    /// What is compared, by name.
    pub loss: String,
    /// How it is compared, by name.
    pub test: String,
    /// The horizons that count, ascending.
    pub horizons: Vec<Horizon>,
    /// It is decided on the first so many sessions at which both have been scored, and looked at once.
    pub decide_after: u32,
    /// After so many sessions since its opening it ends anyway.
    pub latest: u32,
    /// The challenger wins when chance alone would favour it as much with at most this probability.
    pub significance: Probability,
    /// Whether a win is only written down.
    pub dry_run: bool,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadRule {
    /// The field at fault.
    pub field: &'static str,
    /// The fewest sessions it allows, where it is too small.
    pub least: Option<u32>,
}

impl fmt::Display for BadRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { field: "horizons", .. } => {
                f.write_str("a trial names at least one horizon, each once, ascending")
            }
            Self { field: "significance", .. } => f.write_str("it lies above 0 and is at most 0.5"),
            Self { least: Some(least), .. } => {
                write!(f, "it is {least} to {MOST} sessions for these horizons")
            }
            Self { field, least: None } => {
                write!(f, "the {field} is not known to this version of the program")
            }
        }
    }
}

impl TrialRule {
    /// A rule of today's loss and test.
    pub fn new(horizons: Vec<Horizon>, decide_after: u32, latest: u32, significance: Probability) -> Self {
        let (loss, test) = (LOSS.to_owned(), TEST.to_owned());
        Self { loss, test, horizons, decide_after, latest, significance, dry_run: false }
    }

    /// The longest of its horizons, in sessions.
    pub fn longest(&self) -> u32 {
        self.horizons.iter().map(|horizon| horizon.sessions()).max().unwrap_or(1)
    }

    /// The fewest sessions that horizons up to `longest` can be decided on: overlapping outcomes are not so many
    /// observations, and at four for each session ahead the test keeps to its size (`docs/adr/0010`).
    pub fn fewest(longest: u32) -> u32 {
        (4 * longest).max(FEWEST)
    }

    /// Whether a trial can be decided by it.
    ///
    /// # Errors
    /// The first field that cannot be.
    pub fn check(&self) -> Result<(), BadRule> {
        let bad = |field| Err(BadRule { field, least: None });
        let too_few = |field, least| Err(BadRule { field, least: Some(least) });
        let longest = self.longest();
        if self.horizons.is_empty() || !self.horizons.is_sorted_by(|one, next| one < next) {
            return bad("horizons");
        }
        if self.loss != LOSS {
            return bad("loss");
        }
        if self.test != TEST {
            return bad("test");
        }
        let significance = self.significance.to_f64();
        if significance <= 0.0 || significance > 0.5 {
            return bad("significance");
        }
        if !(Self::fewest(longest)..=MOST).contains(&self.decide_after) {
            return too_few("decide_after", Self::fewest(longest));
        }
        // The last of the sessions has to be scored, too.
        if !(self.decide_after + longest..=MOST).contains(&self.latest) {
            return too_few("latest", self.decide_after + longest);
        }
        Ok(())
    }

    /// How `evidence` ends the trial; none while it does not.
    pub fn end(&self, evidence: &TrialEvidence) -> Option<TrialEnd> {
        if evidence.paired_sessions != self.decide_after {
            let is_over = evidence.paired_sessions < self.decide_after && evidence.sessions >= self.latest;
            return is_over.then_some(TrialEnd::TooFewSessions);
        }
        let is_lower = evidence.mean_difference.is_some_and(|difference| difference.to_f64() < 0.0);
        let is_sure = evidence.p.is_some_and(|p| p <= self.significance);
        Some(match (is_lower, is_sure) {
            (true, true) => TrialEnd::Better,
            (true, false) => TrialEnd::CannotBeTold,
            (false, _) => TrialEnd::NotBetter,
        })
    }
}

/// What a trial has shown. Differences are the challenger's loss minus the champion's: below zero it is better.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrialEvidence {
    /// Sessions since its opening.
    pub sessions: u32,
    /// Sessions compared: both scored at every horizon of the rule.
    pub paired_sessions: u32,
    /// Pairs of predictions compared.
    pub pairs: u64,
    /// The champion's mean loss over the sessions, in log return.
    pub loss_champion: Option<Measure>,
    /// The challenger's.
    pub loss_challenger: Option<Measure>,
    /// The mean of the sessions' differences.
    pub mean_difference: Option<Measure>,
    /// Its standard error, overlapping outcomes allowed for.
    pub standard_error: Option<Measure>,
    /// The difference in standard errors.
    pub statistic: Option<Measure>,
    /// The degrees of freedom of Student's distribution that it is held against.
    pub degrees_of_freedom: u32,
    /// The probability of a statistic as low as this if the two were equally good.
    pub p: Option<Probability>,
    /// About so many more sessions would be needed to tell, if the difference stayed as it is.
    pub more_sessions: Option<u64>,
}

/// What became of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrialOutcome {
    /// The challenger is better beyond chance.
    Promote,
    /// The champion stays.
    Keep,
    /// The sessions were too few to say; the champion stays.
    Underpowered,
}

/// Why a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrialEnd {
    /// The challenger's loss is lower beyond chance.
    Better,
    /// The challenger's loss is not lower.
    NotBetter,
    /// The challenger's loss is lower, but chance may have done that.
    CannotBeTold,
    /// The latest session came before there were enough to compare.
    TooFewSessions,
    /// Another version became champion.
    ChampionChanged,
    /// The challenger was retired.
    ChallengerRetired,
    /// The challenger was quarantined.
    ChallengerQuarantined,
    /// An administrator closed it.
    Closed,
}

impl TrialEnd {
    /// What follows for the champion.
    pub const fn outcome(self) -> TrialOutcome {
        match self {
            Self::Better => TrialOutcome::Promote,
            Self::CannotBeTold | Self::TooFewSessions => TrialOutcome::Underpowered,
            Self::NotBetter
            | Self::ChampionChanged
            | Self::ChallengerRetired
            | Self::ChallengerQuarantined
            | Self::Closed => TrialOutcome::Keep,
        }
    }
}

/// A trial is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialOpening {
    /// The trial.
    pub trial: Uuid,
    /// The challenger.
    pub version: u32,
    /// How it will be decided.
    pub rule: TrialRule,
    /// Who opens it.
    pub by: DecidedBy,
    /// Why.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// A trial is to be closed before its rule decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialClosing {
    /// The trial.
    pub trial: Uuid,
    /// Who closes it.
    pub by: DecidedBy,
    /// Why.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// A challenger was put on trial beside the champion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrialOpened {
    /// The trial.
    pub trial: Uuid,
    /// The challenger.
    pub version: u32,
    /// The champion it is compared with.
    pub champion: u32,
    /// How it will be decided.
    pub rule: TrialRule,
    /// Who opened it.
    pub by: DecidedBy,
    /// Why; written by an administrator, so nothing personal belongs here.
    pub reason: String,
    /// When.
    pub opened_at: DateTime<Utc>,
}

/// A trial has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrialDecided {
    /// The trial.
    pub trial: Uuid,
    /// The challenger.
    pub version: u32,
    /// The champion it was compared with.
    pub champion: u32,
    /// What became of it.
    pub outcome: TrialOutcome,
    /// Why it ended.
    pub ended_by: TrialEnd,
    /// Whether a win is only written down.
    pub dry_run: bool,
    /// What it was decided on; none where it ended before its time.
    pub evidence: Option<TrialEvidence>,
    /// Why, in words.
    pub reason: String,
    /// Who decided, where that is known.
    pub by: Option<DecidedBy>,
    /// When.
    pub decided_at: DateTime<Utc>,
}

/// A trial under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTrial {
    /// The trial.
    pub trial: Uuid,
    /// The challenger.
    pub version: u32,
    /// The champion it is compared with.
    pub champion: u32,
    /// How it will be decided.
    pub rule: TrialRule,
}

impl OpenTrial {
    /// The end of it by its rule.
    pub(crate) fn decided(&self, end: TrialEnd, evidence: TrialEvidence, at: DateTime<Utc>) -> TrialDecided {
        let by = Some(DecidedBy::Gate { rule: GATE.to_owned() });
        let reason = self.words(end, &evidence);
        TrialDecided { evidence: Some(evidence), ..self.ended(end, by, reason, at) }
    }

    /// The end of it before its time.
    pub(crate) fn ended(
        &self,
        end: TrialEnd,
        by: Option<DecidedBy>,
        reason: String,
        at: DateTime<Utc>,
    ) -> TrialDecided {
        TrialDecided {
            trial: self.trial,
            version: self.version,
            champion: self.champion,
            outcome: end.outcome(),
            ended_by: end,
            dry_run: self.rule.dry_run,
            evidence: None,
            reason,
            by,
            decided_at: at,
        }
    }

    fn words(&self, end: TrialEnd, evidence: &TrialEvidence) -> String {
        let Self { version, champion, rule, .. } = self;
        if end == TrialEnd::TooFewSessions {
            return format!(
                "{} of the {} sessions that were needed could be compared within {}: too few to say",
                evidence.paired_sessions, rule.decide_after, evidence.sessions
            );
        }
        let losses =
            (evidence.mean_difference.map(Measure::to_f64), evidence.loss_champion.map(Measure::to_f64));
        let size = match losses {
            (Some(difference), Some(loss)) if loss > 0.0 && difference != 0.0 => {
                let direction = if difference < 0.0 { "below" } else { "above" };
                format!("{:.2}% {direction} that", (difference / loss * 100.0).abs())
            }
            _ => "equal to that".to_owned(),
        };
        let chance = evidence.p.map_or_else(String::new, |p| format!(" (p = {:.3}, one-sided)", p.to_f64()));
        let seen = format!(
            "version {version}'s loss was {size} of version {champion} over {} sessions{chance}",
            evidence.paired_sessions
        );
        let level = rule.significance;
        match (end, evidence.more_sessions) {
            (TrialEnd::Better, _) if rule.dry_run => {
                format!("{seen}: better beyond the level of {level}; a dry run promotes nobody")
            }
            (TrialEnd::Better, _) => format!("{seen}: better beyond the level of {level}"),
            (TrialEnd::CannotBeTold, Some(more)) => {
                format!("{seen}: not beyond the level of {level}; about {more} more sessions would tell")
            }
            (TrialEnd::CannotBeTold, None) => format!("{seen}: not beyond the level of {level}"),
            (
                TrialEnd::NotBetter
                | TrialEnd::TooFewSessions
                | TrialEnd::ChampionChanged
                | TrialEnd::ChallengerRetired
                | TrialEnd::ChallengerQuarantined
                | TrialEnd::Closed,
                _,
            ) => format!("{seen}: not better"),
        }
    }
}
