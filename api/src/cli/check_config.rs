//! `almanac check-config`: what is in force, and where it comes from.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;

use super::{Failure, Place, say, say_json};

/// Prints the configuration as it is in force, secrets masked.
#[derive(Debug, Args)]
pub(super) struct CheckConfig {
    #[command(flatten)]
    place: Place,
    /// Print it as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl CheckConfig {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (_, effective) = self.place.config(vec![])?;
        if self.json {
            let settings: BTreeMap<_, _> = effective
                .shown()
                .map(|(key, value, origin)| (key, json!({ "value": value, "origin": origin.to_string() })))
                .collect();
            return say_json(&settings);
        }
        for (key, value, origin) in effective.shown() {
            match value {
                Some(value) => say(&format!("{key} = {value:?}  # {origin}"))?,
                None => say(&format!("# {key} is not set"))?,
            }
        }
        Ok(())
    }
}
