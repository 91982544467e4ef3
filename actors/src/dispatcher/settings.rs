//! How webhooks leave.

use std::time::Duration;

use super::url_guard::Reach;

/// How webhooks leave.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Which addresses may be called.
    pub reach: Reach,
    /// Messages under way at once.
    pub in_flight: usize,
    /// Messages under way at once to one endpoint.
    pub per_endpoint: usize,
    /// How long connecting may take, encryption included.
    pub connect_timeout: Duration,
    /// How long one attempt may take altogether.
    pub total_timeout: Duration,
    /// How long a claimed message is left to the dispatcher that claimed it, from its last sign of life on: so long a
    /// message waits after a kill.
    pub lease: Duration,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            reach: Reach::PublicHttps,
            in_flight: 64,
            per_endpoint: 8,
            connect_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(15),
            lease: Duration::from_secs(60),
        }
    }
}
