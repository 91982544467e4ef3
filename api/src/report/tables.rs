//! The tables of a horizon.

use serde::Serialize;

use super::stored::{Corrected, Horizon, Line, Scores};
use super::words::{measure, name, or_none, percent, sentence, signed};

/// A table; which of its columns hold words is `said`.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    title: String,
    columns: Vec<&'static str>,
    said: Vec<bool>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug, Serialize)]
struct Cell {
    text: String,
    class: &'static str,
}

/// How a score is read from those of a way of forecasting.
type Reading<'a> = &'a dyn Fn(&Scores) -> Option<f64>;

fn word(text: impl Into<String>) -> Cell {
    Cell { text: text.into(), class: "" }
}

fn number(text: String) -> Cell {
    Cell { text, class: "num" }
}

/// All tables that can be made.
pub(super) fn of(horizon: &Horizon) -> Vec<Table> {
    let first = if horizon.measures.is_empty() { plain(horizon) } else { measured(horizon) };
    std::iter::once(first).chain(placebo(horizon)).chain(corrections(horizon)).collect()
}

/// Every measure with its interval, beside each baseline.
fn measured(horizon: &Horizon) -> Table {
    let rows = horizon.measures.iter().flat_map(|one| {
        one.against.iter().enumerate().map(move |(place, against)| {
            let first = place == 0;
            let shown = |text: String| if first { text } else { String::new() };
            let class = match against.verdict.as_str() {
                "better" => "better",
                "worse" => "worse",
                _ => "",
            };
            vec![
                word(name(&one.measure)),
                number(shown(measure(one.value))),
                number(shown(interval(one.low, one.high))),
                word(name(&against.baseline)),
                number(measure(against.value)),
                Cell { text: sentence(&against.words), class },
            ]
        })
    });
    let resampled = horizon.bootstrap.as_ref().map(|bootstrap| {
        format!(
            ": {} resamples of sessions in blocks of {} on average",
            bootstrap.resamples,
            signed(bootstrap.mean_block, 1)
        )
    });
    Table {
        title: format!("Measures with 95% bootstrap intervals{}", resampled.unwrap_or_default()),
        columns: vec!["Measure", "This model", "95% interval", "Beside", "Its value", "Verdict"],
        said: vec![true, false, false, true, false, true],
        rows: rows.collect(),
    }
}

fn interval(low: Option<f64>, high: Option<f64>) -> String {
    match (low, high) {
        (Some(low), Some(high)) => format!("{} to {}", measure(low), measure(high)),
        _ => "too few sessions".to_owned(),
    }
}

/// What evaluations without intervals hold.
fn plain(horizon: &Horizon) -> Table {
    let published = |scores: &Scores, level: f64| {
        let of =
            |one: &&super::stored::Interval| one.method == "published" && (one.level - level).abs() < 1e-9;
        scores.intervals.iter().find(of).map(|one| (one.coverage, one.interval_score))
    };
    let rows: [(&str, Reading<'_>); 9] = [
        ("root mean squared error", &|scores| Some(scores.point.rmse_return)),
        ("direction right", &|scores| scores.point.hit_rate),
        ("daily rank correlation (IC)", &|scores| scores.point.ic.as_ref().map(|ic| ic.mean)),
        ("inside the 80% interval", &|scores| published(scores, 0.8).map(|(held, _)| held)),
        ("inside the 95% interval", &|scores| published(scores, 0.95).map(|(held, _)| held)),
        ("interval score, 80%", &|scores| published(scores, 0.8).map(|(_, score)| score)),
        ("pinball loss", &|scores| scores.distribution.as_ref().map(|of| of.pinball)),
        ("continuous ranked probability score", &|scores| scores.distribution.as_ref().map(|of| of.crps)),
        ("Brier score of a rise", &|scores| scores.distribution.as_ref().map(|of| of.brier)),
    ];
    let row = |(title, of): &(&str, Reading<'_>)| {
        let values = [&horizon.model, &horizon.zero, &horizon.drift];
        let values = values.map(|scores| number(or_none(of(scores), measure)));
        std::iter::once(word(*title)).chain(values).collect()
    };
    Table {
        title: "Measures".to_owned(),
        columns: vec!["Measure", "This model", "No change", "Drift"],
        said: vec![true, false, false, false],
        rows: rows.iter().map(row).collect(),
    }
}

/// What correcting the probabilities of a rise once more would have changed.
fn corrections(horizon: &Horizon) -> Option<Table> {
    let row = |one: &Corrected| {
        let title = match one.correction.as_str() {
            "none" => "as published".to_owned(),
            other => name(other),
        };
        // What is published differs from itself by nothing.
        let (difference, interval) = match one.correction.as_str() {
            "none" => (String::new(), String::new()),
            _ => (measure(one.difference), interval(one.low, one.high)),
        };
        vec![
            word(title),
            number(measure(one.brier)),
            number(measure(one.log_score)),
            number(difference),
            number(interval),
        ]
    };
    (!horizon.corrections.is_empty()).then(|| Table {
        title: "Probabilities of a rise, corrected by what became of earlier ones".to_owned(),
        columns: vec!["Correction", "Brier score", "Log score", "Brier, difference", "95% interval"],
        said: vec![true, false, false, false, false],
        rows: horizon.corrections.iter().map(row).collect(),
    })
}

fn placebo(horizon: &Horizon) -> Option<Table> {
    let placebo = horizon.placebo.as_ref()?;
    let row = |title: &str, line: &Line| {
        vec![
            word(title),
            number(or_none(line.ic, |ic| signed(ic, 4))),
            number(or_none(line.ic_t, |t| signed(t, 1))),
            number(or_none(line.r2_vs_drift_pct, |saved| signed(saved, 3))),
            number(or_none(line.hit_rate, |share| percent(share, 2))),
            number(or_none(line.always_up, |share| percent(share, 2))),
        ]
    };
    Some(Table {
        title: "Skill beside placebo, on the same rows".to_owned(),
        columns: vec!["Learned from", "IC", "t", "Saved against drift, %", "Direction right", "Always up"],
        said: vec![true, false, false, false, false, false],
        rows: [row("true labels", &placebo.skill), row("labels dealt out anew", &placebo.shuffled)]
            .into_iter()
            .chain(placebo.shifted.as_ref().map(|line| row("labels of another time", line)))
            .collect(),
    })
}
