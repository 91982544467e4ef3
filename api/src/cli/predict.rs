//! `almanac predict`: the predictions that are due.

use almanac_actors::forecaster::predict_now;
use clap::Args;

use super::one_off::OneOff;
use super::{Failure, say, say_json};

/// Publishes the predictions that are due.
#[derive(Debug, Args)]
pub(super) struct Predict {
    #[command(flatten)]
    one_off: OneOff,
}

impl Predict {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let bench = self.one_off.workbench().await?;
        let bar = self.one_off.bar();
        bar.set_message("predicting");
        let report = predict_now(&bench.parts).await;
        bar.finish_and_clear();
        bench.clear_away().await?;
        let report = report?;
        if self.one_off.json {
            return say_json(&report);
        }
        say(&format!(
            "{} predictions as of {} by version {}; {} abstained from",
            report.published, report.session, report.version, report.abstained
        ))
    }
}
