//! `almanac erase-again`: erasures that a restored database does not know of.

use std::path::Path;
use std::sync::Arc;

use almanac_actors::erasure::{EraseError, Holdings};
use almanac_domain::Event;
use almanac_domain::account::{AccountEvent, AccountRefusal};
use almanac_domain::clock::Clock;
use almanac_store::Database;
use almanac_store::archive::Archive;
use almanac_store::clock::{Entropy, SystemClock};
use almanac_store::log::{CommandBus, CommandError, Issued, Recorded};
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
    let holdings = Holdings { database, mails };
    let (mut named, mut erased) = (0, 0);
    let mut batches = archive.batches();
    while let Some(batch) = batches.next().await {
        for event in batch.map_err(failure)? {
            let Some(id) = erased_by(&event)? else { continue };
            named += 1;
            let issued = Issued::new(entropy.uuid_v7(clock.now()));
            match holdings.erase(&bus, id, &issued).await {
                Ok(_) => erased += 1,
                // Erased already, or opened after the dump was made.
                Err(EraseError::Command(CommandError::Refused(AccountRefusal::Absent))) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok((named, erased))
}

/// The account that the event says is erased; none when it says something else.
///
/// An event about an account that cannot be read is no event to pass over: it may be an erasure.
fn erased_by(event: &Recorded) -> Result<Option<Uuid>, Failure> {
    if event.key.aggregate_type != "account" {
        return Ok(None);
    }
    match event.event()? {
        Event::Account(AccountEvent::AccountErased(_)) => Ok(Some(event.key.aggregate_id.parse()?)),
        Event::Account(
            AccountEvent::AccountOpened(_)
            | AccountEvent::EmailConfirmed(_)
            | AccountEvent::RoleGranted(_)
            | AccountEvent::RoleRevoked(_)
            | AccountEvent::NotificationPreferencesSet(_)
            | AccountEvent::AccountSuspended(_)
            | AccountEvent::AccountReinstated(_),
        )
        | Event::Watchlist(_)
        | Event::Instrument(_)
        | Event::Ingestion(_)
        | Event::TrainingRun(_)
        | Event::Model(_)
        | Event::ForecastRound(_)
        | Event::Prediction(_)
        | Event::WebhookEndpoint(_) => Ok(None),
    }
}
