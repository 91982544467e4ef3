//! Projectors whose handlers panic, fail or hang, and the rebuilder that another node has kept from its work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use almanac_actors::Parts;
use almanac_actors::projector::Projector;
use almanac_actors::rebuilder::{Rebuilder, lease_of};
use almanac_actors::supervisor::{ActorReport, ActorState, Place, Running, Service};
use almanac_actors::trade::Trade;
use almanac_domain::values::Mode;
use almanac_domain::watchlist::{Watchlist, WatchlistCommand};
use almanac_store::log::rebuild::{Build, BuildState};
use almanac_store::log::{Handler, HandlerError, Issued, LogReader, Recorded, State, Subscription};
use almanac_store::{Database, leases};
use async_trait::async_trait;
use sqlx::PgConnection;

use crate::world::{PATIENCE, World, day};

/// Notes every event it is given, and does what its script says of the how manyeth time it is given one.
struct Scripted {
    name: &'static str,
    schema: &'static str,
    given: Arc<AtomicUsize>,
    script: fn(usize) -> Act,
}

enum Act {
    Note,
    Panic,
    Fail,
    Hang,
}

#[async_trait]
impl Handler for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> i32 {
        1
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Some(self.schema)
    }

    async fn apply(&self, connection: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        let table = self.schema.split(' ').nth(2).unwrap();
        let note = format!("insert into {table} values ($1)");
        sqlx::query(&note).bind(event.ordinal).execute(connection).await?;
        match (self.script)(self.given.fetch_add(1, Ordering::SeqCst) + 1) {
            Act::Note => Ok(()),
            Act::Panic => panic!("the script says so"),
            Act::Fail => Err(HandlerError::Unfit("the script says so".into())),
            Act::Hang => std::future::pending().await,
        }
    }
}

fn projector(
    parts: &Parts,
    name: &'static str,
    schema: &'static str,
    script: fn(usize) -> Act,
) -> (Place, Arc<AtomicUsize>) {
    let given = Arc::new(AtomicUsize::new(0));
    let handler = Arc::new(Scripted { name, schema, given: Arc::clone(&given), script });
    let database = parts.database.clone();
    let place =
        Place::new(name, move || Ok(Arc::new(Projector::new(&database, handler.clone())) as Arc<dyn Trade>));
    (place, given)
}

async fn world() -> World {
    let mut world = World::at_the_close_of(day("2024-01-05"), Mode::Simulated).await;
    world.settings.supervision.poll = Duration::from_millis(50);
    world.settings.supervision.first_pause = Duration::from_millis(5);
    world.settings.supervision.longest_pause = Duration::from_millis(40);
    // Long beside what a panic takes to print its backtrace.
    world.settings.supervision.patience = Duration::from_secs(1);
    world.settings.supervision.budget = 3;
    world
}

/// Makes events and seals them, where no actor does; the last ordinal.
async fn happen(world: &World, parts: &Parts, events: usize) -> i64 {
    write(parts, events).await;
    world.database.seal().await
}

async fn write(parts: &Parts, events: usize) {
    let new = || parts.entropy.uuid_v7(parts.clock.now());
    for _ in 0..events {
        let create = WatchlistCommand::CreateWatchlist { by: new(), name: new() };
        parts.bus.execute::<Watchlist>(&new().to_string(), create, &Issued::new(new())).await.unwrap();
    }
}

async fn noted(database: &Database, table: &str) -> Vec<i64> {
    let noted = format!("select ordinal from {table} order by ordinal");
    sqlx::query_scalar(&noted).fetch_all(database.pool()).await.unwrap()
}

async fn position(database: &Database, name: &str) -> i64 {
    let all = Subscription::all(database).await.unwrap();
    all.into_iter().find(|status| status.name == name).map_or(0, |status| status.position)
}

fn report(running: &Running, name: &str) -> ActorReport {
    running.reports().into_iter().find(|report| report.name == name).unwrap()
}

async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_16_a_projector_whose_handler_panics_or_hangs_goes_on_after_a_rest_with_each_effect_once() {
    let world = world().await;
    let parts = world.parts();
    let head = happen(&world, &parts, 4).await;
    let (panics, _) =
        projector(&parts, "panics", "create table panicked (ordinal bigint not null)", |time| {
            if time == 2 || time == 3 { Act::Panic } else { Act::Note }
        });
    let (hangs, _) = projector(&parts, "hangs", "create table hung (ordinal bigint not null)", |time| {
        if time == 3 { Act::Hang } else { Act::Note }
    });
    let running = Service::start_places(&parts, vec![panics, hangs]);
    running.run_until_idle(PATIENCE).await.unwrap();
    for (name, table, restarts) in [("panics", "panicked", 2), ("hangs", "hung", 1)] {
        let report = report(&running, name);
        assert_eq!((report.state, report.restarts), (ActorState::Waiting, restarts), "{report:?}");
        assert_eq!(noted(&world.database, table).await, (1..=head).collect::<Vec<_>>(), "{name}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_16_a_projector_that_always_hangs_panics_or_fails_turns_red_and_the_others_go_on() {
    let world = world().await;
    let parts = world.parts();
    happen(&world, &parts, 2).await;
    let (hangs, given) =
        projector(&parts, "hangs", "create table hung (ordinal bigint not null)", |_| Act::Hang);
    let (panics, _) =
        projector(&parts, "panics", "create table panicked (ordinal bigint not null)", |_| Act::Panic);
    let (fails, _) =
        projector(&parts, "fails", "create table failed (ordinal bigint not null)", |_| Act::Fail);
    let (calm, _) = projector(&parts, "calm", "create table calmly (ordinal bigint not null)", |_| Act::Note);
    let running = Service::start_places(&parts, vec![hangs, panics, fails, calm]);
    for name in ["hangs", "panics"] {
        until("it is given up", || async { report(&running, name).state == ActorState::Failed }).await;
    }
    assert_eq!(given.load(Ordering::SeqCst), 4, "once, and once for each of the budget of three");
    let error = report(&running, "hangs").error.unwrap_or_default();
    assert!(error.starts_with("hung: a pass took longer than"), "{error}");
    // Of a bad event it is the subscription that is red; its projector only waits for somebody to look.
    let stopped = Subscription::all(&parts.database).await.unwrap();
    let stopped = stopped.iter().find(|status| status.name == "fails").unwrap();
    assert_eq!((stopped.state, stopped.failed_ordinal), (State::Stopped, Some(1)));
    assert!(
        report(&running, "fails").error.unwrap().contains("event 1 cannot be applied: the script says so")
    );

    let head = happen(&world, &parts, 3).await;
    until("the other one goes on", || async { position(&parts.database, "calm").await == head }).await;
    assert_eq!(noted(&world.database, "calmly").await, (1..=head).collect::<Vec<_>>());
    for (name, table) in [("hangs", "hung"), ("panics", "panicked"), ("fails", "failed")] {
        assert_eq!(position(&parts.database, name).await, 0, "{name}");
        assert_eq!(noted(&world.database, table).await, Vec::<i64>::new(), "{name}");
    }
    running.stop().await;
}

async fn build(subscription: &Subscription) -> Build {
    subscription.builds().await.unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_19_the_rebuilder_waits_for_the_lease_of_another_node_and_keeps_none_for_tables_it_does_not_fill()
 {
    let world = World::at_the_close_of(day("2024-01-05"), Mode::Simulated).await;
    let (parts, running) = world.keep_the_log().await;
    write(&parts, 20).await;
    running.run_until_idle(PATIENCE).await.unwrap();
    running.stop().await;
    let head = LogReader::new(&parts.database).head().await.unwrap();
    let mut every = vec![];
    for handler in almanac_projections::all() {
        every.push(Subscription::install(&parts.database, handler).await.unwrap());
    }
    let lists = every.iter().find(|one| one.name() == "watchlists").unwrap().clone();
    lists.request_rebuild(None).await.unwrap();
    // Another node has begun, and was killed over it.
    let (pool, dead) = (parts.database.pool(), parts.entropy.uuid_v7(parts.clock.now()));
    let lease = lease_of(&every);
    let theirs =
        leases::take(&parts.database, &lease, dead, Duration::from_secs(600)).await.unwrap().unwrap();

    let holder = parts.entropy.uuid_v7(parts.clock.now());
    let rebuilder = Rebuilder::new(&parts.database, holder);
    for _ in 0..3 {
        rebuilder.pass().await.unwrap();
    }
    assert_eq!((build(&lists).await.state, build(&lists).await.ordinal), (BuildState::Warming, 0));
    assert_eq!(rebuilder.observe()["builds"][0]["state"], "warming");
    assert!(leases::renew(pool, &theirs, Duration::from_secs(600)).await.unwrap(), "nobody has taken it");
    until("it is compared", || async {
        rebuilder.pass().await.unwrap();
        build(&lists).await.compared_at.is_some()
    })
    .await;
    let ready = build(&lists).await;
    assert_eq!((ready.state, ready.ordinal, ready.differences), (BuildState::Ready, head, vec![]));

    // Tables of another version are none of its business: it hands the lease on rather than keep others from theirs.
    let of_another = "update projection_builds set version = version + $1 where name = 'watchlists'";
    sqlx::query(of_another).bind(1).execute(pool).await.unwrap();
    rebuilder.pass().await.unwrap();
    let free = leases::take(&parts.database, &lease, dead, Duration::from_secs(600)).await.unwrap().unwrap();
    leases::release(pool, &free).await.unwrap();
    sqlx::query(of_another).bind(-1).execute(pool).await.unwrap();
    rebuilder.pass().await.unwrap();

    // Its work is done: it keeps what it has built level, and hands the lease on when nothing is left.
    lists.drop_builds().await.unwrap();
    rebuilder.pass().await.unwrap();
    let next = leases::take(&parts.database, &lease, dead, Duration::from_secs(600)).await.unwrap();
    assert!(next.is_some(), "it has resigned");
}
