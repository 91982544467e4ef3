//! The log against a real PostgreSQL: each fault it survives is a test named by its number.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod append_only;
mod clocks;
mod commands;
mod counter;
mod deaths;
mod durability;
mod inspection;
mod leadership;
mod mailing;
mod order;
mod outboxes;
mod projections;
mod rebuilds;
mod rows;
mod schedules;
mod speed;
mod subscriptions;
mod victim;
