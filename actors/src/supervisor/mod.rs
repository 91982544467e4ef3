//! The only file that knows the graph: which actors there are, and that they all run.
//!
//! 1. Every actor has a [`Place`] with a factory. It sits behind a doorbell (`doorbell.rs`) on a thread of its own
//!    kind: doorbells never compute, so one slow pass cannot keep another bell from being heard.
//! 2. Bells ring when the log grows, when the scheduler says that a session has closed, when somebody asks
//!    ([`Running::ring`]), and at least once per poll.
//! 3. Progress is watched, not existence: an actor that panicked, hangs or is gone is built again after a rest that
//!    doubles, as often as its budget allows (`budget.rs`), and is then reported as failed. The others go on, and the
//!    failed one is tried again when the budget's time has passed, in case somebody has repaired what it failed on.

mod budget;
mod doorbell;
mod idle;
mod place;
mod status;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use almanac_domain::calendar::Calendar;
use almanac_store::Database;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

pub use idle::NotIdle;
pub use place::{Factory, Place};
pub use status::{ActorReport, ActorState};

use crate::dispatcher::Dispatcher;
use crate::forecaster::{Forecaster, Understudy};
use crate::ingestor::Ingestor;
use crate::notary::Notary;
use crate::notifier::Notifier;
use crate::parts::Parts;
use crate::projector::Projector;
use crate::rebuilder::Rebuilder;
use crate::scheduler::Schedule;
use crate::scorer::Scorer;
use crate::sealer::{Listener, Sealer};
use crate::sources;
use crate::trade::{Trade, TradeError};
use crate::trainer::Trainer;
use crate::umpire::Umpire;
use doorbell::House;
use place::Post;
use status::Status;

/// How often the supervisor looks at its actors and at the clock.
const LOOK: Duration = Duration::from_millis(20);

/// How long passes may take to end when the service stops.
const GRACE: Duration = Duration::from_secs(10);

/// What a process does in the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Answers requests: it only hears how far the log is sealed.
    Api,
    /// Seals and projects: for commands that do one thing and end, and for nodes beside the workers.
    Log,
    /// Does all the work.
    Worker,
}

/// The actors of one process.
pub struct Service;

impl Service {
    /// Starts the actors of `roles`. It must be called inside a Tokio runtime, on which the passes run.
    pub fn start(parts: &Parts, roles: &[Role]) -> Running {
        Self::start_places(parts, graph(parts, roles))
    }

    /// Starts the actors of `places` only.
    pub fn start_places(parts: &Parts, places: Vec<Place>) -> Running {
        let house = House {
            database: parts.database.clone(),
            clock: Arc::clone(&parts.clock),
            runtime: Handle::current(),
            supervision: parts.settings.supervision.clone(),
            closing: Arc::new(AtomicBool::new(false)),
        };
        let statuses: Vec<_> =
            places.iter().map(|place| (place.name.clone(), Arc::<Status>::default())).collect();
        let bell = Arc::new(Notify::new());
        let (stop, stopped) = watch::channel(false);
        let schedule = Schedule::new(Calendar::of(&parts.settings.exchange), parts.settings.settle);
        let thread = {
            let (bell, statuses) = (Arc::clone(&bell), statuses.clone());
            std::thread::Builder::new().name("actors".to_owned()).spawn(move || {
                let posts = places.into_iter().zip(statuses);
                let posts = posts.map(|(place, (_, status))| Post::new(place, status, &house)).collect();
                actix::System::new().block_on(supervise(house, posts, schedule, bell, stopped));
            })
        };
        if let Err(error) = &thread {
            tracing::error!(%error, "the thread of the actors could not be started");
            for (_, status) in &statuses {
                status.give_up();
            }
        }
        Running(Arc::new(Shared {
            database: parts.database.clone(),
            statuses,
            bell,
            stop,
            thread: Mutex::new(thread.ok()),
        }))
    }
}

/// Every actor and what it is built from. To add one, add a line here and its file.
fn graph(parts: &Parts, roles: &[Role]) -> Vec<Place> {
    let mut places = vec![place(parts, "listener", |parts| Ok(Listener::new(&parts.database)))];
    if !roles.iter().any(|role| matches!(role, Role::Log | Role::Worker)) {
        return places;
    }
    places.push(place(parts, "sealer", |parts| Ok(Sealer::new(&parts.database))));
    for handler in almanac_projections::all() {
        let name = format!("projector of {}", handler.name());
        places
            .push(place(parts, name, move |parts| Ok(Projector::new(&parts.database, Arc::clone(&handler)))));
    }
    places.push(place(parts, "rebuilder", |parts| {
        Ok(Rebuilder::new(&parts.database, parts.entropy.uuid_v7(parts.clock.now())))
    }));
    places.push(place(parts, "notary", |parts| Ok(Notary::new(parts))));
    if !roles.contains(&Role::Worker) {
        return places;
    }
    places.push(place(parts, "ingestor", |parts| Ok(Ingestor::new(parts, sources::of(parts)?))));
    places.push(place(parts, "trainer", |parts| Ok(Trainer::new(parts))));
    places.push(place(parts, "forecaster", |parts| Ok(Forecaster::new(parts))));
    places.push(place(parts, "understudy", |parts| Ok(Understudy::new(parts))));
    places.push(place(parts, "scorer", |parts| Ok(Scorer::new(parts))));
    places.push(place(parts, "umpire", |parts| Ok(Umpire::new(parts))));
    places.push(place(parts, "notifier", |parts| Ok(Notifier::new(parts))));
    places.push(place(parts, "dispatcher", |parts| Ok(Dispatcher::new(parts))));
    places
}

fn place<T: Trade>(
    parts: &Parts,
    name: impl Into<String>,
    build: impl Fn(&Parts) -> Result<T, TradeError> + Send + 'static,
) -> Place {
    let parts = parts.clone();
    Place::new(name, move || build(&parts).map(|trade| Arc::new(trade) as Arc<dyn Trade>))
}

async fn supervise(
    house: House,
    mut posts: Vec<Post>,
    mut schedule: Schedule,
    bell: Arc<Notify>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut head = house.database.head();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut polled = Instant::now();
    loop {
        let ring = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Ok(()) = head.changed() => true,
            () = bell.notified() => true,
            _ = look.tick() => schedule.session_closed(house.clock.now()) || polled.elapsed() >= house.supervision.poll,
        };
        if ring {
            polled = Instant::now();
        }
        for post in &mut posts {
            post.attend(&house, ring);
        }
    }
    house.closing.store(true, Ordering::SeqCst);
    let began = Instant::now();
    while began.elapsed() < GRACE && posts.iter().any(|post| post.status.in_pass()) {
        look.tick().await;
    }
    for post in &posts {
        post.status.abandoned();
    }
}

/// The running actors. Clones are handles of the same ones; they stop when the last handle is gone.
#[derive(Clone)]
pub struct Running(Arc<Shared>);

struct Shared {
    database: Database,
    statuses: Vec<(String, Arc<Status>)>,
    bell: Arc<Notify>,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Running {
    /// Every actor as it is now.
    pub fn reports(&self) -> Vec<ActorReport> {
        self.0.statuses.iter().map(|(name, status)| status.report(name)).collect()
    }

    /// Makes every actor look whether something is due, as after a set clock was moved.
    pub fn ring(&self) {
        self.0.bell.notify_one();
    }

    /// Lets passes that have begun end, begins no other, and returns when all actors are gone.
    pub async fn stop(&self) {
        self.0.stop.send_replace(true);
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It ends by itself; only waiting for it blocks.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}
