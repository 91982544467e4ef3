//! What a family scores where there is nothing to find. Part of every training, and not to be skipped.
//!
//! The same family learns and is scored three times on the same rows: with the true labels; with the labels of each session
//! dealt out anew among its instruments, so that nothing of an instrument tells its return; and with the labels of so long
//! before that no feature reaches them (half a year for the core), so that nothing of a day tells what comes. Whatever skill
//! the last two show is not of the market but of chance or of a mistake in the way from bars to scores, and skill of the
//! true labels counts only beyond it.
//!
//! To keep it cheap at most 100 instruments take part, evenly spaced by name, in at most the last four scored quarters: on
//! 250 sessions the rank correlation of 100 instruments is known to about .006, and a mistake that lifts it beyond
//! [`IMPOSSIBLE`] is seen. Families have to learn three times for four quarters from a fifth of the rows of 500 instruments.

use chrono::NaiveDate;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::points::point_metrics;
use super::walk::{Fold, TestRows};
use super::walk_forward;
use crate::features::{FeatureSet, FeatureTable, Labels};
use crate::models::{Family, FitError, Task};
use crate::panel::Panel;

/// At most about so many instruments take part.
const INSTRUMENTS: usize = 100;
/// At most so many of the last quarters.
const QUARTERS: usize = 4;
/// Rows by which the calendar is shifted beyond what features look back: further than any horizon ahead.
const BEYOND: usize = 66;
/// A rank correlation beyond this where there is nothing to find, if it is not chance, is a mistake.
const IMPOSSIBLE: f64 = 0.03;
/// Standard errors that chance does not make in a lifetime of trainings.
const CERTAIN: f64 = 4.0;
/// Labels that do not overlap, at least, for that error to mean something.
const NEEDED_SPANS: usize = 20;

/// Skill beside the skill of placebos, all on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placebo {
    /// Instruments that took part.
    pub instruments: usize,
    /// Sessions scored.
    pub days: usize,
    /// The first day of the quarters scored.
    pub from: NaiveDate,
    /// The true labels.
    pub skill: PlaceboLine,
    /// The labels of each session dealt out anew among its instruments.
    pub shuffled: PlaceboLine,
    /// The labels of so many rows before; nothing where the history is too short to learn from them.
    pub shifted: Option<PlaceboLine>,
    /// How many rows.
    pub shift: usize,
    /// The same in a sentence.
    pub words: String,
}

/// What one set of labels scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlaceboLine {
    /// Share of squared error saved against expecting the drift, in percent.
    pub r2_vs_drift_pct: f64,
    /// The mean daily rank correlation; nothing where all forecasts of each day are equal.
    pub ic: Option<f64>,
    /// Its Newey-West t.
    pub ic_t: Option<f64>,
    /// Share of signs that were right; nothing for a forecast of zero.
    pub hit_rate: Option<f64>,
    /// What always saying up scores.
    pub always_up: f64,
}

impl Placebo {
    /// Placebos that show skill, in words; empty where all is well.
    pub(crate) fn suspicions(&self, horizon: usize) -> Vec<String> {
        if self.days < NEEDED_SPANS * horizon {
            return Vec::new();
        }
        let shifted = self.shifted.iter().map(|line| ("a shifted calendar", line));
        let lines = [("shuffled labels", &self.shuffled)].into_iter().chain(shifted);
        let impossible = |line: &PlaceboLine| {
            line.ic.is_some_and(|ic| ic > IMPOSSIBLE) && line.ic_t.is_some_and(|t| t > CERTAIN)
        };
        lines
            .filter(|(_, line)| impossible(line))
            .map(|(name, line)| {
                format!(
                    "a daily rank correlation of {:.3} at horizon {horizon} with {name}, where there is nothing to find",
                    line.ic.unwrap_or_default()
                )
            })
            .collect()
    }
}

/// Runs the placebos of a family over the last of the scored quarters.
///
/// # Errors
/// When the family cannot learn from the rows that take part.
pub fn placebo(
    panel: &Panel,
    task: &Task<'_>,
    family: Family,
    folds: &[Fold],
    seed: u64,
) -> Result<Placebo, FitError> {
    let features = task.features;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (true_labels, instruments) = task.labels.of_some_instruments(features, INSTRUMENTS);
    let folds = last_quarters(panel, features, &true_labels, folds);
    let from = folds.first().map_or(NaiveDate::MIN, |fold| fold.start);
    let line = |labels: &Labels| -> Result<(PlaceboLine, usize), FitError> {
        let task = Task { features, labels };
        let rows = TestRows::collect(panel, &task, folds.clone()).embargoed(panel, labels.horizon());
        let predicted = walk_forward(&task, &rows, family, &[])?.predicted;
        let drift = walk_forward(&task, &rows, Family::Drift, &[])?.predicted;
        let days = rows.by_session();
        let point = point_metrics(&rows, &days, &predicted, &drift);
        let line = PlaceboLine {
            r2_vs_drift_pct: point.r2_vs_drift_pct,
            ic: point.ic.as_ref().map(|ic| ic.mean),
            ic_t: point.ic.as_ref().and_then(|ic| ic.t_newey_west),
            hit_rate: point.hit_rate,
            always_up: point.up_share,
        };
        Ok((line, days.len()))
    };
    let (skill, days) = line(&true_labels)?;
    let (shuffled, _) = line(&true_labels.shuffled(features, &mut random))?;
    let shift = FeatureSet::of(features.names()).look_back() + BEYOND;
    let shifted = match line(&true_labels.shifted(panel, shift, BEYOND)) {
        Ok((line, _)) => Some(line),
        Err(FitError::TooFewRows { .. }) => None,
        Err(error) => return Err(error),
    };
    let words = words(instruments, days, [Some(&skill), Some(&shuffled), shifted.as_ref()]);
    Ok(Placebo { instruments, days, from, skill, shuffled, shifted, shift, words })
}

/// The last scored quarters that have a row to score.
fn last_quarters(panel: &Panel, features: &FeatureTable, labels: &Labels, folds: &[Fold]) -> Vec<Fold> {
    let scored: Vec<Fold> = folds.iter().filter(|fold| !fold.burn_in).copied().collect();
    let rows = TestRows::collect(panel, &Task { features, labels }, scored.clone());
    let used: Vec<Fold> = scored
        .into_iter()
        .enumerate()
        .filter(|(place, _)| rows.fold.iter().any(|fold| usize::from(*fold) == *place))
        .map(|(_, fold)| fold)
        .collect();
    used[used.len().saturating_sub(QUARTERS)..].to_vec()
}

fn words(instruments: usize, days: usize, lines: [Option<&PlaceboLine>; 3]) -> String {
    let say = |line: Option<&PlaceboLine>| match line.map(|line| (line.ic, line.ic_t)) {
        Some((Some(ic), Some(t))) => format!("{ic:.3} (t = {t:.1})"),
        Some((Some(ic), None)) => format!("{ic:.3}"),
        Some((None, _)) => "none".to_owned(),
        None => "not known, as the history is too short,".to_owned(),
    };
    let [skill, shuffled, shifted] = lines.map(say);
    format!(
        "on {instruments} instruments over {days} sessions the rank correlation is {skill} with the true labels, \
         {shuffled} with labels shuffled within each session and {shifted} with a shifted calendar"
    )
}

const _: () = assert!(BEYOND > 60);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::evaluation::{quarter_start, quarters};
    use crate::features::Inputs;
    use crate::models::Choices;
    use crate::testing;

    fn of(panel: &Panel, family: Family, set: FeatureSet) -> Placebo {
        let features = FeatureTable::compute(&Inputs::of(panel).looking_at(set));
        let labels = Labels::new(panel, &features, 1);
        let task = Task { features: &features, labels: &labels };
        let sessions = panel.sessions();
        let folds = quarters(quarter_start(sessions[420]), 1, sessions[sessions.len() - 1]);
        placebo(panel, &task, family, &folds, 7).unwrap()
    }

    #[test]
    fn what_there_is_to_find_is_found_with_the_true_labels_alone() {
        // A fall yesterday makes a rise today likelier.
        let mut bars = testing::panel(30, 700, 19).bars().clone();
        let before = bars.close.clone();
        for row in 2..bars.len() {
            if bars.key[row] == bars.key[row - 2] {
                bars.close[row] *= (before[row - 2] / before[row - 1]).powf(0.8);
            }
        }
        let panel = Panel::new(bars);
        for (set, shift) in [(FeatureSet::Core, 126), (FeatureSet::Wide, 316)] {
            let placebo = of(&panel, Family::Ridge { alpha: 10.0 }, set);
            assert!(placebo.skill.ic.unwrap() > 0.2, "{}", placebo.words);
            for line in [&placebo.shuffled, placebo.shifted.as_ref().unwrap()] {
                assert!(line.ic.unwrap().abs() < 0.05, "{}", placebo.words);
            }
            assert_eq!(placebo.suspicions(1), Vec::<String>::new());
            assert_eq!((placebo.instruments, placebo.shift), (30, shift));
            assert!(placebo.words.starts_with("on 30 instruments over "), "{}", placebo.words);
        }
    }

    #[test]
    fn a_history_too_short_for_a_shifted_calendar_has_the_other_placebo_alone() {
        let panel = testing::panel(30, 360, 3);
        let features = FeatureTable::compute(&Inputs::of(&panel).looking_at(FeatureSet::Wide));
        let labels = Labels::new(&panel, &features, 1);
        let task = Task { features: &features, labels: &labels };
        let last = panel.sessions()[359];
        let trees = Choices { smallest_leaf: 100, ..Choices::CHOSEN };
        let placebo =
            placebo(&panel, &task, Family::Boosted(trees), &quarters(quarter_start(last), 0, last), 7)
                .unwrap();
        assert!(placebo.shifted.is_none() && placebo.words.contains("too short"), "{}", placebo.words);
        assert_eq!(placebo.suspicions(1), Vec::<String>::new());
    }

    #[test]
    fn the_first_rows_get_the_last_labels_unless_those_are_nearly_their_own() {
        let panel = testing::panel(2, 300, 5);
        let labels = Labels::new(&panel, &FeatureTable::compute(&Inputs::of(&panel)), 1);
        let value = |labels: &Labels, row: usize| labels.value(row).to_bits();
        let shifted = labels.shifted(&panel, 200, BEYOND);
        assert_eq!(value(&shifted, 250), value(&labels, 50));
        assert_eq!(value(&shifted, 10), value(&labels, 110));
        assert_eq!(value(&shifted, 310), value(&labels, 410), "the other instrument's ring is its own");
        assert_eq!(shifted.end(10), labels.end(10));
        let shifted = labels.shifted(&panel, 260, BEYOND);
        assert!(shifted.value(10).is_nan(), "40 rows ahead");
        assert_eq!(value(&shifted, 270), value(&labels, 10));
    }

    #[test]
    fn at_most_a_hundred_instruments_and_four_quarters_take_part() {
        let placebo = of(&testing::panel(130, 760, 3), Family::Ridge { alpha: 10.0 }, FeatureSet::Core);
        assert_eq!(placebo.instruments, 65);
        assert!(placebo.days <= 4 * 66, "{}", placebo.days);
    }

    #[test]
    fn a_placebo_with_skill_is_a_suspicion_unless_too_few_sessions_say_so() {
        let line = |ic: f64, t: f64| PlaceboLine {
            r2_vs_drift_pct: 0.0,
            ic: Some(ic),
            ic_t: Some(t),
            hit_rate: None,
            always_up: 0.5,
        };
        let placebo = |shuffled, days| Placebo {
            instruments: 100,
            days,
            from: NaiveDate::MIN,
            skill: line(0.5, 50.0),
            shuffled,
            shifted: Some(line(0.01, 5.0)),
            shift: 126,
            words: String::new(),
        };
        assert_eq!(placebo(line(0.05, 5.0), 250).suspicions(1).len(), 1);
        assert!(placebo(line(0.05, 5.0), 250).suspicions(20).is_empty(), "12 labels that do not overlap");
        assert!(placebo(line(0.05, 3.0), 250).suspicions(1).is_empty());
    }
}
