//! A small life of the service, told through the command bus: every event type that can be stored happens in it.

use std::fmt::Display;
use std::sync::Arc;

use almanac_domain::account::Account;
use almanac_domain::account::vault::{ENDPOINT_SECRET, ENDPOINT_URL};
use almanac_domain::account::{AccountCommand, NotificationPreferences, Role};
use almanac_domain::clock::{Clock, SetClock};
use almanac_domain::values::Session;
use almanac_domain::watchlist::{Watchlist, WatchlistCommand};
use almanac_domain::webhook_endpoint::{WebhookEndpoint, WebhookEndpointCommand};
use almanac_projections::{accounts, all, watchlists, webhook_endpoints};
use almanac_store::Database;
use almanac_store::clock::Entropy;
use almanac_store::log::{CommandBus, Commanded, Extras, Issued, Subscription};
use almanac_store::testing::TestDatabase;
use almanac_store::vault::VaultRow;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

pub const ALICE: Uuid = Uuid::from_u128(0xa11ce);
pub const BOB: Uuid = Uuid::from_u128(0xb0b);
pub const CAROL: Uuid = Uuid::from_u128(0xca401);
pub const ALICES_LIST: Uuid = Uuid::from_u128(0xa1);
pub const BOBS_LIST: Uuid = Uuid::from_u128(0xb1);
pub const CAROLS_LIST: Uuid = Uuid::from_u128(0xc1);
pub const AAA: Uuid = Uuid::from_u128(0xaaa);
pub const BBB: Uuid = Uuid::from_u128(0xbbb);
pub const CCC: Uuid = Uuid::from_u128(0xccc);
pub const HOOK: Uuid = Uuid::from_u128(0x40);

pub struct Story {
    pub database: TestDatabase,
    pub clock: Arc<SetClock>,
    bus: CommandBus,
    told: u128,
    subscriptions: Vec<Subscription>,
}

impl Story {
    /// An empty log with every projection of this crate following it.
    pub async fn begin() -> Self {
        let database = TestDatabase::new().await;
        let clock = Arc::new(SetClock::at(day(2024, 1, 5).and_hms_opt(21, 30, 0).unwrap().and_utc()));
        let bus = CommandBus::new(database.clone(), clock.clone(), Entropy::seeded(1));
        let mut subscriptions = Vec::new();
        for handler in all() {
            subscriptions.push(Subscription::install(&database, handler).await.unwrap());
        }
        Self { database, clock, bus, told: 0, subscriptions }
    }

    /// The whole story, with every projection brought up to its end.
    pub async fn told() -> Self {
        let mut story = Self::begin().await;
        for chapter in CHAPTERS {
            chapter.tell(&mut story).await;
        }
        story.catch_up().await;
        story
    }

    pub fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub async fn does<A: Commanded>(&mut self, id: impl Display, command: A::Command) {
        self.does_with::<A>(id, command, Extras::none()).await;
    }

    pub async fn does_with<A: Commanded>(&mut self, id: impl Display, command: A::Command, extras: Extras) {
        self.told += 1;
        self.clock.advance_to(self.clock.now() + TimeDelta::seconds(1));
        let issued = Issued::new(Uuid::from_u128(0xc0_0000 + self.told));
        let done = self.bus.execute_with::<A>(&id.to_string(), command, &issued, extras).await;
        let done = done.unwrap_or_else(|error| panic!("{} {id}: {error}", A::TYPE));
        assert!(!done.events.is_empty(), "{} {id} did nothing", A::TYPE);
    }

    /// Tries what a rule may refuse.
    pub async fn tries<A: Commanded>(&mut self, id: impl Display, command: A::Command) -> bool {
        self.told += 1;
        self.clock.advance_to(self.clock.now() + TimeDelta::seconds(1));
        let issued = Issued::new(Uuid::from_u128(0xc0_0000 + self.told));
        self.bus.execute::<A>(&id.to_string(), command, &issued).await.is_ok()
    }

    /// Seals what has happened and brings every projection up to it; returns the last ordinal.
    pub async fn catch_up(&self) -> i64 {
        let head = self.database.seal().await;
        for subscription in &self.subscriptions {
            subscription.run_until(head).await.unwrap();
        }
        head
    }

    pub fn bus(&self) -> &CommandBus {
        &self.bus
    }

    pub fn subscriptions(&self) -> &[Subscription] {
        &self.subscriptions
    }

    pub async fn opens_account(&mut self, id: Uuid, email: &str) {
        let extras = Extras::none().take_claim("email", email, id).put_vault(VaultRow {
            id: Uuid::new_v5(&id, b"email"),
            owner: id,
            kind: accounts::EMAIL.into(),
            value: email.into(),
        });
        self.does_with::<Account>(id, AccountCommand::OpenAccount, extras).await;
    }

    pub async fn makes_list(&mut self, owner: Uuid, list: Uuid, name: &str, instruments: &[Uuid]) {
        let (row, extras) = named(owner, name);
        self.does_with::<Watchlist>(list, WatchlistCommand::CreateWatchlist { by: owner, name: row }, extras)
            .await;
        for instrument in instruments {
            let add = WatchlistCommand::AddToWatchlist { by: owner, instrument: *instrument };
            self.does::<Watchlist>(list, add).await;
        }
    }

    pub async fn registers_endpoint(&mut self, owner: Uuid, id: Uuid, event_types: &[&str]) {
        let register = WebhookEndpointCommand::RegisterEndpoint {
            by: owner,
            event_types: event_types.iter().map(ToString::to_string).collect(),
        };
        let row =
            |id, kind: &str, value: &str| VaultRow { id, owner, kind: kind.into(), value: value.into() };
        let extras = Extras::none()
            .put_vault(row(webhook_endpoints::url_row(id), ENDPOINT_URL, "https://example.com/hook"))
            .put_vault(row(webhook_endpoints::secret_row(id), ENDPOINT_SECRET, "whsec_c2VjcmV0"));
        self.does_with::<WebhookEndpoint>(id, register, extras).await;
    }
}

/// A transaction in which unqualified names mean the tables of the subscription `name`.
pub async fn own_tables(database: &Database, name: &str) -> Transaction<'static, Postgres> {
    let mut transaction = database.pool().begin().await.unwrap();
    sqlx::query(
        "select set_config('search_path', schema_name || ', public', true) from subscriptions where name = $1",
    )
    .bind(name)
    .execute(&mut *transaction)
    .await
    .unwrap();
    transaction
}

/// The vault row of a list's name.
fn named(owner: Uuid, name: &str) -> (Uuid, Extras) {
    let id = Uuid::new_v5(&owner, name.as_bytes());
    let row = VaultRow { id, owner, kind: watchlists::NAME_KIND.into(), value: name.into() };
    (id, Extras::none().put_vault(row))
}

pub fn day(year: i32, month: u32, day: u32) -> Session {
    Session::from_ymd_opt(year, month, day).unwrap()
}

/// The chapters of the story in order.
pub const CHAPTERS: [Chapter; 5] =
    [Chapter::People, Chapter::Market, Chapter::Training, Chapter::Rounds, Chapter::Endings];

#[derive(Clone, Copy)]
pub enum Chapter {
    People,
    Market,
    Training,
    Rounds,
    Endings,
}

impl Chapter {
    pub async fn tell(self, story: &mut Story) {
        match self {
            Self::People => people(story).await,
            Self::Market => crate::market::market(story).await,
            Self::Training => crate::market::training(story).await,
            Self::Rounds => crate::market::rounds(story).await,
            Self::Endings => endings(story).await,
        }
    }
}

/// Alice is administrator for a while and changes her mind about mails, Carol wants none, and Bob will leave.
async fn people(story: &mut Story) {
    use AccountCommand as A;
    use WatchlistCommand as W;
    story.opens_account(ALICE, "alice@example.com").await;
    story.opens_account(BOB, "bob@example.com").await;
    story.opens_account(CAROL, "carol@example.com").await;
    story.does::<Account>(ALICE, A::ConfirmEmail).await;
    story.does::<Account>(ALICE, A::GrantRole { role: Role::Admin }).await;
    story.does::<Account>(ALICE, A::RevokeRole { role: Role::Admin }).await;
    story.does::<Account>(ALICE, A::GrantRole { role: Role::Admin }).await;
    for (account, session_mail) in [(ALICE, false), (ALICE, true), (CAROL, false)] {
        let preferences = NotificationPreferences { session_mail };
        story.does::<Account>(account, A::SetNotificationPreferences { preferences }).await;
    }
    story.does::<Account>(ALICE, A::Suspend).await;
    story.does::<Account>(ALICE, A::Reinstate).await;
    story.makes_list(ALICE, ALICES_LIST, "Mine", &[AAA, BBB]).await;
    let (name, extras) = named(ALICE, "My favourites");
    story.does_with::<Watchlist>(ALICES_LIST, W::RenameWatchlist { by: ALICE, name }, extras).await;
    story.does::<Watchlist>(ALICES_LIST, W::RemoveFromWatchlist { by: ALICE, instrument: BBB }).await;
    story.makes_list(BOB, BOBS_LIST, "Bob's", &[AAA, BBB]).await;
    story.makes_list(CAROL, CAROLS_LIST, "Carol's", &[AAA]).await;
    story.makes_list(ALICE, Uuid::from_u128(0xa2), "For a day", &[CCC]).await;
    story.does::<Watchlist>(Uuid::from_u128(0xa2), W::DeleteWatchlist { by: ALICE }).await;
    endpoints(story).await;
}

async fn endpoints(story: &mut Story) {
    use WebhookEndpointCommand as H;
    story.registers_endpoint(ALICE, HOOK, &["*"]).await;
    let event_types = ["prediction.published", "prediction.scored", "round.completed", "model.promoted"];
    let event_types = event_types.map(str::to_owned).to_vec();
    story
        .does::<WebhookEndpoint>(HOOK, H::ChangeEndpoint { by: ALICE, event_types: Some(event_types) })
        .await;
    story.does::<WebhookEndpoint>(HOOK, H::RotateSecret { by: ALICE, seen: 0 }).await;
    story.does::<WebhookEndpoint>(HOOK, H::DisableEndpoint { by: None, reason: "failing".into() }).await;
    story.does::<WebhookEndpoint>(HOOK, H::EnableEndpoint { by: ALICE }).await;
    story.registers_endpoint(ALICE, Uuid::from_u128(0x41), &["*"]).await;
    story.does::<WebhookEndpoint>(Uuid::from_u128(0x41), H::RemoveEndpoint { by: ALICE }).await;
    story.registers_endpoint(BOB, Uuid::from_u128(0x42), &["round.completed"]).await;
}

async fn endings(story: &mut Story) {
    let extras = Extras::erasing(BOB);
    story.does_with::<Account>(BOB, AccountCommand::Erase, extras).await;
}
