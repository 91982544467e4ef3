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
mod command_log;
mod event_hash;
mod extras;
mod issued;
mod leader;
mod projection_schema;
mod reader;
mod rebuild;
mod recorded;
mod sequencer;
mod stall;
mod step;
mod subscription;
mod tree;
mod turns;
mod wait;
mod window;

pub use append::{Append, AppendError};
pub use bus::{CommandBus, CommandError, Commanded, Committed};
pub use canonical::Unstorable;
pub use extras::Extras;
pub use issued::Issued;
pub use reader::LogReader;
pub use rebuild::Rebuilt;
pub use recorded::{BadEventKey, EventKey, Recorded};
pub use sequencer::{Sealed, Sequencer};
pub use stall::Stall;
pub use subscription::{Handler, HandlerError, OnPoison, State, Status, Step, Subscription};
pub use tree::{Frontier, Hash};
pub use wait::{Until, wait_for};
