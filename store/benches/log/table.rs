//! What was measured, as a table in Markdown, and the arithmetic of several turns.

use std::fmt;
use std::time::Duration;

use crate::cpu::Each;

/// The rows measured so far.
#[derive(Default)]
pub struct Table(Vec<[String; 5]>);

impl Table {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row; `goal` says what was wanted and whether it is reached.
    pub fn row(&mut self, what: &str, ours: impl fmt::Display, theirs: impl fmt::Display, goal: Goal) {
        let (ratio, goal) = (goal.ratio(), goal.verdict());
        let row = [what.to_owned(), ours.to_string(), theirs.to_string(), ratio, goal];
        println!("measured: {}", row.join(" | "));
        self.0.push(row);
    }

    pub fn print(&self) {
        println!("\n| what | ours | yardstick | ratio | goal |\n|---|---|---|---|---|");
        for row in &self.0 {
            println!("| {} |", row.join(" | "));
        }
    }
}

/// What is wanted of a figure.
#[derive(Clone, Copy)]
pub enum Goal {
    /// Nothing: it is only told.
    None { value: f64 },
    /// At least this.
    AtLeast { value: f64, bound: f64 },
    /// At most this.
    AtMost { value: f64, bound: f64 },
}

impl Goal {
    /// A figure without a yardstick.
    pub const TOLD: Self = Self::None { value: f64::NAN };

    fn ratio(&self) -> String {
        match self {
            Self::None { value } if value.is_nan() => String::new(),
            Self::None { value } | Self::AtLeast { value, .. } | Self::AtMost { value, .. } => {
                format!("{value:.2}")
            }
        }
    }

    fn verdict(&self) -> String {
        let (sign, bound, reached) = match self {
            Self::None { .. } => return String::new(),
            Self::AtLeast { value, bound } => (">=", bound, value >= bound),
            Self::AtMost { value, bound } => ("<=", bound, value <= bound),
        };
        format!("{sign} {bound}: {}", if reached { "reached" } else { "**missed**" })
    }
}

/// The rate of one turn and how long its commands took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    pub rate: f64,
    pub p50: f64,
    pub p99: f64,
    /// Processor time for each command.
    pub cpu: Each,
}

impl Turn {
    pub fn new(count: usize, took: Duration, mut times_ms: Vec<f64>) -> Self {
        let rate = count as f64 / took.as_secs_f64();
        times_ms.sort_by(f64::total_cmp);
        Self { rate, p50: percentile(&times_ms, 50), p99: percentile(&times_ms, 99), cpu: Each::default() }
    }

    /// The medians of each figure.
    pub fn median(turns: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(turns.iter().map(figure).collect());
        Self {
            rate: of(|turn| turn.rate),
            p50: of(|turn| turn.p50),
            p99: of(|turn| turn.p99),
            cpu: Each { clients: of(|turn| turn.cpu.clients), server: of(|turn| turn.cpu.server) },
        }
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0}/s, p50 {:.1} ms, p99 {:.1} ms, processor {:.0}+{:.0} us",
            self.rate, self.p50, self.p99, self.cpu.clients, self.cpu.server
        )
    }
}

/// The value below which so many percent of `sorted` lie.
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100]
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    percentile(&values, 50)
}

pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
