//! A database in which one reader watches two stocks of a round that is complete.

use std::sync::Arc;
use std::time::Duration;

use almanac_actors::notifier::{LinkSecret, MailSettings, MailTransport, Notifier, sender};
use almanac_actors::trade::{Progress, Trade};
use almanac_domain::account::{Account, AccountCommand, NotificationPreferences};
use almanac_domain::calendar::Calendar;
use almanac_domain::clock::{Clock, SetClock};
use almanac_domain::forecast_round::{ForecastRound, ForecastRoundCommand, RoundCompleted, RoundOpened};
use almanac_domain::ids;
use almanac_domain::instrument::{Instrument, InstrumentCommand, InstrumentListed};
use almanac_domain::prediction::{
    Abstention, Forecast, Interval, Prediction, PredictionAbstained, PredictionCommand, PredictionPublished,
    Quantile, Role, Slot,
};
use almanac_domain::scoring;
use almanac_domain::values::{
    Digest, Exchange, Horizon, LogReturn, Measure, Mode, ModelName, Price, Probability, Session, Symbol,
};
use almanac_domain::watchlist::{Watchlist, WatchlistCommand};
use almanac_projections::accounts;
use almanac_store::clock::Entropy;
use almanac_store::log::{CommandBus, Extras, Issued, Subscription};
use almanac_store::outbox::mail::{MailState, latest};
use almanac_store::testing::TestDatabase;
use almanac_store::vault::VaultRow;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use uuid::Uuid;

pub const READER: &str = "ada@example.com";

/// The database, the clock and the bus of a service in the middle of its life.
pub struct World {
    pub database: TestDatabase,
    pub clock: Arc<SetClock>,
    pub bus: CommandBus,
    pub reader: Uuid,
    round: Uuid,
}

pub fn secret() -> LinkSecret {
    LinkSecret::new(&[7; 32]).unwrap()
}

/// The settings of a mail server on loopback.
pub fn smtp(port: u16, rest: &str) -> MailSettings {
    MailSettings {
        transport: MailTransport::Smtp(format!("smtp://127.0.0.1:{port}{rest}").parse().unwrap()),
        from: sender("Almanac <almanac@example.com>").unwrap(),
        public_url: "https://almanac.example/".parse().unwrap(),
        link_secret: Some(secret()),
        ..MailSettings::default()
    }
}

fn session() -> Session {
    Session::from_ymd_opt(2024, 3, 4).unwrap()
}

fn model() -> ModelName {
    "us-daily".parse().unwrap()
}

fn digest() -> Digest {
    "a".repeat(64).parse().unwrap()
}

fn log_return(value: f64) -> LogReturn {
    LogReturn::from_f64(value).unwrap()
}

impl World {
    /// The round of 4 March 2024 is complete: AAA is forecast one session ahead and abstained from five ahead, BBB is
    /// the same, and the reader with this address watches both.
    pub async fn with_reader(address: &str) -> Self {
        let database = TestDatabase::new().await;
        let clock = Arc::new(SetClock::at(Calendar::UnitedStates.closes_at(session()) + TimeDelta::hours(1)));
        let bus = CommandBus::new(database.clone(), Arc::clone(&clock) as Arc<dyn Clock>, Entropy::seeded(1));
        let round = ids::forecast_round(&model(), session());
        let world = Self { database, clock, bus, reader: Uuid::from_u128(100), round };
        let instruments = [world.list("AAA", "Anvils & Arrows").await, world.list("BBB", "Boats").await];
        world.open_account(address).await;
        world.watch(&instruments).await;
        world.publish(&instruments).await;
        world.project().await;
        world
    }

    fn issued(&self) -> Issued {
        Issued::new(self.bus.entropy().uuid_v7(self.clock.now()))
    }

    async fn list(&self, symbol: &str, name: &str) -> Uuid {
        let (exchange, symbol): (Exchange, Symbol) = ("XNYS".parse().unwrap(), symbol.parse().unwrap());
        let id = ids::instrument(&exchange, &symbol, session());
        let (name, sector) = (Some(name.to_owned()), None);
        let listed = InstrumentListed { exchange, symbol, first_session: session(), name, sector };
        let command = InstrumentCommand::ListInstrument(listed);
        self.bus.execute::<Instrument>(&id.to_string(), command, &self.issued()).await.unwrap();
        id
    }

    async fn open_account(&self, address: &str) {
        let (id, owner) = (self.bus.entropy().uuid_v7(self.clock.now()), self.reader);
        let email = VaultRow { id, owner, kind: accounts::EMAIL.to_owned(), value: address.to_owned() };
        let (id, issued) = (owner.to_string(), self.issued());
        let extras = Extras::none().put_vault(email);
        self.bus.execute_with::<Account>(&id, AccountCommand::OpenAccount, &issued, extras).await.unwrap();
    }

    async fn account(&self, command: AccountCommand, extras: Extras) {
        let (id, issued) = (self.reader.to_string(), self.issued());
        self.bus.execute_with::<Account>(&id, command, &issued, extras).await.unwrap();
        self.project().await;
    }

    pub async fn erase_reader(&self) {
        self.account(AccountCommand::Erase, Extras::none().forget_vault_of(self.reader)).await;
    }

    pub async fn stop_session_mails(&self) {
        let preferences = NotificationPreferences { session_mail: false };
        self.account(AccountCommand::SetNotificationPreferences { preferences }, Extras::none()).await;
    }

    async fn watch(&self, instruments: &[Uuid]) {
        let list = Uuid::from_u128(200).to_string();
        let create = WatchlistCommand::CreateWatchlist { by: self.reader, name: Uuid::from_u128(201) };
        self.bus.execute::<Watchlist>(&list, create, &self.issued()).await.unwrap();
        for instrument in instruments {
            let add = WatchlistCommand::AddToWatchlist { by: self.reader, instrument: *instrument };
            self.bus.execute::<Watchlist>(&list, add, &self.issued()).await.unwrap();
        }
    }

    async fn publish(&self, instruments: &[Uuid]) {
        let round = self.round.to_string();
        let (version, mode, now) = (3, Mode::Simulated, self.clock.now());
        let (model, session, dataset) = (model(), session(), digest());
        let opened = RoundOpened { model: model.clone(), version, session, mode, dataset, opened_at: now };
        let open = ForecastRoundCommand::OpenRound(opened);
        self.bus.execute::<ForecastRound>(&round, open, &self.issued()).await.unwrap();
        for instrument in instruments {
            let publication = published(self.slot(*instrument, 1), now);
            self.predict(*instrument, 1, PredictionCommand::PublishPrediction(Box::new(publication))).await;
            let (slot, reason) = (self.slot(*instrument, 5), Abstention::TooLittleHistory);
            let abstained = PredictionAbstained { slot, reason, abstained_at: now };
            self.predict(*instrument, 5, PredictionCommand::Abstain(Box::new(abstained))).await;
        }
        let (published, abstained, calibration) = (2, 2, Vec::new());
        let completed = RoundCompleted {
            model,
            version,
            session,
            mode,
            published,
            abstained,
            calibration,
            completed_at: now,
        };
        let complete = ForecastRoundCommand::CompleteRound(completed);
        self.bus.execute::<ForecastRound>(&round, complete, &self.issued()).await.unwrap();
    }

    async fn predict(&self, instrument: Uuid, sessions: u32, command: PredictionCommand) {
        let horizon = Horizon::new(sessions).unwrap();
        let id = ids::prediction(&model(), instrument, session(), horizon, Role::Published).to_string();
        self.bus.execute::<Prediction>(&id, command, &self.issued()).await.unwrap();
    }

    fn slot(&self, instrument: Uuid, sessions: u32) -> Slot {
        let (calendar, horizon) = (Calendar::UnitedStates, Horizon::new(sessions).unwrap());
        let target = calendar.ahead(session(), horizon);
        Slot {
            model: model(),
            version: 3,
            model_sequence: 2,
            role: Role::Published,
            round: self.round,
            instrument,
            as_of: session(),
            horizon,
            target,
            target_closes_at: calendar.closes_at(target),
            next_opens_at: calendar.opens_at(calendar.next(session())),
            mode: Mode::Simulated,
            dataset: digest(),
        }
    }

    /// Brings every table level with the log.
    pub async fn project(&self) {
        let head = self.database.seal().await;
        for handler in almanac_projections::all() {
            let subscription = Subscription::install(&self.database, handler).await.unwrap();
            subscription.run_until(head).await.unwrap();
        }
    }

    pub fn notifier(&self, settings: MailSettings) -> Notifier {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Notifier::over(self.database.clone(), clock, Entropy::seeded(2), settings)
    }

    /// The only mail of this world, as the outbox knows it.
    pub async fn mail(&self) -> MailState {
        let mut mails = latest(self.database.pool(), 10).await.unwrap();
        assert_eq!(mails.len(), 1, "one mail for one reader and one round");
        mails.remove(0)
    }

    pub fn advance(&self, by: TimeDelta) {
        self.clock.advance_to(self.clock.now() + by);
    }
}

/// Expects +1%, four times in five between -2% and +4%, with a chance of 57% for a rise from a close of 100.
fn published(slot: Slot, published_at: DateTime<Utc>) -> PredictionPublished {
    let interval = |low: f64, high: f64| Interval { low: log_return(low), high: log_return(high) };
    let quantile = |level, value: f64| Quantile {
        level: Probability::from_f64(level).unwrap(),
        value: log_return(value),
    };
    let forecast = Forecast {
        close: Price::from_f64(100.0).unwrap(),
        expected: log_return(1.01_f64.ln()),
        scale: log_return(0.015),
        probability_up: Probability::from_f64(0.57).unwrap(),
        interval_80: interval(0.98_f64.ln(), 1.04_f64.ln()),
        interval_95: interval(0.96_f64.ln(), 1.06_f64.ln()),
        quantiles: vec![quantile(0.1, -0.02), quantile(0.5, 0.01), quantile(0.9, 0.04)],
        drift: log_return(0.0005),
        half_width_80: Measure::from_f64(1.3).unwrap(),
        half_width_95: Measure::from_f64(2.3).unwrap(),
        volatility: Some(log_return(0.0243)),
        fifths: Some([0.17, 0.19, 0.2, 0.21, 0.23].map(|chance| Probability::from_f64(chance).unwrap())),
    };
    let (scoring_rule, void_after_sessions) = (scoring::RULE.to_owned(), 10);
    PredictionPublished { slot, forecast, scoring_rule, void_after_sessions, published_at }
}

/// Passes until nothing is due.
///
/// # Panics
/// When that takes longer than 20 seconds.
pub async fn work_off(notifier: &Notifier) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while notifier.pass().await.unwrap() == Progress::More {
        assert!(Instant::now() < deadline, "the notifier does not come to rest: {}", notifier.observe());
    }
}
