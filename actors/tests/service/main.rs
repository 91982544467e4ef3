//! The actors at work on real PostgreSQL, real sockets and a set clock.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod finishing;
mod ingesting;
mod restarts;
mod sources;
mod supervision;
mod the_real_set;
mod web_source;
mod whole_path;
mod world;
