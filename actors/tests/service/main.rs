//! The actors at work on real PostgreSQL, real sockets and a set clock.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod explanations;
mod finishing;
mod heads;
mod importing;
mod ingesting;
mod projectors;
mod rebuilding;
mod restarts;
mod sources;
mod stories;
mod supervision;
mod the_real_set;
mod trials;
mod web_source;
mod whole_path;
mod world;
