//! `almanac import`: an export, brought into an empty database.

use almanac_actors::ingestion::reclaim;
use almanac_store::archive::{Archive, Identity, Imported, import};
use clap::Args;
use serde_json::json;

use super::logs::{Reached, Source, bar, failure, show};
use super::{Failure, Place, say, say_json};

/// Brings an export into an empty database, with the same ordinals and digests; run again, it goes on where it stopped.
/// Ends with 1 where the export is not what was exported, with 2 where it could not be brought in.
#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(flatten)]
    place: Place,
    /// The export: a folder, or a place in object storage (s3://, gs://, az://, file://).
    #[arg(value_name = "DIR|URL")]
    from: String,
    /// Leave the checkpoints behind: the log is published under a new key from now on.
    #[arg(long)]
    new_identity: bool,
    /// Print the report as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Import {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (config, _) = self.place.config(vec![])?;
        let source = Source::open(&self.from, &self.place).await?;
        let archive = Archive::open(source.folder()).map_err(failure)?;
        let identity = if self.new_identity { Identity::New } else { Identity::Kept };
        let reached = Reached::for_writing(&config).await?;
        let bar = bar(self.json);
        bar.set_message("importing");
        let done = import(&reached.database, &archive, identity, reclaim, &mut |progress| {
            show(&bar, progress.done.unsigned_abs(), progress.of.unsigned_abs());
        })
        .await;
        bar.finish_and_clear();
        reached.leave().await?;
        self.tell(&archive, &done.map_err(failure)?)
    }

    fn tell(&self, archive: &Archive, done: &Imported) -> Result<(), Failure> {
        let Imported { events, head, checkpoints } = done;
        let complete = archive.manifest().complete;
        if self.json {
            return say_json(&json!({
                "size": head.size,
                "root": head.root,
                "checkpoints": checkpoints,
                "complete": complete,
                "imported": { "events": events },
            }));
        }
        let root = hex::encode(head.root.0);
        say(&format!("{events} events imported; the log ends at event {}, root {root}", head.size))?;
        if !complete {
            say("The export was interrupted when it was made: the log it was made from goes on after that")?;
        }
        if *checkpoints > 0 {
            say(&format!(
                "{checkpoints} checkpoints came along: to publish more, `log.key` must come along too"
            ))?;
        }
        say("Personal data (sign-ins, addresses, webhook URLs) and objects were not in the export")
    }
}
