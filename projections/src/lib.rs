//! Read models: how events become rows, and the queries that read them.
//!
//! Each projection is one module: its tables (`sql/<name>.sql`, unqualified names), its handler, and the queries that
//! answer with the structs the REST interface shows. Its `NAME` is the subscription that a read has to wait for.
//! A handler is pure but for its own tables: no clock, no network, and no other handler's tables, which may have
//! come further or less far. [`mail`] and [`webhooks`] decide on effects and therefore keep copies of the little they
//! need; what they decide goes into an outbox in the same transaction.
//!
//! Names of lists, addresses and URLs are not in the log: queries join them from the vault.
//!
//! [`stories`] reads causes and consequences from the log itself. [`models`], [`track_record`] and [`event_log`] answer for any ordinal (`as_of`): their rows keep the ordinal of
//! what made them, and nothing later has a part in the answer.
//!
//! To add one: a file here and its SQL, one line in [`all`]. The handler matches [`almanac_domain::Event`] without a
//! wildcard, so that a new event asks every projection; `tests/read_models/every_projection.rs` finds the new one by itself and
//! demands that applying twice changes nothing and that a rebuild equals the live tables.

pub mod accounts;
pub mod builds;
pub mod event_log;
pub mod ingestions;
pub mod instruments;
pub mod mail;
pub mod models;
pub mod moment;
pub mod paging;
pub mod predictions;
mod row;
pub mod stories;
pub mod track_record;
pub mod training_runs;
pub mod trials;
pub mod watchlists;
pub mod webhook_endpoints;
pub mod webhooks;

use std::sync::Arc;

use almanac_store::log::Handler;

/// Every handler of this crate, to be installed and run by whoever follows the log.
pub fn all() -> Vec<Arc<dyn Handler>> {
    vec![
        Arc::new(accounts::Accounts),
        Arc::new(watchlists::Watchlists),
        Arc::new(instruments::Instruments),
        Arc::new(ingestions::Ingestions),
        Arc::new(training_runs::TrainingRuns),
        Arc::new(models::Models),
        Arc::new(trials::Trials),
        Arc::new(predictions::Predictions),
        Arc::new(webhook_endpoints::WebhookEndpoints),
        Arc::new(mail::MailDecisions),
        Arc::new(webhooks::WebhookDecisions),
    ]
}
