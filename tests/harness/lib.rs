//! Drives the service as its users do: over HTTP, SMTP, webhooks, the command line and a browser.
//!
//! Start with [`Almanac`], a real process of the real binary, and [`Person`], somebody who talks to it. Tests wait for a
//! condition with [`eventually`]; nothing sleeps for a fixed time and hopes.

#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a harness fails its test by panicking")]

mod load;
mod person;
mod process;
mod proxy;
mod receiver;
mod server;
mod smtp;

pub use load::{Load, Worked};
pub use person::Person;
pub use process::{Almanac, Folder, binary};
pub use proxy::Proxy;
pub use receiver::{Called, Receiver};
pub use server::{Server, check_log, kill_postmaster, own_database_url};
pub use smtp::{Received, SmtpServer};

use std::future::Future;
use std::time::{Duration, Instant};

/// How long a condition may take before its test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none within [`PATIENCE`]; `what` says what was waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
