//! One attempt over HTTP. Nothing a receiver does may cost more than the limits here: redirects are not followed,
//! compression is not undone, and of the answer only the beginning is read.

use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::Resolve;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use tokio::time::{Instant, timeout_at};

use super::WebhookSettings;
use super::resolver::GuardedResolver;
use super::url_guard::Reach;
use crate::trade::TradeError;

/// Bytes of an answer that are kept.
const EXCERPT: usize = 1024;
/// How long the beginning of an answer's body may take to come once its status is known.
const EXCERPT_PATIENCE: Duration = Duration::from_secs(2);
const USER_AGENT: &str = concat!("Almanac-Webhooks/", env!("CARGO_PKG_VERSION"));

/// A message as it goes out.
pub(super) struct Outgoing {
    pub(super) url: Url,
    pub(super) id: String,
    pub(super) timestamp: i64,
    pub(super) signature: String,
    pub(super) body: Vec<u8>,
}

/// What a receiver answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<String>,
    pub(super) excerpt: String,
}

/// The client all attempts share. It cannot be pointed at an address the guard refuses.
pub(super) fn client(settings: &WebhookSettings, asked: Arc<dyn Resolve>) -> reqwest::Result<Client> {
    // Two parts of the process may both want to install it; whoever comes second finds it done.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .https_only(settings.reach == Reach::PublicHttps)
        .dns_resolver(GuardedResolver { asked, reach: settings.reach })
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.total_timeout)
        .pool_idle_timeout(Duration::from_secs(10))
        .pool_max_idle_per_host(settings.per_endpoint)
        .referer(false)
        .user_agent(USER_AGENT)
        .build()
}

/// Sends `message` once.
///
/// # Errors
/// One line that says why there was no answer. It does not name the URL, which is its owner's secret.
pub(super) async fn post(client: &Client, message: Outgoing) -> Result<Answer, String> {
    let response = client
        .post(message.url)
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", message.id)
        .header("webhook-timestamp", message.timestamp)
        .header("webhook-signature", message.signature)
        .body(message.body)
        .send()
        .await
        .map_err(|error| {
            let what = if error.is_timeout() { "no answer in time" } else { "no answer" };
            TradeError::broken(what)(error.without_url()).in_full()
        })?;
    let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let (status, retry_after) = (response.status(), header.map(str::to_owned));
    Ok(Answer { status, retry_after, excerpt: excerpt(response).await })
}

/// The beginning of the body, as far as it comes in time. The rest is dropped with its connection.
async fn excerpt(mut response: Response) -> String {
    let deadline = Instant::now() + EXCERPT_PATIENCE;
    let mut bytes = Vec::new();
    while bytes.len() < EXCERPT {
        let Ok(Ok(Some(chunk))) = timeout_at(deadline, response.chunk()).await else { break };
        bytes.extend_from_slice(&chunk[..chunk.len().min(EXCERPT - bytes.len())]);
    }
    // PostgreSQL keeps no U+0000 in a text.
    String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}")
}
