//! Tamper evidence against a real PostgreSQL: each fault it shows is a test named by its number.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod checkpoints;
#[path = "../log/counter.rs"]
#[allow(dead_code, reason = "the tests of the log use all of it")]
mod counter;
mod evidence;
mod proofs;
mod speed;
mod stable;
mod tampering;
mod world;
