//! `almanac evaluate`: how a plan would have done, without making a version of it.

use std::path::PathBuf;

use almanac_actors::Parts;
use almanac_actors::trainer::{EvaluateReport, evaluate_now};
use almanac_domain::training_run::TrainingPlan;
use almanac_domain::values::Measure;
use almanac_projections::models::{self, Origin};
use clap::Args;

use super::one_off::OneOff;
use super::plan::PlanFlags;
use super::train::tell;
use super::{Failure, say, say_json};
use crate::report::{self, Fact};

/// Learns and forecasts, walking forward through the data at hand, and scores it; nothing is registered.
#[derive(Debug, Args)]
pub(super) struct Evaluate {
    #[command(flatten)]
    one_off: OneOff,
    /// As this version of the model was trained: its family, horizons, features and seed.
    #[arg(long, value_name = "N", conflicts_with_all = PlanFlags::NAMES)]
    version: Option<u32>,
    #[command(flatten)]
    plan: PlanFlags,
    /// Write a report with pictures: one HTML file that opens without a network.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Evaluate {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let bench = self.one_off.workbench().await?;
        let plan = match self.version {
            Some(version) => plan_of(&bench.parts, version).await,
            None => Ok(self.plan.plan(bench.parts.settings.training.plan())),
        };
        let bar = self.one_off.bar();
        let report = match plan {
            Ok(plan) => {
                let evaluated = evaluate_now(&bench.parts, plan, &mut |progress| tell(&bar, progress)).await;
                evaluated.map_err(Failure::from)
            }
            Err(failure) => Err(failure),
        };
        bar.finish_and_clear();
        let model = bench.parts.settings.model.to_string();
        bench.clear_away().await?;
        let report = report?;
        if let Some(file) = &self.report {
            let page =
                report::page(&self.title(&model), &facts(&report), report.full.to_string().as_bytes())?;
            std::fs::write(file, page)
                .map_err(|error| format!("`{}` cannot be written: {error}", file.display()))?;
        }
        if self.one_off.json {
            return say_json(&report);
        }
        print(&report)?;
        self.report.iter().try_for_each(|file| say(&format!("The report is in {}.", file.display())))
    }

    fn title(&self, model: &str) -> String {
        match (self.version, &self.plan.family) {
            (Some(version), _) => format!("{model} as version {version} was trained"),
            (None, Some(family)) => format!("{model} by {family}"),
            (None, None) => model.to_owned(),
        }
    }
}

async fn plan_of(parts: &Parts, version: u32) -> Result<TrainingPlan, Failure> {
    let model = &parts.settings.model;
    let found = models::version(parts.database.pool(), model, version).await?;
    let found = found.ok_or_else(|| format!("`{model}` has no version {version}"))?;
    if let Origin::Imported { .. } = found.origin {
        return Err(format!(
            "version {version} was brought in and learns nothing here: what it scored is in `almanac model show {version}`"
        )
        .into());
    }
    Ok(TrainingPlan {
        family: found.family,
        feature_set: found.feature_set,
        horizons: found.horizons,
        sentiment: found.sentiment,
        seed: found.seed.parse()?,
    })
}

fn facts(report: &EvaluateReport) -> Vec<Fact> {
    vec![
        Fact { name: "Family", value: report.plan.family.replace('_', " ") },
        Fact { name: "Features", value: report.plan.feature_set.as_str().to_owned() },
        Fact { name: "Data through", value: report.as_of.to_string() },
        Fact { name: "Bars", value: report.rows.to_string() },
        Fact { name: "Stocks", value: report.instruments.to_string() },
        Fact { name: "Seed", value: report.plan.seed.to_string() },
        Fact { name: "Dataset", value: report.dataset.to_string() },
    ]
}

/// A table for each horizon, with its verdict below.
fn print(report: &EvaluateReport) -> Result<(), Failure> {
    say(&format!(
        "{} on {} bars of {} instruments up to {}, out of sample",
        report.plan.family, report.rows, report.instruments, report.as_of
    ))?;
    for (place, horizon) in report.plan.horizons.iter().enumerate() {
        let ahead = horizon.sessions();
        say(&format!("\n{:<28}{:>14}{:>14}{:>14}", format!("{ahead} ahead"), "model", "no change", "drift"))?;
        for measure in report.measures.iter().filter(|measure| measure.horizon == *horizon) {
            let [value, zero, drift] = [measure.value, measure.zero, measure.drift].map(shown);
            say(&format!("{:<28}{value:>14}{zero:>14}{drift:>14}", measure.measure.replace('_', " ")))?;
        }
        report.verdicts.get(place).map_or(Ok(()), |verdict| say(verdict))?;
    }
    Ok(())
}

fn shown(value: Option<Measure>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.6}", value.to_f64()))
}
