//! `almanac model list`.

use almanac_projections::models::{self, ModelVersion, VersionStatus};
use clap::Args;

use super::super::{Failure, say, say_json};
use super::{OfModel, at_a_bench, table};

/// Lists the versions, newest first.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    of: OfModel,
}

impl List {
    pub(super) async fn run(self) -> Result<(), Failure> {
        at_a_bench(&self.of, async |bench| {
            let pool = bench.parts.database.pool();
            let mut found = models::list(pool, i64::MAX).await?;
            if let Some(name) = &self.of.model {
                found.retain(|model| model.name == *name);
            }
            if self.of.one_off.json {
                return say_json(&found);
            }
            if found.is_empty() {
                return say("there are no versions yet: `almanac train` makes the first");
            }
            for model in found {
                let publishes = match model.champion {
                    Some(version) => format!("version {version} publishes"),
                    None => "no version publishes".to_owned(),
                };
                say(&format!("{}: {publishes}", model.name))?;
                let rows: Vec<_> = model.versions.iter().map(row).collect();
                table::print(
                    [
                        "VERSION",
                        "STATUS",
                        "FAMILY",
                        "FEATURES",
                        "HORIZONS",
                        "TRAINED THROUGH",
                        "REGISTERED",
                        "RMSE",
                        "COVERAGE 80",
                    ],
                    &rows,
                )?;
            }
            Ok(())
        })
        .await
    }
}

fn row(version: &ModelVersion) -> [String; 9] {
    let horizons: Vec<String> =
        version.horizons.iter().map(|horizon| horizon.sessions().to_string()).collect();
    [
        version.version.to_string(),
        status(version.status).to_owned(),
        version.family.clone(),
        version.feature_set.as_str().to_owned(),
        horizons.join(","),
        version.trained_through.to_string(),
        version.registered_at.format("%Y-%m-%d %H:%M").to_string(),
        first(version, "rmse_return"),
        first(version, "coverage_80"),
    ]
}

/// A measure at the shortest horizon.
fn first(version: &ModelVersion, measure: &str) -> String {
    let found = version.evaluation.iter().find(|it| it.measure == measure);
    table::or_nothing(found.and_then(|measure| measure.value))
}

pub(super) const fn status(status: VersionStatus) -> &'static str {
    match status {
        VersionStatus::Champion => "champion",
        VersionStatus::Able => "able",
        VersionStatus::Retired => "retired",
        VersionStatus::Quarantined => "quarantined",
    }
}
