//! `almanac events`: what can stand in the log.

use almanac_domain::catalogue;
use clap::Args;

use super::{Failure, say};

/// Flags of `events`.
#[derive(Debug, Args)]
pub(super) struct Events {
    /// Print the JSON Schema instead of the page.
    #[arg(long)]
    json: bool,
}

impl Events {
    /// Prints every event with its versions, meaning and fields.
    pub(super) fn run(&self) -> Result<(), Failure> {
        let text = if self.json { schema_text()? } else { catalogue::page() };
        say(text.trim_end())
    }
}

fn schema_text() -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&catalogue::schema())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;

    #[test]
    fn the_committed_pages_of_events_are_those_of_this_program() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        for (name, text) in [("events.md", catalogue::page()), ("events.schema.json", schema_text().unwrap())]
        {
            let committed = std::fs::read_to_string(docs.join(name)).unwrap();
            assert!(committed.trim_end() == text.trim_end(), "docs/{name} is stale: run `make regenerated`");
        }
    }
}
