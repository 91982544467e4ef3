//! What lasts: PostgreSQL, the event log, and object storage.
//!
//! This crate appends events, seals them into one contiguous order, and lets subscriptions turn that order
//! into rows. It also keeps what may not be in the log: personal data in the [`vault`], [`claims`] that no
//! single stream can guard, sign-in sessions, outboxes, leases, and [`objects`] named by their digest. It may
//! know the domain's traits and nothing of what an event means; it may not know HTTP, actors, or numbers.
//!
//! Start with [`log`]: its three halves are *append* ([`log::CommandBus`]), *seal* ([`log::Sequencer`]) and
//! *read* ([`log::Subscription`]). [`postgres`] finds and supervises a server where none is given;
//! [`testing::TestDatabase`] gives every test a database of its own.
//!
//! To add a table that lasts, add one file to `migrations/` with its reason at its head, and one module here
//! that holds all its SQL. Tables of a projection are not migrations: they stand in `Handler::schema_sql` of
//! the projection, because each version of a projection has its own.

pub mod archive;
pub mod claims;
pub mod clock;
mod database;
mod error;
pub mod failpoints;
pub mod leases;
mod lines;
pub mod log;
pub mod objects;
pub mod outbox;
pub mod postgres;
pub mod secrets;
mod sightings;
pub mod sign_ins;
pub mod testing;
pub mod transparency;
pub mod vault;

pub use database::Database;
pub use error::StoreError;
