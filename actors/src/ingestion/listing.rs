//! Which instrument a symbol means, and making those known that were never seen.

use std::collections::{BTreeMap, HashMap};

use almanac_domain::ids;
use almanac_domain::instrument::{Instrument, InstrumentCommand, InstrumentListed, InstrumentRefusal};
use almanac_domain::values::{Session, Symbol};
use almanac_ml::Bars;
use almanac_projections::instruments::{self, Listing};
use almanac_store::claims;
use almanac_store::log::{CommandError, Extras, Issued};
use futures::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::bars::first_sessions;
use super::{IngestError, IngestProgress, IngestReport, OnProgress};
use crate::parts::Parts;
use crate::sources::Company;

/// The kind of claim that makes a ticker belong to one instrument.
pub(super) const TICKER: &str = "ticker";

/// So many commands are under way at once: the first load of a market is hundreds of them.
const AT_ONCE: usize = 12;

/// The claimed form of a symbol, such as `XNYS:ABC`.
pub(super) fn ticker(parts: &Parts, symbol: &str) -> String {
    format!("{}:{symbol}", parts.settings.exchange)
}

/// The instrument of every symbol of these bars, and of those listed before.
pub(super) async fn instruments(
    parts: &Parts,
    bars: &Bars,
    companies: &[Company],
    report: &mut IngestReport,
    progress: OnProgress<'_>,
    story: Uuid,
) -> Result<HashMap<String, Uuid>, IngestError> {
    let listings = instruments::listings(parts.database.pool()).await?;
    let mut known = HashMap::new();
    for listing in listings.iter().filter(|listing| listing.delisted_after.is_none()) {
        known.insert(listing.symbol.to_string(), listing.id);
    }
    let first = first_sessions(bars);
    let mut unknown = BTreeMap::new();
    for (symbol, first) in first {
        if known.contains_key(symbol) {
            continue;
        }
        match delisted(&listings, symbol, first) {
            Some(id) => drop(known.insert(symbol.to_owned(), id)),
            None => drop(unknown.insert(symbol.to_owned(), first)),
        }
    }
    let of = unknown.len();
    let mut about: HashMap<String, Company> =
        companies.iter().map(|company| (company.symbol.clone(), company.clone())).collect();
    let mut named = stream::iter(unknown)
        .map(|(symbol, first)| {
            let company = about.remove(&symbol);
            name(parts, symbol, first, company, story)
        })
        .buffer_unordered(AT_ONCE);
    let mut done = 0;
    while let Some((symbol, id, listed)) = named.try_next().await? {
        known.insert(symbol, id);
        report.listed += usize::from(listed);
        done += 1;
        progress(IngestProgress::Listing { done, of });
    }
    Ok(known)
}

/// A delisted instrument means its symbol still where the rows begin before its end; later the ticker is somebody else's.
fn delisted(listings: &[Listing], symbol: &str, first: Session) -> Option<Uuid> {
    let last = listings.iter().filter(|listing| listing.symbol.as_str() == symbol);
    last.filter(|listing| listing.delisted_after.is_some_and(|end| first <= end))
        .max_by_key(|listing| listing.delisted_after)
        .map(|listing| listing.id)
}

/// The instrument of a symbol nobody has listed as far as the tables say; true when it became known by this.
async fn name(
    parts: &Parts,
    symbol: String,
    first_session: Session,
    company: Option<Company>,
    story: Uuid,
) -> Result<(String, Uuid, bool), IngestError> {
    let ticker = ticker(parts, &symbol);
    if let Some(owner) = claims::owner_of(parts.database.pool(), TICKER, &ticker).await? {
        return Ok((symbol, owner, false));
    }
    let exchange = parts.settings.exchange.clone();
    let parsed: Symbol = symbol.parse()?;
    let id = ids::instrument(&exchange, &parsed, first_session);
    let command = InstrumentCommand::ListInstrument(InstrumentListed {
        exchange,
        symbol: parsed,
        first_session,
        name: company.as_ref().and_then(|company| company.name.clone()),
        sector: company.and_then(|company| company.sector),
    });
    let issued = Issued::new(ids::reaction("ingestor", &format!("list {id}"))).correlated(story);
    let extras = Extras::none().take_claim(TICKER, &ticker, id);
    match parts.bus.execute_with::<Instrument>(&id.to_string(), command, &issued, extras).await {
        Ok(_) => Ok((symbol, id, true)),
        // The same share from its first session on: it was listed once and delisted since.
        Err(CommandError::Refused(InstrumentRefusal::AlreadyListed)) => Ok((symbol, id, false)),
        Err(CommandError::ClaimTaken { .. }) => {
            let owner = claims::owner_of(parts.database.pool(), TICKER, &ticker).await?;
            Ok((symbol, owner.unwrap_or(id), false))
        }
        Err(error) => Err(error.into()),
    }
}
