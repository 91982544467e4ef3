//! An instrument: a stable identity under a ticker that may change.

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event_sourced::{event_sourced, events};
use crate::values::{Exchange, Price, Session, Symbol};

/// What a company did to its shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CorporateAction {
    /// Each old share became `ratio` new ones: 2 for a 2:1 split, 0.1 for a 1:10 reverse split.
    Split {
        /// New shares for one old share.
        #[serde(with = "rust_decimal::serde::str")]
        #[schemars(with = "String")]
        ratio: Decimal,
    },
    /// Cash paid for each share.
    Dividend {
        /// The amount for one share.
        amount: Price,
    },
}

/// What can be asked of an instrument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstrumentCommand {
    /// Makes it known.
    ListInstrument(InstrumentListed),
    /// Gives it another ticker.
    RenameInstrument(InstrumentRenamed),
    /// Records a split or dividend.
    RecordCorporateAction(CorporateActionRecorded),
    /// Records that trading stopped for a while.
    HaltInstrument(InstrumentHalted),
    /// Records that it trades no more.
    DelistInstrument(InstrumentDelisted),
}

/// An instrument became known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstrumentListed {
    /// Where it trades.
    pub exchange: Exchange,
    /// Its ticker.
    pub symbol: Symbol,
    /// The first session it was seen on.
    pub first_session: Session,
    /// The company's name, where known.
    pub name: Option<String>,
    /// The company's sector, where known.
    pub sector: Option<String>,
}

/// An instrument trades under another ticker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstrumentRenamed {
    /// The new ticker.
    pub symbol: Symbol,
    /// The first session under it.
    pub from: Session,
}

/// A split or dividend became known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CorporateActionRecorded {
    /// What it was.
    pub action: CorporateAction,
    /// The first session that trades after it (the ex-date).
    pub effective: Session,
}

/// Trading stopped for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstrumentHalted {
    /// The first session without trading.
    pub from: Session,
}

/// The instrument trades no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstrumentDelisted {
    /// The last session it traded.
    pub last_session: Session,
}

events! {
    /// What happened to an instrument.
    pub enum InstrumentEvent {
        InstrumentListed = "InstrumentListed" "1.0"
            by "the Ingestor and `almanac ingest`, for a share that was never seen",
        InstrumentRenamed = "InstrumentRenamed" "1.0"
            by "no source yet: the command is there for sources that know of it",
        CorporateActionRecorded = "CorporateActionRecorded" "1.0"
            by "the Ingestor and `almanac ingest`, from what the source says of splits and dividends",
        InstrumentHalted = "InstrumentHalted" "1.0"
            by "no source yet: the command is there for sources that know of it",
        InstrumentDelisted = "InstrumentDelisted" "1.0"
            by "the Ingestor and `almanac ingest`, from what the source says",
    }
}

/// Why an instrument refuses a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstrumentRefusal {
    /// It was never listed.
    #[error("there is no such instrument")]
    Absent,
    /// It is listed already.
    #[error("the instrument is listed already")]
    AlreadyListed,
    /// It trades no more.
    #[error("the instrument was delisted after {0}")]
    Delisted(Session),
    /// A split needs a positive ratio other than one.
    #[error("a split needs a positive ratio other than one")]
    NoSplit,
    /// Nothing happens to an instrument before its first session.
    #[error("the instrument was first seen on {0}")]
    BeforeFirstSession(Session),
}

/// The present state of an instrument.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Instrument {
    /// Never listed.
    #[default]
    Absent,
    /// Trading.
    Listed {
        /// What was said at its listing, with its present ticker.
        listing: InstrumentListed,
        /// The splits and dividends known.
        actions: Vec<CorporateActionRecorded>,
        /// The first session of a halt that goes on.
        halted_from: Option<Session>,
    },
    /// Trades no more.
    Delisted {
        /// The last session it traded.
        last_session: Session,
    },
}

impl Instrument {
    /// Decides what follows from `command`. Recording a known action again changes nothing.
    pub fn decide(&self, command: InstrumentCommand) -> Result<Vec<InstrumentEvent>, InstrumentRefusal> {
        use InstrumentCommand as C;
        let (listing, actions, halted) = match (self, &command) {
            (Self::Absent, C::ListInstrument(listing)) => return Ok(vec![listing.clone().into()]),
            (Self::Listed { .. } | Self::Delisted { .. }, C::ListInstrument(_)) => {
                return Err(InstrumentRefusal::AlreadyListed);
            }
            (Self::Absent, _) => return Err(InstrumentRefusal::Absent),
            (Self::Delisted { last_session }, _) => return Err(InstrumentRefusal::Delisted(*last_session)),
            (Self::Listed { listing, actions, halted_from }, _) => (listing, actions, *halted_from),
        };
        let since_first = |session: Session| {
            if session < listing.first_session {
                Err(InstrumentRefusal::BeforeFirstSession(listing.first_session))
            } else {
                Ok(())
            }
        };
        let change: Option<InstrumentEvent> = match command {
            C::ListInstrument(_) => None,
            C::RenameInstrument(renamed) => {
                since_first(renamed.from)?;
                (renamed.symbol != listing.symbol).then(|| renamed.into())
            }
            C::RecordCorporateAction(record) => {
                since_first(record.effective)?;
                if let CorporateAction::Split { ratio } = record.action
                    && (ratio <= Decimal::ZERO || ratio == Decimal::ONE)
                {
                    return Err(InstrumentRefusal::NoSplit);
                }
                (!actions.contains(&record)).then(|| record.into())
            }
            C::HaltInstrument(halt) => {
                since_first(halt.from)?;
                halted.is_none().then(|| halt.into())
            }
            C::DelistInstrument(delisting) => {
                since_first(delisting.last_session)?;
                Some(delisting.into())
            }
        };
        Ok(change.into_iter().collect())
    }

    /// Takes in what happened.
    pub fn apply(&mut self, event: InstrumentEvent) {
        match (&mut *self, event) {
            (state, InstrumentEvent::InstrumentListed(listing)) => {
                *state = Self::Listed { listing, actions: Vec::new(), halted_from: None };
            }
            (state, InstrumentEvent::InstrumentDelisted(delisted)) => {
                *state = Self::Delisted { last_session: delisted.last_session };
            }
            (Self::Listed { listing, .. }, InstrumentEvent::InstrumentRenamed(renamed)) => {
                listing.symbol = renamed.symbol;
            }
            (Self::Listed { actions, .. }, InstrumentEvent::CorporateActionRecorded(record)) => {
                actions.push(record);
            }
            (Self::Listed { halted_from, .. }, InstrumentEvent::InstrumentHalted(halt)) => {
                *halted_from = Some(halt.from);
            }
            (Self::Absent | Self::Delisted { .. }, _) => {}
        }
    }
}

event_sourced!(Instrument, "instrument", InstrumentCommand, InstrumentEvent, InstrumentRefusal);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_sourced::testing::given;

    fn day(day: u32) -> Session {
        Session::from_ymd_opt(2024, 1, day).expect("a date")
    }

    fn listing() -> InstrumentListed {
        InstrumentListed {
            exchange: "XNYS".parse().expect("valid"),
            symbol: "ABC".parse().expect("valid"),
            first_session: day(10),
            name: None,
            sector: None,
        }
    }

    fn split(ratio: i64, on: u32) -> InstrumentCommand {
        let action = CorporateAction::Split { ratio: Decimal::from(ratio) };
        InstrumentCommand::RecordCorporateAction(CorporateActionRecorded { action, effective: day(on) })
    }

    #[test]
    fn a_split_is_recorded_once() {
        let mut instrument: Instrument = given([listing().into()]);
        let events = instrument.decide(split(2, 12)).expect("granted");
        assert_eq!(events.len(), 1);
        for event in events {
            instrument.apply(event);
        }
        assert_eq!(instrument.decide(split(2, 12)), Ok(vec![]));
    }

    #[test]
    fn a_split_into_one_or_none_is_no_split() {
        let instrument: Instrument = given([listing().into()]);
        assert_eq!(instrument.decide(split(1, 12)), Err(InstrumentRefusal::NoSplit));
        assert_eq!(instrument.decide(split(0, 12)), Err(InstrumentRefusal::NoSplit));
    }

    #[test]
    fn nothing_happens_before_the_first_session() {
        let instrument: Instrument = given([listing().into()]);
        assert_eq!(instrument.decide(split(2, 9)), Err(InstrumentRefusal::BeforeFirstSession(day(10))));
    }

    #[test]
    fn an_instrument_is_listed_once_and_a_delisted_one_stays_so() {
        let instrument: Instrument = given([listing().into()]);
        let again = InstrumentCommand::ListInstrument(listing());
        assert_eq!(instrument.decide(again.clone()), Err(InstrumentRefusal::AlreadyListed));
        let gone: Instrument = given([listing().into(), InstrumentDelisted { last_session: day(20) }.into()]);
        assert_eq!(gone.decide(again), Err(InstrumentRefusal::AlreadyListed));
        assert_eq!(gone.decide(split(2, 12)), Err(InstrumentRefusal::Delisted(day(20))));
    }

    #[test]
    fn an_unknown_instrument_is_absent() {
        assert_eq!(Instrument::default().decide(split(2, 12)), Err(InstrumentRefusal::Absent));
    }
}
