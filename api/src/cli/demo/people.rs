//! The demo user: somebody who watches five stocks and gets their mails.

use std::time::Duration;

use almanac_actors::Parts;
use almanac_domain::watchlist::{Watchlist, WatchlistCommand};
use almanac_projections::instruments;
use almanac_store::claims;
use almanac_store::log::{CommandError, Issued};
use tokio::time::sleep;
use uuid::Uuid;

use super::super::Failure;
use super::kept::Kept;
use crate::Running;
use crate::accounts::{first_watchlist, open, open_watchlist};
use crate::passwords::Passwords;
use crate::session::EMAIL_CLAIM;

/// The address of the demo user.
pub(super) const EMAIL: &str = "demo@example.com";

/// How many stocks the demo user watches.
const WATCHED: usize = 5;

/// The demo user's account.
#[derive(Debug, Clone, Copy)]
pub(super) struct DemoUser(Uuid);

/// The demo user's account, opened at the first start.
pub(super) async fn demo_user(running: &Running, kept: &Kept) -> Result<DemoUser, Failure> {
    let parts = &running.parts;
    if let Some(known) = claims::owner_of(parts.database.pool(), EMAIL_CLAIM, EMAIL).await? {
        // Killed between the account and its watchlist, the demo makes the watchlist now.
        open_watchlist(parts, known).await?;
        return Ok(DemoUser(known));
    }
    let hash = Passwords::new(parts.entropy.clone())?.hash(&kept.demo_password).await?;
    Ok(DemoUser(open(parts, EMAIL, hash, &[]).await?))
}

/// Watches five stocks as soon as there are some, and before the first round is mailed.
pub(super) async fn watch_five(running: &Running, user: DemoUser) -> Result<(), Failure> {
    let parts = &running.parts;
    let listed = loop {
        let listed = instruments::search(parts.database.pool(), None, None, WATCHED as i64).await?.items;
        if listed.len() == WATCHED || is_past_listing(parts).await? {
            break listed;
        }
        sleep(Duration::from_millis(50)).await;
    };
    let (DemoUser(by), list) = (user, first_watchlist(user.0).to_string());
    for instrument in listed {
        let issued = Issued::new(Uuid::new_v5(&by, instrument.id.as_bytes())).by(by);
        let add = WatchlistCommand::AddToWatchlist { by, instrument: instrument.id };
        match parts.bus.execute::<Watchlist>(&list, add, &issued).await {
            // Somebody has deleted the demo user's first watchlist: it is theirs to delete.
            Ok(_) | Err(CommandError::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether bars are recorded, which happens after their instruments are listed: then there will not be more for now.
async fn is_past_listing(parts: &Parts) -> Result<bool, Failure> {
    let mode = parts.settings.mode;
    Ok(almanac_projections::ingestions::last_bars_session(parts.database.pool(), mode).await?.is_some())
}
