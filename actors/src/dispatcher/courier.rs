//! What happens to one message: look up where it goes, sign it, send it, note what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use almanac_domain::clock::Clock;
use almanac_domain::ids;
use almanac_domain::webhook_endpoint::{WebhookEndpoint, WebhookEndpointCommand};
use almanac_projections::webhook_endpoints::{self, Target};
use almanac_store::StoreError;
use almanac_store::failpoints::reach;
use almanac_store::log::{Cause, CommandBus, CommandError, Issued, LogReader};
use almanac_store::outbox::webhook::{self as outbox, Attempt, Delivery};
use almanac_store::vault;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::dns::Resolve;
use reqwest::{Client, StatusCode, Url};
use tokio::sync::OnceCell;
use tokio::time::Instant;
use uuid::Uuid;

use super::WebhookSettings;
use super::lanes::Health;
use super::post::{self, Answer, Outgoing};
use super::retry::{asked_pause, retry_at};
use super::secrets::EndpointSecrets;
use super::signature::sign;
use super::url_guard::check_url;
use crate::trade::TradeError;

/// What is needed to deliver a message; shared by all that are under way.
pub(super) struct Courier {
    pub(super) bus: CommandBus,
    pub(super) wall: Arc<dyn Clock>,
    pub(super) settings: WebhookSettings,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) client: OnceCell<Client>,
    pub(super) counts: Counts,
}

/// What became of the messages since the start.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) delivered: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) given_up: AtomicU64,
}

/// Where a message can go, once everything about it was looked up.
enum Destination {
    To(Url, EndpointSecrets),
    /// Nowhere, now or later.
    Nowhere(&'static str),
    /// It is not known yet; the tables are behind.
    Unknown,
}

/// What one attempt came to.
struct Outcome {
    status: Option<StatusCode>,
    error: Option<String>,
    excerpt: Option<String>,
    retry: Retry,
    health: Health,
}

/// Whether a failed message is tried again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Retry {
    Never,
    /// By the schedule, or after this pause if it is longer.
    Scheduled(Option<Duration>),
}

impl Courier {
    /// Tries to deliver `delivery` once and notes the attempt.
    pub(super) async fn deliver(&self, delivery: &Delivery) -> Result<Health, TradeError> {
        let (started, at) = (Instant::now(), self.bus.clock().now());
        let outcome = match self.destination(delivery).await? {
            Destination::To(url, secrets) => self.attempt(delivery, url, &secrets).await?,
            Destination::Nowhere(reason) => Outcome {
                status: None,
                error: Some(reason.to_owned()),
                excerpt: None,
                retry: Retry::Never,
                health: Health::Answers,
            },
            Destination::Unknown => {
                self.give_back(delivery, at + TimeDelta::seconds(1)).await?;
                return Ok(Health::Answers);
            }
        };
        reach("webhook.after_answer").await.map_err(StoreError::from)?;
        if outcome.status == Some(StatusCode::GONE) {
            self.disable(delivery).await?;
        }
        self.note(delivery, at, started.elapsed(), &outcome).await?;
        reach("webhook.after_noted").await.map_err(StoreError::from)?;
        Ok(outcome.health)
    }

    /// Gives a claimed message back untried.
    pub(super) async fn give_back(
        &self,
        delivery: &Delivery,
        until: DateTime<Utc>,
    ) -> Result<(), TradeError> {
        outbox::resend(self.bus.database().pool(), delivery.id, until).await?;
        Ok(())
    }

    async fn destination(&self, delivery: &Delivery) -> Result<Destination, TradeError> {
        let found = webhook_endpoints::target(self.bus.database().pool(), delivery.endpoint).await?;
        let Some(Target { url, secret, enabled, .. }) = found else {
            return Ok(self.why_unknown(delivery.endpoint).await?);
        };
        if !enabled {
            return Ok(Destination::Nowhere("the endpoint is disabled"));
        }
        Ok(match (check_url(&url, self.settings.reach), EndpointSecrets::parse(&secret)) {
            (Err(_), _) => Destination::Nowhere("the URL of the endpoint may not be called"),
            (_, Err(_)) => Destination::Nowhere("the secret of the endpoint cannot be read"),
            (Ok(url), Ok(secrets)) => Destination::To(url, secrets),
        })
    }

    /// An endpoint without a row was removed, or its account erased, or the tables have not heard of it yet.
    async fn why_unknown(&self, id: Uuid) -> Result<Destination, StoreError> {
        let endpoint: WebhookEndpoint = self.bus.load(&id.to_string()).await?;
        let url = vault::get(self.bus.database().pool(), webhook_endpoints::url_row(id)).await?;
        Ok(match (endpoint, url) {
            (WebhookEndpoint::Registered { .. }, Some(_)) => Destination::Unknown,
            (WebhookEndpoint::Registered { .. }, None)
            | (WebhookEndpoint::Absent | WebhookEndpoint::Removed, _) => {
                Destination::Nowhere("the endpoint was removed")
            }
        })
    }

    async fn attempt(
        &self,
        delivery: &Delivery,
        url: Url,
        secrets: &EndpointSecrets,
    ) -> Result<Outcome, TradeError> {
        let client = self
            .client
            .get_or_try_init(|| async { post::client(&self.settings, Arc::clone(&self.resolver)) })
            .await
            .map_err(TradeError::broken("could not set up the HTTP client"))?;
        let body = serde_json::to_vec(&delivery.payload)
            .map_err(TradeError::broken("could not write a webhook message"))?;
        let (id, timestamp) = (delivery.id.to_string(), self.wall.now().timestamp());
        let signature = sign(secrets.valid_at(self.bus.clock().now()), &id, timestamp, &body);
        let answer = post::post(client, Outgoing { url, id, timestamp, signature, body }).await;
        Ok(judged(answer, self.bus.clock().now()))
    }

    async fn disable(&self, delivery: &Delivery) -> Result<(), TradeError> {
        let command = WebhookEndpointCommand::DisableEndpoint { by: None, reason: "gone".to_owned() };
        let cause = format!("{}:{}", delivery.id, delivery.attempts);
        let told_of = LogReader::new(self.bus.database()).at_ordinal(delivery.ordinal).await?;
        let issued = Issued::new(ids::reaction("dispatcher.disable", &cause))
            .caused_by_any(told_of.as_ref().map(Cause::from));
        match self.bus.execute::<WebhookEndpoint>(&delivery.endpoint.to_string(), command, &issued).await {
            // Refused: it was removed meanwhile, which is as good.
            Ok(_) | Err(CommandError::Refused(_)) => Ok(()),
            Err(error) => Err(TradeError::broken("could not disable an endpoint that is gone")(error)),
        }
    }

    async fn note(
        &self,
        delivery: &Delivery,
        at: DateTime<Utc>,
        took: Duration,
        outcome: &Outcome,
    ) -> Result<(), TradeError> {
        let pool = self.bus.database().pool();
        // Claims are counted too when nothing was sent; the schedule goes by the attempts that were made.
        let made = outbox::attempts_of(pool, delivery.id).await?.len() + 1;
        let retry_at = match outcome.retry {
            Retry::Never => None,
            Retry::Scheduled(pause) => retry_at(made, self.bus.clock().now(), pause, self.bus.entropy()),
        };
        let counter = match (&outcome.error, retry_at) {
            (None, _) => &self.counts.delivered,
            (Some(_), Some(_)) => &self.counts.failed,
            (Some(_), None) => &self.counts.given_up,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let attempt = Attempt {
            n: i32::try_from(made).unwrap_or(i32::MAX),
            at,
            status: outcome.status.map(|status| i32::from(status.as_u16())),
            error: outcome.error.clone(),
            duration_ms: i32::try_from(took.as_millis()).unwrap_or(i32::MAX),
            response_excerpt: outcome.excerpt.clone(),
        };
        outbox::attempted(pool, delivery, &attempt, retry_at).await?;
        Ok(())
    }
}

fn judged(answer: Result<Answer, String>, now: DateTime<Utc>) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let (retry, health) = (Retry::Scheduled(None), Health::InTrouble(None));
            return Outcome { status: None, error: Some(error), excerpt: None, retry, health };
        }
    };
    let pause = answer.retry_after.as_deref().and_then(|text| asked_pause(text, now));
    let error = match answer.status {
        status if status.is_success() => None,
        status if status.is_redirection() => Some(format!("answered {status}; redirects are not followed")),
        StatusCode::GONE => Some("answered 410 Gone: the endpoint is disabled".to_owned()),
        status => Some(format!("answered {status}")),
    };
    let retry = if answer.status == StatusCode::GONE { Retry::Never } else { Retry::Scheduled(pause) };
    let overloaded =
        [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status);
    let health = if overloaded { Health::InTrouble(pause) } else { Health::Answers };
    Outcome { status: Some(answer.status), error, excerpt: Some(answer.excerpt), retry, health }
}
