//! The report of an evaluation: one HTML page with its pictures inside, which opens without a network and runs no
//! script. An evaluation in, text out; nothing is read or written here.
//!
//! `stored.rs` says what of an evaluation is shown, `pictures.rs` and `tables.rs` what is made of it, `svg.rs` how
//! pictures are drawn. Every text goes through the template's escaping or that of `svg.rs`.

mod pictures;
mod stored;
mod svg;
mod tables;
mod words;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use sha2::{Digest, Sha256};

use pictures::Picture;
use stored::{Horizon, Stored};
use tables::Table;
use words::sentence;

const CSS: &str = include_str!("page.css");

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The evaluation is not of a shape this version knows.
    #[error("the evaluation cannot be read")]
    Unreadable(#[from] serde_json::Error),
    /// The page could not be written.
    #[error("the report cannot be written")]
    Template(#[from] minijinja::Error),
}

/// Something to be said at the head of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    css: &'static str,
    test_start: String,
    test_end: String,
    facts: &'a [Fact],
    horizons: Vec<Chapter>,
    leaks: Vec<String>,
}

/// One horizon.
#[derive(Serialize)]
struct Chapter {
    title: String,
    verdicts: Vec<String>,
    pictures: Vec<Picture>,
    tables: Vec<Table>,
}

/// The page for a stored evaluation, `{"evaluation": …, "leak_report": …}`.
///
/// # Errors
/// When the bytes are no evaluation.
pub fn page(title: &str, facts: &[Fact], evaluation: &[u8]) -> Result<String, ReportError> {
    let stored: Stored = serde_json::from_slice(evaluation)?;
    let Stored { evaluation, leak_report } = stored;
    let page = Page {
        title,
        css: CSS,
        test_start: evaluation.test_start.to_string(),
        test_end: evaluation.test_end.to_string(),
        facts,
        horizons: evaluation.horizons.iter().map(chapter).collect(),
        leaks: leak_report.as_ref().map(leaks).unwrap_or_default(),
    };
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_template("page.html", include_str!("page.html"))?;
    Ok(environment.get_template("page.html")?.render(Serde(&page))?)
}

/// What a browser may do with a page of [`page`]: show it with its own style, and nothing else.
pub fn content_security_policy() -> String {
    let style = STANDARD.encode(Sha256::digest(CSS));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

fn chapter(horizon: &Horizon) -> Chapter {
    let sessions = horizon.horizon;
    let ahead =
        if sessions == 1 { "1 session ahead".to_owned() } else { format!("{sessions} sessions ahead") };
    let scored = format!("{} forecasts on {} sessions", horizon.model.point.rows, horizon.model.point.days);
    let verdicts = [&horizon.against_zero.words, &horizon.against_drift.words];
    Chapter {
        title: ahead,
        verdicts: std::iter::once(format!("{scored}."))
            .chain(verdicts.into_iter().map(|words| sentence(words)))
            .collect(),
        pictures: pictures::of(horizon),
        tables: tables::of(horizon),
    }
}

/// Each kind of check once, with how often it held, then what failed and what looked too good.
fn leaks(report: &stored::LeakReport) -> Vec<String> {
    let mut kinds: Vec<&str> = report.checks.iter().map(|check| check.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let of_kind = |kind: &str| {
        let checks = report.checks.iter().filter(|check| check.kind == kind);
        let (mut held, mut all) = (0, 0);
        for check in checks {
            all += 1;
            held += usize::from(check.failure.is_none());
        }
        format!("{}: {held} of {all} checks held.", words::name(kind))
    };
    let failures = report.checks.iter().filter_map(|check| check.failure.as_deref());
    kinds
        .into_iter()
        .map(|kind| sentence(&of_kind(kind)))
        .chain(failures.map(sentence))
        .chain(
            report.suspicions.iter().map(|suspicion| format!("Too good to be true? {}", sentence(suspicion))),
        )
        .collect()
}

#[cfg(test)]
mod tests;
