//! Outboxes: what must reach the outside world, written in the step that decided it and worked off
//! afterwards.
//!
//! `next_attempt_at` is the service's time, which may run faster than the wall's; a lease is taken in the
//! database's own time, because sending takes as long as it takes.

pub mod mail;
pub mod webhook;
