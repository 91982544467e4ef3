//! What a log that was brought here from elsewhere says about tickers.

use almanac_domain::instrument::InstrumentEvent;
use almanac_store::archive::Claim;
use almanac_store::log::Recorded;
use uuid::Uuid;

use super::listing::TICKER;

/// The claim on a ticker that `event` takes or gives back: the same that was taken when it was decided.
///
/// # Errors
/// When it is an event of an instrument that this program cannot read: it might take a ticker or give one back.
pub fn reclaim(event: &Recorded) -> Result<Option<Claim>, String> {
    if event.key.aggregate_type != "instrument" {
        return Ok(None);
    }
    let owner: Uuid =
        event.key.aggregate_id.parse().map_err(|bad| format!("the id of the instrument: {bad}"))?;
    let read: InstrumentEvent = event.decode().map_err(|unreadable| unreadable.to_string())?;
    Ok(match read {
        InstrumentEvent::InstrumentListed(listed) => Some(Claim::Taken {
            kind: TICKER.to_owned(),
            value: format!("{}:{}", listed.exchange, listed.symbol),
            owner,
        }),
        InstrumentEvent::InstrumentDelisted(_) => Some(Claim::GivenBack { owner }),
        InstrumentEvent::InstrumentRenamed(_)
        | InstrumentEvent::CorporateActionRecorded(_)
        | InstrumentEvent::InstrumentHalted(_) => None,
    })
}
