//! The actors at work on real PostgreSQL, real sockets and a set clock.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod ensemble;
mod explanations;
mod finishing;
mod gate;
mod heads;
mod importing;
mod ingesting;
mod projectors;
mod rebuilding;
mod restarts;
mod retraining;
mod sources;
mod stories;
mod supervision;
mod the_real_set;
mod trials;
mod web_source;
mod whole_path;
mod world;
