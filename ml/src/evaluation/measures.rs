//! Every measure of a model with its interval, beside what guessing scores on the same sessions, and what follows in words.

use serde::{Deserialize, Serialize};

use super::LEVELS;
use super::bootstrap::{Draws, Series};
use super::distributions::Tally;
use super::intervals::Published;
use super::ranks::daily_correlations;
use super::verdict::{Verdict, more_sessions, more_words};
use super::walk::TestRows;

/// A difference of this share of the value is none: the same forecasts summed in another order.
const ROUNDING: f64 = 1e-9;

/// One measure over all scored rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Its name, such as `squared_error`.
    pub measure: String,
    /// Which way is good.
    pub better: Better,
    /// The model's value.
    pub value: f64,
    /// The lower end of its 95% interval over other sessions; nothing where there are too few of them.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// Sessions it is measured on.
    pub days: usize,
    /// Rows it is measured on.
    pub rows: usize,
    /// What guessing scores.
    pub against: Vec<Against>,
}

/// Which way a measure is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Small values.
    Lower,
    /// Large values.
    Higher,
    /// Values near the one that was promised.
    Nominal,
}

/// A way of guessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// Expecting no change.
    Zero,
    /// Expecting the mean return of the past.
    Drift,
    /// What happened in the quarters before, without a look at the instrument or the day.
    Climatology,
    /// Always saying that prices rise, as good as certainly.
    AlwaysUp,
    /// Saying one fifth for each fifth.
    Uniform,
    /// The volatility of the last 20 sessions.
    RecentVolatility,
    /// What was promised.
    Nominal,
}

/// A measure beside what a way of guessing scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// The way of guessing.
    pub baseline: Baseline,
    /// What it scores on the same rows.
    pub value: f64,
    /// The model's value less that.
    pub difference: f64,
    /// The lower end of the difference's 95% interval over other sessions; nothing where there are too few of them.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// What follows: the difference counts where its interval leaves out zero.
    pub verdict: Verdict,
    /// About how many more sessions would settle it, if the difference stayed as it is.
    pub more_sessions_needed: Option<u64>,
    /// The same in a sentence.
    pub words: String,
}

impl Baseline {
    fn words(self) -> &'static str {
        match self {
            Self::Zero => "expecting nothing",
            Self::Drift => "drift",
            Self::Climatology => "climatology",
            Self::AlwaysUp => "always saying up",
            Self::Uniform => "saying a fifth for each fifth",
            Self::RecentVolatility => "the volatility of the last 20 sessions",
            Self::Nominal => "what was promised",
        }
    }
}

/// A way of forecasting, with everything that is scored of it.
pub(super) struct Scored<'a> {
    pub predicted: &'a [f64],
    /// Nothing where it could not be calibrated.
    pub published: Option<&'a Published>,
}

/// The model and the ways of guessing.
pub(super) struct Field<'a> {
    pub rows: &'a TestRows,
    pub days: &'a [Vec<u32>],
    pub model: Scored<'a>,
    pub zero: Scored<'a>,
    pub drift: Scored<'a>,
    /// Nothing where nothing happened before.
    pub climatology: Option<Scored<'a>>,
}

/// Every measure, those of single numbers first.
pub(super) fn measure(field: &Field<'_>, draws: &Draws) -> Vec<Measured> {
    let bench = Bench { draws, rows: field.rows.len() - field.rows.first_scored };
    let mut all = points(field, &bench);
    let climatology = field.climatology.as_ref().and_then(|climatology| climatology.published);
    let published = (field.model.published, field.zero.published, field.drift.published, climatology);
    if let (Some(model), Some(zero), Some(drift), Some(climatology)) = published {
        all.extend(distributions(&bench, model, [zero, drift, climatology]));
        all.push(volatility(&bench, model, climatology));
        all.extend(directions(&bench, model, [zero, drift]));
        all.extend(fifths(field, &bench, model, [zero, drift]));
    }
    all
}

struct Bench<'a> {
    draws: &'a Draws,
    rows: usize,
}

impl Bench<'_> {
    fn measured(
        &self,
        name: &str,
        better: Better,
        model: &Series,
        others: &[(Baseline, Series)],
    ) -> Measured {
        let spread = self.draws.spread(model);
        Measured {
            measure: name.to_owned(),
            better,
            value: model.value(),
            low: spread.map(|spread| spread.low),
            high: spread.map(|spread| spread.high),
            days: model.weight.iter().filter(|weight| **weight > 0.0).count(),
            rows: self.rows,
            against: others
                .iter()
                .map(|(baseline, other)| self.against(*baseline, better, model, other))
                .collect(),
        }
    }

    fn against(&self, baseline: Baseline, better: Better, model: &Series, other: &Series) -> Against {
        let (value, ours) = (other.value(), model.value());
        let difference = ours - value;
        let same = difference.abs() <= ROUNDING * value.abs();
        let spread = self.draws.spread_of_difference(model, other);
        let sign = match better {
            Better::Lower | Better::Nominal => 1.0,
            Better::Higher => -1.0,
        };
        let verdict = match spread {
            _ if same => Verdict::CannotBeTold,
            // What is promised can only be kept or missed.
            Some(spread) if better == Better::Nominal && (spread.low > 0.0 || spread.high < 0.0) => {
                Verdict::Worse
            }
            Some(spread) if better == Better::Nominal || (spread.low <= 0.0 && spread.high >= 0.0) => {
                Verdict::CannotBeTold
            }
            Some(_) if sign * difference < 0.0 => Verdict::Better,
            Some(_) => Verdict::Worse,
            None => Verdict::CannotBeTold,
        };
        let days = self.draws.bootstrap.days;
        let more_sessions_needed = match (verdict, spread) {
            (_, _) if same => None,
            (Verdict::Better | Verdict::Worse, _) => None,
            (Verdict::CannotBeTold, None) => {
                Some(self.draws.needed_days().saturating_sub(days).max(1) as u64)
            }
            (Verdict::CannotBeTold, Some(_)) if better == Better::Nominal => None,
            (Verdict::CannotBeTold, Some(spread)) => more_sessions(days, difference / spread.standard_error),
        };
        let name = baseline.words();
        let begin = match (verdict, better) {
            (_, _) if same => format!("no different from {name}"),
            (Verdict::Better, _) => format!("better than {name}"),
            (Verdict::Worse, Better::Nominal) => format!("not {name}"),
            (Verdict::Worse, _) => format!("worse than {name}"),
            (Verdict::CannotBeTold, Better::Nominal) => format!("cannot be told from {name}"),
            (Verdict::CannotBeTold, _) => format!("cannot be told from {name} by more than chance"),
        };
        let interval = spread.map(|it| {
            format!(", difference {} ({} to {})", short(difference), short(it.low), short(it.high))
        });
        let words = format!(
            "{begin}: {} against {} over {days} sessions{}{}",
            short(ours),
            short(value),
            interval.unwrap_or_default(),
            more_sessions_needed.map(|more| format!("; {}", more_words(more))).unwrap_or_default(),
        );
        Against {
            baseline,
            value,
            difference,
            low: spread.map(|spread| spread.low),
            high: spread.map(|spread| spread.high),
            verdict,
            more_sessions_needed,
            words,
        }
    }
}

/// Four digits that count.
fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = 3 - libm::floor(libm::log10(value.abs())) as i32;
    format!("{value:.*}", digits.clamp(0, 12) as usize)
}

fn points(field: &Field<'_>, bench: &Bench<'_>) -> Vec<Measured> {
    let rows = field.rows;
    let daily = |of: &dyn Fn(usize) -> Option<f64>| -> Series {
        let mut series = Series::default();
        for day in field.days {
            let (mut sum, mut weight) = (0.0, 0.0);
            for value in day.iter().filter_map(|&i| of(i as usize)) {
                sum += value;
                weight += 1.0;
            }
            series.sum.push(sum);
            series.weight.push(weight);
        }
        series
    };
    let squared = |scored: &Scored<'_>| daily(&|i| Some((rows.actual[i] - scored.predicted[i]).powi(2)));
    let absolute = |scored: &Scored<'_>| daily(&|i| Some((rows.actual[i] - scored.predicted[i]).abs()));
    let moves = |i: usize| rows.actual[i] != 0.0 && field.model.predicted[i] != 0.0;
    // On the rows where the model has a sign, so that all are asked the same questions.
    let hits = |predicted: &dyn Fn(usize) -> f64| {
        daily(&|i| moves(i).then(|| f64::from(u8::from((rows.actual[i] > 0.0) == (predicted(i) > 0.0)))))
    };
    let numbers = [(Baseline::Zero, &field.zero), (Baseline::Drift, &field.drift)];
    let numbers = numbers.into_iter().chain(field.climatology.iter().map(|it| (Baseline::Climatology, it)));
    let beside = |of: &dyn Fn(&Scored<'_>) -> Series| -> Vec<(Baseline, Series)> {
        numbers.clone().map(|(baseline, scored)| (baseline, of(scored))).collect()
    };
    let mut all = vec![
        bench.measured("squared_error", Better::Lower, &squared(&field.model), &beside(&squared)),
        bench.measured("absolute_error", Better::Lower, &absolute(&field.model), &beside(&absolute)),
    ];
    let model = hits(&|i| field.model.predicted[i]);
    if model.weight.iter().any(|weight| *weight > 0.0) {
        // Who expects nothing has no direction.
        let mut others = beside(&|scored| hits(&|i| scored.predicted[i])).split_off(1);
        others.push((Baseline::AlwaysUp, hits(&|_| 1.0)));
        let asked = model.weight.iter().sum::<f64>() as usize;
        all.push(Measured { rows: asked, ..bench.measured("hit_rate", Better::Higher, &model, &others) });
    }
    let correlations = daily_correlations(rows, field.days, field.model.predicted);
    if correlations.iter().any(Option::is_some) {
        let weight: Vec<f64> = correlations.iter().map(|ic| f64::from(u8::from(ic.is_some()))).collect();
        let none = Series { sum: vec![0.0; weight.len()], weight: weight.clone() };
        let series =
            Series { sum: correlations.into_iter().map(Option::unwrap_or_default).collect(), weight };
        all.push(bench.measured(
            "information_coefficient",
            Better::Higher,
            &series,
            &[(Baseline::Zero, none)],
        ));
    }
    all
}

fn of_tallies(published: &Published, of: impl Fn(&Tally) -> f64) -> Series {
    Series {
        sum: published.days.iter().map(of).collect(),
        weight: published.days.iter().map(|day| day.rows).collect(),
    }
}

fn distributions(bench: &Bench<'_>, model: &Published, others: [&Published; 3]) -> Vec<Measured> {
    type Of = fn(&Tally) -> f64;
    let scores: [(&str, Of); 4] = [
        ("crps", |day| day.crps),
        ("pinball", |day| day.pinball / crate::conformal::QUANTILES.len() as f64),
        ("interval_score_80", |day| day.interval_score[0]),
        ("interval_score_95", |day| day.interval_score[1]),
    ];
    let baselines = [Baseline::Zero, Baseline::Drift, Baseline::Climatology];
    let scores = scores.into_iter().map(|(name, of)| {
        let others: Vec<(Baseline, Series)> = baselines
            .into_iter()
            .zip(others)
            .map(|(baseline, other)| (baseline, of_tallies(other, of)))
            .collect();
        bench.measured(name, Better::Lower, &of_tallies(model, of), &others)
    });
    let held = ["coverage_80", "coverage_95"].into_iter().zip(LEVELS).enumerate();
    let held = held.map(|(place, (name, level))| {
        let nominal = of_tallies(model, |day| day.rows * level);
        let held = of_tallies(model, |day| day.held[place]);
        bench.measured(name, Better::Nominal, &held, &[(Baseline::Nominal, nominal)])
    });
    scores.chain(held).collect()
}

fn volatility(bench: &Bench<'_>, model: &Published, climatology: &Published) -> Measured {
    let others = [
        (Baseline::RecentVolatility, of_tallies(model, |day| day.qlike[1])),
        (Baseline::Climatology, of_tallies(climatology, |day| day.qlike[0])),
    ];
    bench.measured("qlike", Better::Lower, &of_tallies(model, |day| day.qlike[0]), &others)
}

fn directions(bench: &Bench<'_>, model: &Published, others: [&Published; 2]) -> Vec<Measured> {
    type Of = fn(&Tally) -> [f64; 3];
    let scores: [(&str, Of); 2] = [("brier", |day| day.brier), ("log_score", |day| day.log_score)];
    let measured = scores.into_iter().map(|(name, of)| {
        let [zero, drift] = others.map(|other| of_tallies(other, |day| of(day)[0]));
        let others = [
            (Baseline::Zero, zero),
            (Baseline::Drift, drift),
            (Baseline::Climatology, of_tallies(model, |day| of(day)[1])),
            (Baseline::AlwaysUp, of_tallies(model, |day| of(day)[2])),
        ];
        bench.measured(name, Better::Lower, &of_tallies(model, |day| of(day)[0]), &others)
    });
    measured.collect()
}

fn fifths(
    field: &Field<'_>,
    bench: &Bench<'_>,
    model: &Published,
    others: [&Published; 2],
) -> Option<Measured> {
    model.ranked.iter().flatten().next()?;
    // Weighted by the instruments of the session, so that every forecast counts the same.
    let series = |published: &Published, uniform: bool| {
        let mut series = Series::default();
        for (ranked, day) in published.ranked.iter().zip(field.days) {
            let weight = if ranked.is_some() { day.len() as f64 } else { 0.0 };
            let score = ranked.map_or(0.0, |ranked| if uniform { ranked.uniform } else { ranked.score });
            series.sum.push(score * weight);
            series.weight.push(weight);
        }
        series
    };
    let [zero, drift] = others.map(|other| series(other, false));
    let others = [(Baseline::Uniform, series(model, true)), (Baseline::Zero, zero), (Baseline::Drift, drift)];
    Some(bench.measured("ranked_probability_score", Better::Lower, &series(model, false), &others))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(days: usize, of: impl Fn(usize) -> f64) -> Series {
        Series { sum: (0..days).map(of).collect(), weight: vec![1.0; days] }
    }

    fn noise(day: usize) -> f64 {
        ((day * 7919 % 101) as f64 - 50.0) / 50.0
    }

    #[test]
    fn a_difference_that_chance_does_not_make_is_called_better_or_worse_by_its_sign() {
        let draws = Draws::new(200, 1);
        let bench = Bench { draws: &draws, rows: 2000 };
        let base = series(200, |day| 3.0 + noise(day));
        let less = series(200, |day| 2.9 + noise(day) + noise(day + 7) / 10.0);
        let against = |better| bench.against(Baseline::Drift, better, &less, &base);
        let lower = against(Better::Lower);
        assert_eq!(lower.verdict, Verdict::Better);
        assert!(lower.words.starts_with("better than drift: 2.90"), "{}", lower.words);
        assert!(lower.high.is_some_and(|high| high < 0.0) && lower.more_sessions_needed.is_none());
        assert_eq!(against(Better::Higher).verdict, Verdict::Worse);
        assert_eq!(against(Better::Nominal).verdict, Verdict::Worse);
    }

    #[test]
    fn a_difference_within_chance_says_how_many_more_sessions_would_tell() {
        let draws = Draws::new(200, 1);
        let bench = Bench { draws: &draws, rows: 2000 };
        let base = series(200, |day| 3.0 + noise(day));
        let other = series(200, |day| 3.0 + noise(day + 31) - 0.02);
        let against = bench.against(Baseline::Zero, Better::Lower, &other, &base);
        assert_eq!(against.verdict, Verdict::CannotBeTold);
        assert!(against.more_sessions_needed.is_some_and(|more| more > 50), "{}", against.words);
        assert!(against.words.contains("more sessions needed"), "{}", against.words);
        let same = bench.against(Baseline::Zero, Better::Lower, &base, &base);
        assert!(same.words.starts_with("no different from expecting nothing"), "{}", same.words);
    }

    #[test]
    fn few_sessions_give_no_interval_and_say_how_many_are_missing() {
        let draws = Draws::new(30, 5);
        let bench = Bench { draws: &draws, rows: 300 };
        let measured = bench.measured(
            "squared_error",
            Better::Lower,
            &series(30, |_| 1.0),
            &[(Baseline::Zero, series(30, |_| 9.0))],
        );
        assert_eq!((measured.low, measured.against[0].verdict), (None, Verdict::CannotBeTold));
        assert_eq!(measured.against[0].more_sessions_needed, Some(draws.needed_days() as u64 - 30));
    }

    #[test]
    fn numbers_keep_four_digits() {
        assert_eq!(
            [0.000_280_41, 0.053, -1.5, 0.0, 123.456].map(short),
            ["0.0002804", "0.05300", "-1.500", "0", "123.5"]
        );
    }
}
