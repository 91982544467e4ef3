//! `almanac erase-again`: erasures that a restored database does not know of.

use std::path::Path;
use std::sync::Arc;

use almanac_actors::notifier::forget_mails;
use almanac_domain::account::vault::EMAIL;
use almanac_domain::account::{Account, AccountCommand, AccountRefusal};
use almanac_domain::clock::Clock;
use almanac_store::archive::Archive;
use almanac_store::clock::{Entropy, SystemClock};
use almanac_store::log::{CommandBus, CommandError, Extras, Issued};
use almanac_store::{Database, vault};
use clap::Args;
use futures::StreamExt;
use serde_json::json;
use uuid::Uuid;

use super::logs::{Reached, Source, failure};
use super::{Failure, Place, say, say_json};
use crate::foundation::outbox;

/// Erases the accounts that an export of the log names as erased: for a database that was restored from a dump older
/// than that. Run it before the service is started; run again, it finds nothing left to do.
#[derive(Debug, Args)]
pub(super) struct EraseAgain {
    #[command(flatten)]
    place: Place,
    /// The export: a folder, or a place in object storage (s3://, gs://, az://, file://).
    #[arg(value_name = "DIR|URL")]
    from: String,
    /// Print the report as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl EraseAgain {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (config, _) = self.place.config(vec![])?;
        let source = Source::open(&self.from, &self.place).await?;
        let archive = Archive::open(source.folder()).map_err(failure)?;
        let reached = Reached::for_writing(&config).await?;
        let done = erase_again(&reached.database, &archive, &outbox(&config)).await;
        reached.leave().await?;
        let (named, erased) = done?;
        if self.json {
            return say_json(&json!({ "named": named, "erased": erased }));
        }
        say(&format!(
            "The export names {named} erased accounts; {erased} of them were here and are erased again"
        ))
    }
}

/// How many accounts the export names as erased, and how many of them were erased now.
async fn erase_again(
    database: &Database,
    archive: &Archive,
    mails: &Path,
) -> Result<(usize, usize), Failure> {
    let (clock, entropy): (Arc<dyn Clock>, _) = (Arc::new(SystemClock), Entropy::system());
    let bus = CommandBus::new(database.clone(), Arc::clone(&clock), entropy.clone());
    let (mut named, mut erased) = (0, 0);
    let mut batches = archive.batches();
    while let Some(batch) = batches.next().await {
        let events = batch.map_err(failure)?;
        for event in events.iter().filter(|event| event.event_type == "AccountErased") {
            let id: Uuid = event.key.aggregate_id.parse()?;
            named += 1;
            // First, so that a crash leaves nothing nobody can find any more.
            for email in vault::of_owner(database.pool(), id, EMAIL).await? {
                forget_mails(mails, &email.value).await?;
            }
            let issued = Issued::new(entropy.uuid_v7(clock.now()));
            let extras = Extras::erasing(id);
            match bus.execute_with::<Account>(&id.to_string(), AccountCommand::Erase, &issued, extras).await {
                Ok(_) => erased += 1,
                // Erased already, or opened after the dump was made.
                Err(CommandError::Refused(AccountRefusal::Absent)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok((named, erased))
}
