//! The edge of Almanac, and the one binary: REST, OpenAPI, sign-in, configuration, command line, embedded pages.
//!
//! One file is one resource with its shapes, its documentation and its handlers, and its name is the URL's:
//! `watchlists.rs` is `/api/v1/watchlists`. A handler reads what the caller sent into values, executes a command or asks
//! a projection, and answers; it decides nothing that the domain decides, and holds no SQL. HTTP status codes stand in
//! [`problem`] and nowhere below.
//!
//! Start with [`server`], which joins everything, or with [`openapi`], which lists every route. To add an operation: a
//! handler in the file of its resource, a line in `openapi.rs`, then `almanac openapi > openapi/openapi.json`. To add a
//! setting, see [`config`].

#![allow(unused_qualifications, reason = "utoipa's macro writes qualified paths and gives them our places")]

pub mod accounts;
pub mod admin;
pub mod caller;
pub mod cli;
pub mod commands;
pub mod config;
pub mod evaluations;
pub mod evidence;
pub mod explanations;
pub mod extraction;
pub mod fallback;
pub mod foundation;
pub mod guard;
pub mod health;
pub mod imports;
pub mod instruments;
pub mod log;
pub mod mails;
pub mod metrics;
pub mod models;
pub mod openapi;
pub mod own_writes;
pub mod pages;
pub mod passwords;
pub mod predictions;
pub mod problem;
pub mod reads;
pub mod reference;
pub mod refusals;
pub mod report;
pub mod server;
pub mod session;
pub mod state;
pub mod status;
pub mod tagged;
pub mod track_record;
pub mod training_runs;
pub mod trials;
pub mod watchlists;
pub mod webhook_deliveries;
pub mod webhook_endpoints;

pub use config::Config;
pub use foundation::{Foundation, StartError};
pub use server::{App, Environment, Running};
