//! `almanac migrate`: the database, brought to this version of the program.

use clap::Args;

use super::{Failure, Place, say};
use crate::Foundation;

/// Brings the database to this version of the program.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    place: Place,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (config, _) = self.place.config(vec![])?;
        Foundation::lay(&config).await?.clear_away().await?;
        say("The database is at this version of the program.")
    }
}
