//! The pictures of a horizon. Each is none where the evaluation lacks what it shows.

use chrono::{Datelike, NaiveDate};
use serde::Serialize;

use super::stored::{Held, Horizon};
use super::svg::{Plot, Span};
use super::words::{percent, signed};

/// A picture with its words.
#[derive(Debug, Serialize)]
pub(super) struct Picture {
    title: &'static str,
    says: String,
    svg: String,
}

const LEVELS: [(f64, &str); 2] = [(0.80, "accent"), (0.95, "up")];

/// All pictures that can be drawn.
pub(super) fn of(horizon: &Horizon) -> Vec<Picture> {
    let drawn = [
        calibration(horizon),
        rises(horizon),
        transform(horizon),
        over_time(horizon),
        by_volatility(horizon),
        by_instrument(horizon),
        score(horizon),
        ranking(horizon),
        placebo(horizon),
    ];
    drawn.into_iter().flatten().collect()
}

/// The least and the largest of values and of what must be seen beside them, with a little room.
fn range(values: impl IntoIterator<Item = f64>, seen: &[f64]) -> (f64, f64) {
    let all = values.into_iter().chain(seen.iter().copied()).filter(|value| value.is_finite());
    let (low, high) =
        all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return (0.0, 1.0);
    }
    let room = (high - low) * 0.06;
    (low - room, high + room)
}

fn calibration(horizon: &Horizon) -> Option<Picture> {
    let pit = &horizon.model.distribution.as_ref()?.pit;
    let tenth = 1.0 / pit.len() as f64;
    let mut sum = 0.0;
    let mut below = vec![(0.0, 0.0)];
    for (place, share) in pit.iter().enumerate() {
        sum += share;
        below.push(((place + 1) as f64 * tenth, sum));
    }
    let worst = below.iter().map(|(said, held)| (held - said).abs()).fold(0.0, f64::max);
    let says = format!(
        "The share of outcomes below each quantile that was said, beside what it should be (dashed). Furthest off: {}.",
        percent(worst, 1)
    );
    let ends: Vec<(f64, String)> = [0.0, 0.25, 0.5, 0.75, 1.0].map(|at| (at, percent(at, 0))).to_vec();
    let svg = Plot::new((0.0, 1.0), (0.0, 1.0))
        .values(|value| percent(value, 0))
        .words(&ends)
        .line("guide", &[(0.0, 0.0), (1.0, 1.0)])
        .line("", &below)
        .dots("", &below)
        .drawn(&format!("Nominal against empirical quantiles. {says}"));
    Some(Picture { title: "Calibration", says, svg })
}

fn rises(horizon: &Horizon) -> Option<Picture> {
    let tenths = &horizon.calibration.as_ref()?.reliability;
    let points: Vec<(f64, f64)> = tenths.iter().map(|one| (one.expected, one.happened)).collect();
    if points.len() < 2 {
        return None;
    }
    let all = range(points.iter().flat_map(|(x, y)| [*x, *y]), &[0.5]);
    let words: Vec<(f64, String)> = [all.0, all.1].map(|at| (at, percent(at, 1))).to_vec();
    let says =
        "The share that rose where so large a probability of a rise was said, by tenths of the forecasts; \
                on the dashed line it came as said."
            .to_owned();
    let svg = Plot::new(all, all)
        .values(|value| percent(value, 1))
        .words(&words)
        .line("guide", &[(all.0, all.0), (all.1, all.1)])
        .dots("", &points)
        .drawn(&format!("Probability of a rise against the share that rose. {says}"));
    Some(Picture { title: "Probability of a rise", says, svg })
}

fn transform(horizon: &Horizon) -> Option<Picture> {
    let pit = &horizon.model.distribution.as_ref()?.pit;
    let flat = 1.0 / pit.len() as f64;
    let high = range(pit.iter().copied(), &[flat]).1;
    let columns: Vec<Span> = pit
        .iter()
        .enumerate()
        .map(|(place, share)| Span { at: place as f64 + 0.5, low: 0.0, high: *share })
        .collect();
    let words: Vec<(f64, String)> =
        (0..=pit.len()).step_by(2).map(|at| (at as f64, percent(at as f64 * flat, 0))).collect();
    let shares: Vec<String> = pit.iter().map(|share| percent(*share, 1)).collect();
    let says =
        "In which tenth of its forecast's distribution each outcome came to lie. Flat is right; a hill says \
                the forecasts were too wide, a valley too narrow."
            .to_owned();
    let svg = Plot::new((0.0, pit.len() as f64), (0.0, high))
        .values(|value| percent(value, 0))
        .words(&words)
        .columns("", 0.9, &columns)
        .rule("accent", flat)
        .drawn(&format!("Histogram of the probability integral transform: {}", shares.join(", ")));
    Some(Picture { title: "Where outcomes came to lie", says, svg })
}

fn over_time(horizon: &Horizon) -> Option<Picture> {
    let calibration = horizon.calibration.as_ref()?;
    let held: &[Held] =
        if calibration.months.len() > 1 { &calibration.months } else { &calibration.quarters };
    if held.len() < 2 {
        return None;
    }
    let of = |one: &Held| [one.coverage_80, one.coverage_95];
    let low = range(held.iter().flat_map(of), &[0.8, 0.95]).0;
    let line = |level: usize| -> Vec<(f64, f64)> {
        held.iter().enumerate().map(|(at, one)| (at as f64, of(one)[level])).collect()
    };
    let starts: Vec<NaiveDate> = held.iter().map(|one| one.start).collect();
    let worst = held.iter().map(|one| one.coverage_80).fold(f64::INFINITY, f64::min);
    let says = format!(
        "The share of outcomes inside the 80% and the 95% interval, month by month; the worst month of the 80% held \
         {}. Stocks move together, so that single months swing widely.",
        percent(worst, 0)
    );
    let mut plot = Plot::new((0.0, (held.len() - 1) as f64), (low, 1.0))
        .values(|value| percent(value, 0))
        .words(&dates(&starts));
    for (place, (level, class)) in LEVELS.into_iter().enumerate() {
        plot = plot.rule(class, level).line(class, &line(place));
    }
    let svg = plot.drawn(&format!("Coverage over time. {says}"));
    Some(Picture { title: "Coverage over time", says, svg })
}

/// Up to six dates below the axis.
fn dates(starts: &[NaiveDate]) -> Vec<(f64, String)> {
    let every = starts.len().div_ceil(6).max(1);
    let named = starts.iter().enumerate().step_by(every);
    named.map(|(at, start)| (at as f64, format!("{}-{:02}", start.year(), start.month()))).collect()
}

fn by_volatility(horizon: &Horizon) -> Option<Picture> {
    let shares: Vec<[f64; 3]> = LEVELS
        .iter()
        .filter_map(|(level, _)| {
            let of = horizon.published(*level)?;
            Some([of.coverage_low_volatility, of.coverage_mid_volatility, of.coverage_high_volatility])
        })
        .collect();
    let [eighty, ninety_five] = shares.as_slice() else { return None };
    let low = range(eighty.iter().copied(), &[0.75]).0;
    let dots = |held: &[f64; 3]| -> Vec<(f64, f64)> {
        held.iter().enumerate().map(|(third, share)| (third as f64, *share)).collect()
    };
    let words = ["calm third", "middle", "wild third"];
    let words: Vec<(f64, String)> =
        words.iter().enumerate().map(|(at, word)| (at as f64, (*word).to_owned())).collect();
    let says = format!(
        "By thirds of the volatility of the 20 sessions before, the 80% interval held {}, {} and {}.",
        percent(eighty[0], 1),
        percent(eighty[1], 1),
        percent(eighty[2], 1)
    );
    let svg = Plot::new((-0.5, 2.5), (low, 1.0))
        .values(|value| percent(value, 0))
        .words(&words)
        .rule("accent", 0.8)
        .rule("up", 0.95)
        .line("", &dots(eighty))
        .dots("", &dots(eighty))
        .line("up", &dots(ninety_five))
        .dots("up", &dots(ninety_five))
        .drawn(&format!("Coverage by volatility. {says}"));
    Some(Picture { title: "Coverage in calm and wild markets", says, svg })
}

fn by_instrument(horizon: &Horizon) -> Option<Picture> {
    const BIN: f64 = 0.02;
    let published = horizon.published(0.8)?;
    let says = format!(
        "The share inside the 80% interval, stock by stock: nine in ten lie between {} and {}.",
        percent(published.coverage_instrument_p05, 1),
        percent(published.coverage_instrument_p95, 1)
    );
    let each = &horizon.calibration.as_ref()?.instruments;
    if each.len() < 2 {
        return None;
    }
    let bins: Vec<i64> = each.iter().map(|one| (one.coverage_80 / BIN).floor() as i64).collect();
    let (first, last) = (*bins.iter().min()?, *bins.iter().max()?);
    let columns: Vec<Span> = (first..=last)
        .map(|bin| Span {
            at: (bin as f64 + 0.5) * BIN,
            low: 0.0,
            high: bins.iter().filter(|other| **other == bin).count() as f64,
        })
        .collect();
    let most = columns.iter().map(|column| column.high).fold(1.0, f64::max);
    let (left, right) = ((first as f64 * BIN).min(0.78), ((last + 1) as f64 * BIN).max(0.82));
    let words: Vec<(f64, String)> = [left, 0.8, right].map(|at| (at, percent(at, 0))).to_vec();
    let svg = Plot::new((left, right), (0.0, most * 1.06))
        .values(|value| if value.fract() == 0.0 { format!("{value}") } else { String::new() })
        .words(&words)
        .columns("", BIN * 0.9, &columns)
        .line("guide", &[(0.8, 0.0), (0.8, most * 1.06)])
        .drawn(&format!("Number of stocks by coverage. {says}"));
    Some(Picture { title: "Coverage by stock", says, svg })
}

fn score(horizon: &Horizon) -> Option<Picture> {
    let quarters = &horizon.quarters;
    if quarters.is_empty() {
        return None;
    }
    let zero: Vec<f64> = quarters.iter().map(|quarter| quarter.r2_vs_zero_pct).collect();
    let drift: Vec<f64> = quarters.iter().filter_map(|quarter| quarter.r2_vs_drift_pct).collect();
    let starts: Vec<NaiveDate> = quarters.iter().map(|quarter| quarter.start).collect();
    let both = drift.len() == zero.len();
    let (width, aside) = if both { (0.36, 0.2) } else { (0.6, 0.0) };
    let spans = |values: &[f64], aside: f64| -> Vec<Span> {
        let span = |(at, value): (usize, &f64)| Span { at: at as f64 + aside, low: 0.0, high: *value };
        values.iter().enumerate().map(span).collect()
    };
    let says = format!(
        "Squared error saved by quarter, in percent: against expecting nothing{}. Above the line the model was better.",
        if both { " (pale) and against drift (strong)" } else { "" }
    );
    let mut plot =
        Plot::new((-0.5, zero.len() as f64 - 0.5), range(zero.iter().chain(&drift).copied(), &[0.0]))
            .values(|value| signed(value, 2))
            .words(&dates(&starts))
            .columns("", width, &spans(&zero, -aside));
    if both {
        plot = plot.columns("up", width, &spans(&drift, aside));
    }
    let svg = plot.rule("zero", 0.0).drawn(&format!("Score over time. {says}"));
    Some(Picture { title: "Score over time", says, svg })
}

fn ranking(horizon: &Horizon) -> Option<Picture> {
    let known: Vec<(NaiveDate, f64)> =
        horizon.quarters.iter().filter_map(|quarter| Some((quarter.start, quarter.ic?))).collect();
    if known.len() < 2 {
        return None;
    }
    let mean = horizon.model.point.ic.as_ref()?.mean;
    let spans: Vec<Span> =
        known.iter().enumerate().map(|(at, (_, ic))| Span { at: at as f64, low: 0.0, high: *ic }).collect();
    let starts: Vec<NaiveDate> = known.iter().map(|(start, _)| *start).collect();
    let says = format!(
        "The mean daily rank correlation of forecast and outcome, by quarter; over all of them {} (dashed). 0 is chance.",
        signed(mean, 4)
    );
    let svg =
        Plot::new((-0.5, known.len() as f64 - 0.5), range(known.iter().map(|(_, ic)| *ic), &[0.0, mean]))
            .values(|value| signed(value, 3))
            .words(&dates(&starts))
            .columns("", 0.6, &spans)
            .rule("zero", 0.0)
            .rule("accent", mean)
            .drawn(&format!("Rank correlation over time. {says}"));
    Some(Picture { title: "Ranking over time", says, svg })
}

fn placebo(horizon: &Horizon) -> Option<Picture> {
    let placebo = horizon.placebo.as_ref()?;
    let mut lines = vec![("this model", &placebo.skill), ("shuffled labels", &placebo.shuffled)];
    lines.extend(placebo.shifted.as_ref().map(|line| ("shifted calendar", line)));
    // The error of a mean follows from its t.
    let span = |(at, (_, line)): (usize, &(&str, &super::stored::Line))| {
        let (ic, t) = (line.ic?, line.ic_t.filter(|t| t.abs() > 1e-9));
        let error = t.map_or(0.0, |t| (ic / t).abs() * 1.96);
        Some(Span { at: at as f64, low: ic - error, high: ic + error })
    };
    let spans: Vec<Span> = lines.iter().enumerate().filter_map(span).collect();
    if spans.is_empty() {
        return None;
    }
    let dots: Vec<(f64, f64)> =
        spans.iter().map(|span| (span.at, f64::midpoint(span.low, span.high))).collect();
    let words: Vec<(f64, String)> =
        lines.iter().enumerate().map(|(at, (word, _))| (at as f64, (*word).to_owned())).collect();
    let says = format!("Mean daily rank correlation with its 95% interval. {}", placebo.words);
    let svg = Plot::new((-0.5, 2.5), range(spans.iter().flat_map(|span| [span.low, span.high]), &[0.0]))
        .values(|value| signed(value, 3))
        .words(&words)
        .rule("zero", 0.0)
        .whiskers("", &spans)
        .dots("", &dots)
        .drawn(&format!("Skill beside placebo. {says}"));
    Some(Picture { title: "Skill beside placebo", says, svg })
}
