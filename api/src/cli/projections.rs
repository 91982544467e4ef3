//! `almanac projections`: how far each read model has come, letting one go on after a fix, and rebuilding one beside the
//! live one.

use std::time::Duration;

use almanac_actors::rebuilder::Rebuilder;
use almanac_actors::trade::{Progress, Trade};
use almanac_domain::clock::Clock;
use almanac_projections::builds::{self, Projection, ProjectionBuild, ProjectionBuildState};
use almanac_store::Database;
use almanac_store::clock::{Entropy, SystemClock};
use almanac_store::log::{Replayed, Subscription};
use clap::{Args, Subcommand};
use serde_json::json;

use super::logs::{self, Reached};
use super::{Failure, Place, say, say_json};

/// The progress of a rebuild is looked at this often.
const LOOK: Duration = Duration::from_millis(200);

/// Shows how far the read models are, lets one go on after a fix, and rebuilds one beside the one in use.
#[derive(Debug, Args)]
pub(super) struct Projections {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists every projection, with the tables that stand beside those in use.
    List(Everywhere),
    /// Lets a projection that stopped at an event try again, after what was wrong with it is repaired.
    Resume(One),
    /// Applies the events that a projection has set aside, after what was wrong with them is repaired.
    Replay(One),
    /// Asks for the tables to be built from zero beside those in use; whoever follows the log carries it out.
    Rebuild {
        #[command(flatten)]
        one: One,
        /// Wait until it is compared with the tables in use, and carry it out here when nobody else does.
        #[arg(long)]
        follow: bool,
    },
    /// Lets readers see the rebuild that is ready.
    Switch {
        #[command(flatten)]
        one: One,
        /// Switch although the rebuild differs from the tables in use.
        #[arg(long)]
        accept_differences: bool,
    },
    /// Lets readers see the tables again that were in use before the last switch.
    SwitchBack(One),
    /// Drops whatever stands beside the tables in use.
    Drop(One),
    /// Calls a rebuild off.
    Cancel(One),
}

/// Flags of every action.
#[derive(Debug, Args)]
struct Everywhere {
    #[command(flatten)]
    place: Place,
    /// Print lines of JSON.
    #[arg(long)]
    json: bool,
}

/// One projection, and the flags of every action.
#[derive(Debug, Args)]
struct One {
    /// The projection.
    name: String,
    #[command(flatten)]
    everywhere: Everywhere,
}

impl Action {
    fn everywhere(&self) -> &Everywhere {
        match self {
            Self::List(everywhere) => everywhere,
            Self::Rebuild { one, .. }
            | Self::Switch { one, .. }
            | Self::Resume(one)
            | Self::Replay(one)
            | Self::SwitchBack(one)
            | Self::Drop(one)
            | Self::Cancel(one) => &one.everywhere,
        }
    }
}

impl Projections {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (config, _) = self.action.everywhere().place.config(vec![])?;
        let reached = Reached::as_it_is(&config).await?;
        let done = self.action.everywhere().carry_out(&self.action, &reached.database).await;
        reached.leave().await?;
        done
    }
}

impl Everywhere {
    async fn carry_out(&self, action: &Action, database: &Database) -> Result<(), Failure> {
        match action {
            Action::List(_) => {
                for projection in builds::list(database).await? {
                    if self.json { say_json(&projection)? } else { describe(&projection)? }
                }
                Ok(())
            }
            Action::Resume(One { name, .. }) => {
                if !named(database, name).await?.resume().await? {
                    return Err(format!("{name} has not stopped at an event").into());
                }
                self.told(name, "resumed")
            }
            Action::Replay(One { name, .. }) => {
                let Replayed { applied, parked } = named(database, name).await?.replay_parked().await?;
                if self.json {
                    return say_json(&json!({ "name": name, "applied": applied, "parked": parked }));
                }
                say(&format!("{name}: {applied} applied, {parked} still set aside"))
            }
            Action::Rebuild { one: One { name, .. }, follow } => {
                named(database, name).await?.request_rebuild(None).await?;
                if *follow { self.follow(database, name).await } else { self.told(name, "warming") }
            }
            Action::Switch { one: One { name, .. }, accept_differences } => {
                named(database, name).await?.switch(*accept_differences).await?;
                self.told(name, "switched")
            }
            Action::SwitchBack(One { name, .. }) => {
                named(database, name).await?.switch_back().await?;
                self.told(name, "switched")
            }
            Action::Drop(One { name, .. }) => {
                named(database, name).await?.drop_builds().await?;
                self.told(name, "dropped")
            }
            Action::Cancel(One { name, .. }) => {
                named(database, name).await?.cancel_rebuild().await?;
                self.told(name, "cancelled")
            }
        }
    }

    fn told(&self, name: &str, state: &str) -> Result<(), Failure> {
        if self.json {
            say_json(&json!({ "name": name, "state": state }))
        } else {
            say(&format!("{name}: {state}"))
        }
    }

    /// Waits until the rebuild is compared. The service does the work where it runs; otherwise it is done here.
    async fn follow(&self, database: &Database, name: &str) -> Result<(), Failure> {
        let rebuilder = Rebuilder::new(database, Entropy::system().uuid_v7(SystemClock.now()));
        let bar = logs::bar(self.json);
        bar.set_message(name.to_owned());
        loop {
            let progress = rebuilder.pass().await?;
            let build = rebuild_of(database, name).await?;
            let Some(build) = build else { return Err(format!("the rebuild of {name} was dropped").into()) };
            logs::show(&bar, build.ordinal.unsigned_abs(), build.head.unsigned_abs());
            if self.json {
                say_json(&build)?;
            }
            match build.state {
                ProjectionBuildState::Ready if build.compared_at.is_some() => {
                    bar.finish_and_clear();
                    return if self.json { Ok(()) } else { say(&verdict(name, &build)) };
                }
                ProjectionBuildState::Failed | ProjectionBuildState::Cancelled => {
                    bar.finish_and_clear();
                    let why = build.error.unwrap_or_else(|| "it was called off".to_owned());
                    return Err(format!("the rebuild of {name} came to nothing: {why}").into());
                }
                ProjectionBuildState::Warming
                | ProjectionBuildState::Ready
                | ProjectionBuildState::Previous => {
                    let waits_for = build.error.map_or_else(String::new, |why| format!(": {why}"));
                    bar.set_message(format!("{name}{waits_for}"));
                }
            }
            match progress {
                Progress::More => {}
                Progress::Idle => tokio::time::sleep(LOOK).await,
            }
        }
    }
}

async fn named(database: &Database, name: &str) -> Result<Subscription, Failure> {
    let found = builds::find(database, name).await?;
    found.ok_or_else(|| {
        format!("there is no projection `{name}`: `almanac projections list` shows them").into()
    })
}

async fn rebuild_of(database: &Database, name: &str) -> Result<Option<ProjectionBuild>, Failure> {
    let projections = builds::list(database).await?;
    let builds = projections.into_iter().filter(|one| one.name == name).flat_map(|one| one.builds);
    Ok(builds.into_iter().find(|build| build.state != ProjectionBuildState::Previous))
}

fn verdict(name: &str, build: &ProjectionBuild) -> String {
    let at = build.compared_ordinal.unwrap_or(build.ordinal);
    if build.differences.is_empty() {
        format!("{name} is rebuilt: at event {at} it equals the tables in use")
    } else {
        format!("{name} is rebuilt, but at event {at} it differs in {}", build.differences.join(", "))
    }
}

fn describe(projection: &Projection) -> Result<(), Failure> {
    let Projection { name, version, state, ordinal, lag, error, builds, .. } = projection;
    let behind = if *lag == 0 { "up to date".to_owned() } else { format!("{lag} behind") };
    say(&format!("{name:<18} version {version}  {state:<8} event {ordinal}, {behind}"))?;
    if let Some(error) = error {
        say(&format!("    stopped at event {}: {error}", projection.failed_ordinal.unwrap_or_default()))?;
    }
    if let (Some(ordinal), Some(error)) = (projection.parked_ordinal, &projection.parked_error) {
        say(&format!("    {} set aside, the first is event {ordinal}: {error}", projection.parked))?;
    }
    for build in builds {
        let state = match build.state {
            ProjectionBuildState::Warming => "warming up",
            ProjectionBuildState::Ready if build.compared_at.is_none() => "being compared",
            ProjectionBuildState::Ready if build.differences.is_empty() => "ready, equal",
            ProjectionBuildState::Ready => "ready, different",
            ProjectionBuildState::Previous => "previous",
            ProjectionBuildState::Failed => "failed",
            ProjectionBuildState::Cancelled => "cancelled",
        };
        let why = build.error.as_ref().map_or(String::new(), |error| format!(": {error}"));
        say(&format!("    {} {state}, event {} of {}{why}", build.schema, build.ordinal, build.head))?;
    }
    Ok(())
}
