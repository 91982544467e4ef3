//! What lies outside this program: the private PostgreSQL server, and object storage.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod objects;
mod postgres;
