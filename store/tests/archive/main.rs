//! Exports of the log: made, read, damaged, brought into another database.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[allow(dead_code, reason = "the tests of the log need more of it")]
#[path = "../log/counter.rs"]
mod counter;
mod damage;
mod export;
mod import;
mod lived;
mod parts;
mod restore;
mod speed;
mod victim;
