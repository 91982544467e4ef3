//! One service with a database, a folder and a clock of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use almanac_actors::notifier::MailTransport;
use almanac_actors::settings::SourceSettings;
use almanac_actors::supervisor::{Role, Running, Service};
use almanac_actors::{Parts, Settings};
use almanac_domain::calendar::Calendar;
use almanac_domain::clock::SetClock;
use almanac_domain::values::{Mode, Session};
use almanac_ml::simulator::{self, Market};
use almanac_store::Database;
use almanac_store::clock::Entropy;
use almanac_store::log::{LogReader, Recorded};
use almanac_store::objects::Objects;
use almanac_store::testing::{ScratchFolder, TestDatabase};

/// Longer than anything here takes on a busy machine; nothing waits for it that goes well.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub const CALENDAR: Calendar = Calendar::UnitedStates;

pub struct World {
    pub database: TestDatabase,
    pub folder: ScratchFolder,
    pub clock: Arc<SetClock>,
    pub settings: Settings,
}

impl World {
    /// A service without sources, its clock at the close of `session`.
    pub async fn at_the_close_of(session: Session, mode: Mode) -> Self {
        let folder = ScratchFolder::new();
        let mut settings = Settings { mode, ..Settings::default() };
        // The quickest of those that learn something of every feature.
        "ridge".clone_into(&mut settings.training.family);
        settings.mail.transport = MailTransport::Folder(folder.join("outbox"));
        let clock = Arc::new(SetClock::at(CALENDAR.closes_at(session)));
        Self { database: TestDatabase::new().await, folder, clock, settings }
    }

    /// Eight invented companies over three years, the clock at the close of the last session but `left`.
    pub async fn simulated(left: usize) -> (Self, Vec<Session>) {
        Self::simulated_with(8, left).await
    }

    /// The same with another number of companies; fewer than twenty are not ranked.
    pub async fn simulated_with(companies: usize, left: usize) -> (Self, Vec<Session>) {
        let market = simulator::Settings::of_years(companies, 3, 5);
        let sessions = Market::new(&market).sessions().to_vec();
        let today = sessions[sessions.len() - 1 - left];
        let mut world = Self::at_the_close_of(today, Mode::Simulated).await;
        world.settings.sources = vec![SourceSettings::Simulator(market)];
        world.settings.training.lease = Duration::from_secs(1);
        (world, sessions)
    }

    /// What a process that has just started would build.
    pub fn parts(&self) -> Parts {
        self.parts_over(self.database.database().clone())
    }

    pub fn parts_over(&self, database: Database) -> Parts {
        let objects = Objects::in_folder(&self.folder.join("objects")).unwrap();
        let clock = self.clock.clone();
        Parts::new(database, objects, clock, Entropy::system(), self.settings.clone())
    }

    /// The whole service. To be called inside a runtime, on which it runs.
    pub fn serve(&self) -> (Parts, Running) {
        let parts = self.parts();
        let running = Service::start(&parts, &[Role::Api, Role::Worker]);
        (parts, running)
    }

    /// Sealing and projections alone, as for a command on the command line.
    pub async fn keep_the_log(&self) -> (Parts, Running) {
        let parts = self.parts();
        let running = Service::start(&parts, &[Role::Log]);
        running.run_until_idle(PATIENCE).await.unwrap();
        (parts, running)
    }

    pub fn close(&self, session: Session) {
        self.clock.advance_to(CALENDAR.closes_at(session));
    }

    pub fn write(&self, name: &str, content: &str) {
        let path = self.folder.join("in").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn inbox(&self) -> std::path::PathBuf {
        self.folder.join("in")
    }
}

/// Every sealed event.
pub async fn events(database: &Database) -> Vec<Recorded> {
    LogReader::new(database).after(0, 1_000_000).await.unwrap()
}

/// How many sealed events have this name.
pub async fn count(database: &Database, event_type: &str) -> usize {
    events(database).await.iter().filter(|event| event.event_type == event_type).count()
}

pub fn day(text: &str) -> Session {
    text.parse().unwrap()
}

/// Writes `bars.csv`, `headlines.csv`, `actions.csv` and `instruments.csv` of a simulated market.
pub fn write_market(folder: &Path, market: &Market, sessions: &[Session]) {
    std::fs::create_dir_all(folder).unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    write("bars.csv", simulator::csv::bars(market, sessions));
    write("headlines.csv", simulator::csv::headlines(market, sessions));
    write("actions.csv", simulator::csv::actions(market, sessions));
    write("instruments.csv", simulator::csv::instruments(market));
}
