//! `almanac serve`: the service, until somebody stops it.

use clap::Args;

use super::{Failure, Place, asked_to_stop, say};
use crate::{App, Environment};

/// Runs the service: database, actors, API and pages.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown, reason = "clap prints these sentences as they stand")]
pub(super) struct Serve {
    #[command(flatten)]
    place: Place,
    /// Where to listen (ALMANAC_LISTEN) [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Which work this process does: api, log (sealing and tables only), worker (ALMANAC_ROLES) [default: api,worker]
    #[arg(long, value_name = "ROLES")]
    roles: Option<String>,
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let listen = self.listen.map(|listen| ("listen", listen));
        let roles = self.roles.map(|roles| ("roles", roles));
        let (config, _) = self.place.config(listen.into_iter().chain(roles).collect())?;
        let stop = asked_to_stop()?;
        let running = App::start(config, Environment::real()).await?;
        say(&format!("Almanac is at {}", running.url()))?;
        if let Some((email, password)) = &running.first_admin {
            say(&format!("First administrator: {email}, password {password} (shown this once)"))?;
        }
        stop.await;
        say("Stopping …")?;
        Ok(running.stop().await?)
    }
}
