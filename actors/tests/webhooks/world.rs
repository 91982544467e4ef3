//! A database with webhook endpoints, and messages that are due to them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use almanac_actors::dispatcher::{Dispatcher, EndpointSecrets, Reach, SystemResolver, WebhookSettings};
use almanac_actors::trade::{Progress, Trade};
use almanac_domain::account::vault::{ENDPOINT_SECRET, ENDPOINT_URL};
use almanac_domain::clock::{Clock, SetClock};
use almanac_domain::webhook_endpoint::{WebhookEndpoint, WebhookEndpointCommand};
use almanac_projections::webhook_endpoints;
use almanac_store::clock::{Entropy, SystemClock};
use almanac_store::log::{CommandBus, Extras, Issued, Subscription};
use almanac_store::outbox::webhook::{self as outbox, Attempt, Delivery, NewDelivery};
use almanac_store::testing::TestDatabase;
use almanac_store::vault::VaultRow;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

pub const OWNER: Uuid = Uuid::from_u128(1);

/// The database, the clock and the bus of a service.
pub struct World {
    pub database: TestDatabase,
    pub clock: Arc<SetClock>,
    pub bus: CommandBus,
}

/// Limits short enough for a test, calling any address.
pub fn quick() -> WebhookSettings {
    WebhookSettings {
        reach: Reach::Anywhere,
        connect_timeout: Duration::from_millis(500),
        total_timeout: Duration::from_secs(2),
        ..WebhookSettings::default()
    }
}

impl World {
    pub async fn new() -> Self {
        let database = TestDatabase::new().await;
        let noon = DateTime::parse_from_rfc3339("2024-03-04T12:00:00Z").unwrap().to_utc();
        let clock = Arc::new(SetClock::at(noon));
        let bus = CommandBus::new(database.clone(), Arc::clone(&clock) as Arc<dyn Clock>, Entropy::seeded(1));
        Self { database, clock, bus }
    }

    pub fn issued(&self) -> Issued {
        Issued::new(self.bus.entropy().uuid_v7(self.clock.now()))
    }

    /// Registers an endpoint and brings the table of endpoints level.
    pub async fn endpoint(&self, url: &str) -> (Uuid, EndpointSecrets) {
        let id = self.bus.entropy().uuid_v7(self.clock.now());
        let secrets = EndpointSecrets::generate(self.bus.entropy());
        let event_types = vec!["*".to_owned()];
        let command = WebhookEndpointCommand::RegisterEndpoint { by: OWNER, event_types };
        let row = |id, kind: &str, value: &str| VaultRow {
            id,
            owner: OWNER,
            kind: kind.to_owned(),
            value: value.to_owned(),
        };
        let url = row(webhook_endpoints::url_row(id), ENDPOINT_URL, url);
        let secret = row(webhook_endpoints::secret_row(id), ENDPOINT_SECRET, &secrets.stored());
        let extras = Extras::none().put_vault(url).put_vault(secret);
        let (name, issued) = (id.to_string(), self.issued());
        self.bus.execute_with::<WebhookEndpoint>(&name, command, &issued, extras).await.unwrap();
        self.project().await;
        (id, secrets)
    }

    /// Gives an endpoint a new secret beside the old one.
    pub async fn rotate(&self, endpoint: Uuid, secrets: &EndpointSecrets) -> EndpointSecrets {
        let rotated = secrets.rotated(self.bus.entropy(), self.clock.now());
        let (id, kind) = (webhook_endpoints::secret_row(endpoint), ENDPOINT_SECRET.to_owned());
        let row = VaultRow { id, owner: OWNER, kind, value: rotated.stored() };
        let (name, issued) = (endpoint.to_string(), self.issued());
        let (command, extras) =
            (WebhookEndpointCommand::RotateSecret { by: OWNER, seen: 0 }, Extras::none().put_vault(row));
        self.bus.execute_with::<WebhookEndpoint>(&name, command, &issued, extras).await.unwrap();
        rotated
    }

    pub async fn project(&self) {
        let head = self.database.seal().await;
        let handler = Arc::new(webhook_endpoints::WebhookEndpoints);
        let subscription = Subscription::install(&self.database, handler).await.unwrap();
        subscription.run_until(head).await.unwrap();
    }

    /// Messages that are due to `endpoint` now.
    pub async fn due(&self, endpoint: Uuid, count: usize) -> Vec<Uuid> {
        let mut connection = self.database.pool().acquire().await.unwrap();
        let mut ids = Vec::new();
        for number in 0..count {
            let id = self.bus.entropy().uuid_v7(self.clock.now());
            let message = NewDelivery {
                id,
                key: format!("test:{id}"),
                endpoint,
                account: OWNER,
                ordinal: 1,
                event_type: "prediction.published".to_owned(),
                payload: json!({ "type": "prediction.published", "data": { "number": number, "text": "ä\u{1f4c8}" } }),
                due_at: self.clock.now(),
            };
            outbox::put(&mut connection, &[message]).await.unwrap();
            ids.push(id);
        }
        ids
    }

    pub fn dispatcher(&self, settings: WebhookSettings) -> Dispatcher {
        self.dispatcher_asking(Arc::new(SystemResolver), settings)
    }

    pub fn dispatcher_asking(&self, resolver: Arc<dyn Resolve>, settings: WebhookSettings) -> Dispatcher {
        Dispatcher::over(self.bus.clone(), Arc::new(SystemClock), resolver, settings)
    }

    pub async fn delivery(&self, id: Uuid) -> Delivery {
        outbox::get(self.database.pool(), id).await.unwrap().unwrap()
    }

    pub async fn attempts(&self, id: Uuid) -> Vec<Attempt> {
        outbox::attempts_of(self.database.pool(), id).await.unwrap()
    }

    pub async fn is_enabled(&self, endpoint: Uuid) -> bool {
        let endpoint: WebhookEndpoint = self.bus.load(&endpoint.to_string()).await.unwrap();
        matches!(endpoint, WebhookEndpoint::Registered { enabled: true, .. })
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub fn advance(&self, by: TimeDelta) {
        self.clock.advance_to(self.clock.now() + by);
    }
}

/// Passes until nothing is due and nothing is under way.
///
/// # Panics
/// When that takes longer than 20 seconds.
pub async fn work_off(dispatcher: &Dispatcher) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while dispatcher.pass().await.unwrap() == Progress::More {
        assert!(Instant::now() < deadline, "the dispatcher does not come to rest: {}", dispatcher.observe());
    }
}

/// A name server that knows these names and no others.
pub struct NameServer(HashMap<String, Vec<IpAddr>>);

impl NameServer {
    pub fn of(names: &[(&str, &[&str])]) -> Arc<Self> {
        let parsed = |addresses: &[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
        let entry = |(name, addresses): &(&str, &[&str])| ((*name).to_owned(), parsed(addresses));
        Arc::new(Self(names.iter().map(entry).collect()))
    }
}

impl Resolve for NameServer {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.0[name.as_str()].clone();
        let found = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
        Box::pin(async move { Ok(Box::new(found) as Addrs) })
    }
}
