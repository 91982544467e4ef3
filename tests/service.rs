//! The service as its users meet it: real processes of the real binary, its own PostgreSQL, HTTP, SMTP and webhooks.

#![allow(clippy::expect_used, reason = "a helper of a test fails its test by panicking")]

mod service {
    mod archive;
    mod commands;
    mod crashes;
    mod database;
    mod demo;
    mod edge;
    mod explanations;
    mod failpoints;
    mod imports;
    mod interface;
    mod links;
    mod models;
    mod nodes;
    mod own_writes;
    mod projections;
    mod stories;
    mod transparency;
    mod trials;
    mod verifier;
}
