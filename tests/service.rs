//! The service as its users meet it: real processes of the real binary, its own PostgreSQL, HTTP, SMTP and webhooks.

#![allow(clippy::expect_used, reason = "a helper of a test fails its test by panicking")]

mod service {
    mod commands;
    mod crashes;
    mod demo;
    mod edge;
    mod interface;
}
