//! `almanac model show`.

use almanac_projections::models::{self, ModelVersion, Origin, TimelineEntry};
use clap::Args;
use serde_json::json;

use super::super::{Failure, say, say_json};
use super::{OfModel, at_a_bench, list, table};

/// Shows one version: what it was made from, how it was evaluated, what was decided about it.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The number of the version.
    version: u32,
    #[command(flatten)]
    of: OfModel,
}

impl Show {
    pub(super) async fn run(self) -> Result<(), Failure> {
        at_a_bench(&self.of, async |bench| {
            let version = self.of.version(bench, self.version).await?;
            let pool = bench.parts.database.pool();
            let timeline: Vec<_> = models::timeline(pool, &version.model, i64::MAX)
                .await?
                .into_iter()
                .filter(|entry| entry.version == Some(version.version))
                .collect();
            if self.of.one_off.json {
                return say_json(&json!({ "version": version, "timeline": timeline }));
            }
            facts(&version)?;
            say("")?;
            measures(&version)?;
            say("")?;
            version.verdicts.iter().try_for_each(|verdict| say(verdict))?;
            say("")?;
            decisions(&timeline)
        })
        .await
    }
}

fn facts(version: &ModelVersion) -> Result<(), Failure> {
    say(&format!("{} version {}, {}", version.model, version.version, list::status(version.status)))?;
    let mut facts = vec![
        ("family", version.family.clone()),
        ("looks at", format!("the {} features", version.feature_set.as_str())),
        ("origin", origin(&version.origin)),
        ("trained through", format!("{} ({})", version.trained_through, version.mode.as_str())),
        ("registered", version.registered_at.to_rfc3339()),
        ("dataset", version.dataset.to_string()),
        ("artefact", format!("{} ({} bytes)", version.artefact.sha256, version.artefact.bytes)),
        ("seed", version.seed.clone()),
        ("code", version.code_version.clone()),
        ("leak sentinel", version.leak_checks.join(", ")),
    ];
    if let Some(recipe) = &version.recipe {
        let parameters: Vec<_> =
            recipe.parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
        facts.push(("features", recipe.features.to_string()));
        facts.push(("parameters", parameters.join(", ")));
        facts.push(("processor", recipe.processor_level.clone()));
    }
    facts.into_iter().try_for_each(|(name, value)| say(&format!("  {name:<16}{value}")))
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Trained => "trained here".to_owned(),
        Origin::Imported { format, files, learnt_through } => {
            let through = learnt_through.map_or_else(
                || "nobody says what it has learnt from".to_owned(),
                |session| format!("said to have learnt from nothing after {session}"),
            );
            let files: Vec<_> = files.iter().map(ToString::to_string).collect();
            format!("imported from {format}, {through}; SHA-256 {}", files.join(", "))
        }
    }
}

fn measures(version: &ModelVersion) -> Result<(), Failure> {
    let rows: Vec<_> = version
        .evaluation
        .iter()
        .map(|it| {
            [
                it.horizon.sessions().to_string(),
                it.measure.clone(),
                table::or_nothing(it.value),
                table::or_nothing(it.zero),
                table::or_nothing(it.drift),
            ]
        })
        .collect();
    table::print(["HORIZON", "MEASURE", "VERSION", "ZERO", "DRIFT"], &rows)
}

fn decisions(timeline: &[TimelineEntry]) -> Result<(), Failure> {
    let rows: Vec<_> = timeline
        .iter()
        .map(|entry| {
            [
                entry.at.format("%Y-%m-%d %H:%M").to_string(),
                entry.event.clone(),
                table::or_nothing(entry.by.as_ref()),
                table::or_nothing(entry.reason.as_ref()),
            ]
        })
        .collect();
    table::print(["AT", "EVENT", "BY", "REASON"], &rows)
}
