//! The meaning of Almanac: what may happen, what happened, and why something is refused.
//!
//! Each aggregate is one file holding its commands, its events, its refusals and two pure functions:
//! `decide(&self, command) -> Result<Vec<Event>, Refusal>` and `apply(&mut self, event)`. Facts from outside
//! (the time, a price, a digest) travel inside the command, so this crate needs no clock, no I/O and no
//! randomness, and may not know sqlx, actix or polars.
//!
//! Start with [`prediction`], the heart; [`model`] guards that one version is champion. To add a command,
//! add it to its aggregate's `Command` with its event: the exhaustive matches over [`Event`] lead on to the
//! projections that must answer it. What is stored stays readable for good: [`evolution`] says how a shape changes.
//! [`catalogue`] describes every event for those who read the log without this program.

mod event_sourced;

pub mod account;
pub mod calendar;
pub mod catalogue;
pub mod clock;
pub mod event;
pub mod evolution;
pub mod forecast_round;
pub mod ids;
pub mod ingestion;
pub mod instrument;
pub mod model;
pub mod paired;
pub mod prediction;
pub mod scoring;
pub mod training_run;
pub mod trial;
pub mod values;
pub mod watchlist;
pub mod webhook_endpoint;

pub use event::Event;
pub use evolution::UnreadableEvent;
