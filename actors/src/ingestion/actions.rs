//! Splits, dividends and delistings, as far as they are not known yet.

use std::collections::{HashMap, HashSet};

use almanac_domain::ids;
use almanac_domain::instrument::{
    CorporateActionRecorded, Instrument, InstrumentCommand, InstrumentDelisted, InstrumentRefusal,
};
use almanac_projections::instruments;
use almanac_store::log::{CommandError, Extras, Issued};
use uuid::Uuid;

use super::listing::{TICKER, ticker};
use super::{IngestError, IngestReport};
use crate::parts::Parts;
use crate::sources::{Action, Happening};

/// Records what happened to the shares in `instruments`; actions of shares without bars wait until they have some.
pub(super) async fn record(
    parts: &Parts,
    actions: &[Action],
    instruments: &HashMap<String, Uuid>,
    report: &mut IngestReport,
    story: Uuid,
) -> Result<(), IngestError> {
    if actions.is_empty() {
        return Ok(());
    }
    let listings = instruments::listings(parts.database.pool()).await?;
    let recorded: HashSet<String> = listings
        .iter()
        .flat_map(|listing| listing.actions.iter().map(move |action| format!("{} {action:?}", listing.id)))
        .collect();
    let gone: HashSet<Uuid> = listings
        .iter()
        .filter(|listing| listing.delisted_after.is_some())
        .map(|listing| listing.id)
        .collect();
    let (mut commands, mut delistings) = (Vec::new(), Vec::new());
    for action in actions {
        let Some(&id) = instruments.get(&action.symbol).filter(|id| !gone.contains(*id)) else { continue };
        match &action.happening {
            Happening::Acted(acted) => {
                let record = CorporateActionRecorded { action: acted.clone(), effective: action.session };
                if !recorded.contains(&format!("{id} {record:?}")) {
                    commands.push((id.to_string(), InstrumentCommand::RecordCorporateAction(record)));
                }
            }
            Happening::Delisted => delistings.push((id, action)),
        }
    }
    // Of another list another id: the id of each command in a batch follows from it.
    let issued = Issued::new(ids::reaction("corporate actions", &format!("{commands:?}"))).correlated(story);
    for outcome in parts.bus.execute_batch::<Instrument>(commands, &issued).await? {
        match outcome {
            Ok(committed) => report.last = committed.last().cloned().or(report.last.take()),
            Err(CommandError::Refused(refusal)) => {
                tracing::info!(%refusal, "a corporate action was not recorded");
            }
            Err(error) => return Err(error.into()),
        }
    }
    for (id, action) in delistings {
        let command =
            InstrumentCommand::DelistInstrument(InstrumentDelisted { last_session: action.session });
        let issued = Issued::new(ids::reaction("ingestor", &format!("delist {id} {}", action.session)))
            .correlated(story);
        let extras = Extras::none().release_claim(TICKER, &ticker(parts, &action.symbol), id);
        match parts.bus.execute_with::<Instrument>(&id.to_string(), command, &issued, extras).await {
            Ok(committed) => report.last = committed.last().cloned().or(report.last.take()),
            Err(CommandError::Refused(InstrumentRefusal::Delisted(_))) => {}
            Err(CommandError::Refused(refusal)) => tracing::info!(%refusal, "a delisting was not recorded"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
