//! `almanac train`: the next version of the model.

use almanac_actors::trainer::train_now;
use almanac_ml::{Progress, Stage};
use clap::Args;
use indicatif::ProgressBar;

use super::one_off::{OneOff, steps};
use super::plan::PlanFlags;
use super::{Failure, say, say_json};

/// Trains the next version of the model.
#[derive(Debug, Args)]
pub(super) struct Train {
    #[command(flatten)]
    one_off: OneOff,
    #[command(flatten)]
    plan: PlanFlags,
}

impl Train {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let bench = self.one_off.workbench().await?;
        let plan = self.plan.plan(bench.parts.settings.training.plan());
        let bar = self.one_off.bar();
        let report = train_now(&bench.parts, plan, &mut |progress| tell(&bar, progress)).await;
        bar.finish_and_clear();
        bench.clear_away().await?;
        let report = report?;
        if self.one_off.json {
            return say_json(&report);
        }
        let fate = if report.promoted { "it is the champion now" } else { "another version is champion" };
        say(&format!(
            "version {} from {} bars of {} instruments up to {}: {fate}",
            report.version, report.rows, report.instruments, report.as_of
        ))?;
        report.verdicts.iter().try_for_each(|verdict| say(&format!("  {verdict}")))
    }
}

/// Shows on a bar how far a training has come.
pub(super) fn tell(bar: &ProgressBar, progress: Progress) {
    steps(bar, progress.steps);
    bar.set_position(progress.step as u64);
    bar.set_message(words(progress));
}

pub(super) fn words(progress: Progress) -> String {
    match progress.stage {
        Stage::Features => "computing features".to_owned(),
        Stage::LeakChecks => "looking for leaks".to_owned(),
        Stage::Fitting { horizon } => format!("learning, {horizon} sessions ahead"),
        Stage::Evaluating { horizon } => format!("scoring out of sample, {horizon} sessions ahead"),
    }
}
