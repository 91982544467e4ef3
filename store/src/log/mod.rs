//! The event log: append, seal, read by one contiguous ordinal.
//!
//! *Append*: [`CommandBus`] loads an aggregate, lets it decide, and writes its events with everything that
//! must stand or fall with them in one transaction. *Seal*: one [`Sequencer`] gives committed events
//! contiguous ordinals without ever skipping one; all the subtlety of concurrent transactions lives in that
//! file. *Read*: a [`Subscription`] feeds sealed events to a [`Handler`] exactly once, and [`LogReader`]
//! answers questions about the log.

mod append;
mod batch;
mod bus;
pub mod canonical;
mod canonical_text;
mod causes;
mod command_log;
pub(crate) mod copied;
mod copy_in;
mod document;
pub(crate) mod event_hash;
mod extras;
mod handler;
mod inspection;
mod issued;
mod lanes;
pub(crate) mod leader;
mod planned;
mod poison;
mod projection_schema;
mod read_ahead;
mod reader;
pub mod rebuild;
mod recorded;
mod sequencer;
mod stall;
mod step;
mod streams;
mod subscription;
pub(crate) mod tree;
mod turns;
mod wait;
mod window;

pub use append::{Append, AppendError};
pub use bus::{CommandBus, CommandError, Commanded, Committed};
pub use canonical::Unstorable;
pub use copy_in::CopyIn;
pub use document::Document;
pub use extras::Extras;
pub use handler::{Handler, HandlerError, OnPoison, OnUnknown, Rows};
pub use inspection::{Inspection, Standing};
pub use issued::{Cause, Issued};
pub use leader::Leader;
pub use poison::Replayed;
pub use reader::LogReader;
pub(crate) use recorded::key_from_row;
pub use recorded::{BadEventKey, EventKey, Recorded};
pub use sequencer::{Sealed, Sequencer};
pub use stall::Stall;
pub use subscription::{State, Status, Step, Subscription};
pub use tree::{Frontier, Hash};
pub use wait::{Until, wait_for};
