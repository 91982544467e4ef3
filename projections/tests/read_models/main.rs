//! Every read model on a real database: one story that holds every event, told through the command bus.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test that meets an error has failed"
)]

mod as_of;
mod every_projection;
mod evolution;
mod mails;
mod market;
mod people;
mod plans;
mod predictions;
mod speed;
mod stories;
mod story;
mod things;
mod trials;
mod webhooks;
