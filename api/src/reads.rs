//! What reads have in common: pages, waiting for one's own writes, and the state as it was known at a moment.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::problem::Problem;

/// How many rows a page has unless said otherwise.
const USUAL: u32 = 50;

/// All of something that has no pages.
#[derive(Debug, Serialize, ToSchema)]
pub struct Items<T> {
    /// The things themselves.
    pub items: Vec<T>,
}

impl<T> From<Vec<T>> for Items<T> {
    fn from(items: Vec<T>) -> Self {
        Self { items }
    }
}

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many at most, 50 unless said otherwise.
    #[param(minimum = 1, maximum = 500, example = 50)]
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
}

/// How many of something without pages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LimitQuery {
    /// How many at most.
    #[param(minimum = 1, maximum = 5000)]
    pub limit: Option<u32>,
}

/// Waiting for one's own writes, which every read can.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AfterQuery {
    /// The `after` of a command's answer: the read waits up to five seconds for its effect.
    pub after: Option<String>,
}

/// The state as it was known at a moment.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AsOfQuery {
    /// A time (RFC 3339) or a place in the log (an integer); the present unless said otherwise.
    pub as_of: Option<String>,
}

impl PageQuery {
    /// How many rows, between 1 and 500.
    pub fn limit(&self) -> Result<i64, Problem> {
        within(self.limit, USUAL, 500)
    }

    /// Where the page begins.
    pub fn cursor<C: FromStr>(&self) -> Result<Option<C>, Problem> {
        let cursor = self.cursor.as_deref().map(str::parse).transpose();
        cursor.map_err(|_| Problem::invalid("cursor", "this was not the `next` of a page"))
    }
}

impl LimitQuery {
    /// How many rows, between 1 and 5000.
    pub fn limit(&self, usual: u32) -> Result<i64, Problem> {
        within(self.limit, usual, 5000)
    }
}

/// The limit that was asked for, if it can be.
pub fn within(asked: Option<u32>, usual: u32, most: u32) -> Result<i64, Problem> {
    match asked.unwrap_or(usual) {
        limit if (1..=most).contains(&limit) => Ok(i64::from(limit)),
        _ => Err(Problem::invalid("limit", format!("it is 1 to {most}"))),
    }
}

/// A value of a query or a path, read as what it stands for.
pub fn read<T: FromStr<Err: ToString>>(field: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: T::Err| Problem::invalid(field, error.to_string()))
}

/// The same for a value that may be left out.
pub fn read_if<T: FromStr<Err: ToString>>(field: &str, text: Option<&str>) -> Result<Option<T>, Problem> {
    text.map(|text| read(field, text)).transpose()
}
