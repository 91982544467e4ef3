//! The log against a real PostgreSQL: each fault it survives is a test named by its number.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod append_only;
mod commands;
mod counter;
mod order;
mod outboxes;
mod projections;
mod rows;
mod speed;
mod subscriptions;
mod victim;
