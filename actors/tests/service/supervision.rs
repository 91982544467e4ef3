//! Actors that panic, fail, hang and are rung a million times.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use almanac_actors::supervisor::{ActorReport, ActorState, NotIdle, Place, Running, Service};
use almanac_actors::trade::{Progress, Trade, TradeError};
use almanac_domain::values::Mode;
use async_trait::async_trait;

use crate::world::{PATIENCE, World, day};

/// A trade that does what its number of the pass says, counted over all its rebuilds.
struct Scripted {
    passes: Arc<AtomicUsize>,
    script: fn(usize) -> Act,
}

enum Act {
    Idle,
    Panic,
    Fail,
    Hang,
}

#[async_trait]
impl Trade for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    async fn pass(&self) -> Result<Progress, TradeError> {
        match (self.script)(self.passes.fetch_add(1, Ordering::SeqCst) + 1) {
            Act::Idle => Ok(Progress::Idle),
            Act::Panic => panic!("the script says so"),
            Act::Fail => Err(TradeError::broken("could not follow the script")("it says so")),
            Act::Hang => std::future::pending().await,
        }
    }
}

fn scripted(name: &str, script: fn(usize) -> Act) -> (Place, Arc<AtomicUsize>) {
    let passes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&passes);
    let place = Place::new(name, move || {
        Ok(Arc::new(Scripted { passes: Arc::clone(&counted), script }) as Arc<dyn Trade>)
    });
    (place, passes)
}

async fn world() -> World {
    let mut world = World::at_the_close_of(day("2024-01-05"), Mode::Simulated).await;
    world.settings.supervision.first_pause = Duration::from_millis(5);
    world.settings.supervision.longest_pause = Duration::from_millis(40);
    // Long beside what a panic takes to print its backtrace.
    world.settings.supervision.patience = Duration::from_secs(2);
    world.settings.supervision.budget = 4;
    world
}

fn report(running: &Running, name: &str) -> ActorReport {
    running.reports().into_iter().find(|report| report.name == name).unwrap()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_16_an_actor_that_panics_fails_or_hangs_is_built_again_and_the_others_go_on() {
    let world = world().await;
    let (panics, _) = scripted("panics", |pass| if pass <= 2 { Act::Panic } else { Act::Idle });
    let (fails, _) = scripted("fails", |pass| if pass <= 2 { Act::Fail } else { Act::Idle });
    let (hangs, _) = scripted("hangs", |pass| if pass == 1 { Act::Hang } else { Act::Idle });
    let (calm, passes) = scripted("calm", |_| Act::Idle);
    let running = Service::start_places(&world.parts(), vec![panics, fails, hangs, calm]);
    running.run_until_idle(PATIENCE).await.unwrap();
    for (name, restarts) in [("panics", 2), ("fails", 2), ("hangs", 1), ("calm", 0)] {
        let report = report(&running, name);
        assert_eq!(
            (report.state, report.restarts, &report.error),
            (ActorState::Waiting, restarts, &None),
            "{name}"
        );
    }
    assert!(passes.load(Ordering::SeqCst) >= 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_16_an_actor_that_always_panics_is_given_up_when_its_budget_is_spent() {
    let world = world().await;
    let (broken, tries) = scripted("broken", |_| Act::Panic);
    let (calm, passes) = scripted("calm", |_| Act::Idle);
    let began = Instant::now();
    let running = Service::start_places(&world.parts(), vec![broken, calm]);
    until("the broken actor is given up", || report(&running, "broken").state == ActorState::Failed).await;
    assert_eq!(tries.load(Ordering::SeqCst), 5, "once, and once for each of the budget of four");
    assert!(began.elapsed() >= Duration::from_millis(5 + 10 + 20 + 40), "the rests double");
    assert_eq!(report(&running, "broken").error.as_deref(), Some("panicked: the script says so"));
    let before = passes.load(Ordering::SeqCst);
    running.ring();
    until("the other one goes on", || passes.load(Ordering::SeqCst) > before).await;
    assert!(matches!(
        running.run_until_idle(PATIENCE).await,
        Err(NotIdle::GivenUp { actor, .. }) if actor == "broken"
    ));
    running.stop().await;
}

/// Work that is only known by looking, and takes its time.
struct Slow {
    due: Arc<AtomicUsize>,
    passes: Arc<AtomicUsize>,
}

#[async_trait]
impl Trade for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    async fn pass(&self) -> Result<Progress, TradeError> {
        self.passes.fetch_add(1, Ordering::SeqCst);
        let due = self.due.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.due.fetch_sub(due, Ordering::SeqCst);
        Ok(if due == 0 { Progress::Idle } else { Progress::More })
    }
}

/// The memory this process holds, in MiB.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_24_a_million_rings_cost_nothing_and_lose_no_work() {
    let world = world().await;
    let (due, passes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let place = {
        let (due, passes) = (Arc::clone(&due), Arc::clone(&passes));
        Place::new("slow", move || {
            Ok(Arc::new(Slow { due: Arc::clone(&due), passes: Arc::clone(&passes) }) as Arc<dyn Trade>)
        })
    };
    let running = Service::start_places(&world.parts(), vec![place]);
    for _ in 0..1_000 {
        running.ring();
    }
    let (began, before) = (Instant::now(), resident_mib());
    let mut most_held = before;
    for ring in 0..1_000_000 {
        if ring % 1_000 == 0 {
            due.fetch_add(1, Ordering::SeqCst);
        }
        running.ring();
        if ring % 100_000 == 0 {
            most_held = most_held.max(resident_mib());
        }
    }
    let rung_for = began.elapsed();
    let grown = most_held.max(resident_mib()).saturating_sub(before);
    println!("a million rings in {rung_for:?}: {before} MiB before, at most {grown} MiB more");
    // A million messages that wait are some 80 MiB.
    assert!(grown < 32, "memory grew by {grown} MiB");
    running.run_until_idle(PATIENCE).await.unwrap();
    assert_eq!(due.load(Ordering::SeqCst), 0, "no work is lost");
    let most = 20 + rung_for.as_millis() as usize / 20 * 2;
    assert!(passes.load(Ordering::SeqCst) < most, "{} passes", passes.load(Ordering::SeqCst));
    running.stop().await;
}

/// Work that is found only by a look that begins after it came, and a pass that is held open until it is let go.
struct Held {
    due: Arc<AtomicUsize>,
    passes: Arc<AtomicUsize>,
    gate: Arc<tokio::sync::Semaphore>,
}

#[async_trait]
impl Trade for Held {
    fn name(&self) -> &'static str {
        "held"
    }

    async fn pass(&self) -> Result<Progress, TradeError> {
        let found = self.due.swap(0, Ordering::SeqCst);
        self.passes.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        Ok(if found == 0 { Progress::Idle } else { Progress::More })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_24_a_ring_during_a_pass_is_remembered() {
    let mut world = world().await;
    // Only a bell brings it to look again.
    world.settings.supervision.poll = Duration::from_secs(3_600);
    world.settings.supervision.patience = Duration::from_secs(3_600);
    let (due, passes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let place = {
        let (due, passes, gate) = (Arc::clone(&due), Arc::clone(&passes), Arc::clone(&gate));
        Place::new("held", move || {
            let (due, passes, gate) = (Arc::clone(&due), Arc::clone(&passes), Arc::clone(&gate));
            Ok(Arc::new(Held { due, passes, gate }) as Arc<dyn Trade>)
        })
    };
    let (calm, heard) = scripted("calm", |_| Act::Idle);
    let running = Service::start_places(&world.parts(), vec![place, calm]);
    until("a pass has begun and found nothing", || passes.load(Ordering::SeqCst) == 1).await;
    due.store(1, Ordering::SeqCst);
    // Bells are rung in the order of the places: when the second one has heard this one twice, so has the first.
    for _ in 0..2 {
        let before = heard.load(Ordering::SeqCst);
        running.ring();
        until("everybody has heard it", || heard.load(Ordering::SeqCst) > before).await;
    }
    gate.add_permits(100);
    until("the ring is answered by a look", || due.load(Ordering::SeqCst) == 0).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_a_pass_end_and_begins_no_other() {
    let world = world().await;
    let (due, passes) = (Arc::new(AtomicUsize::new(1)), Arc::new(AtomicUsize::new(0)));
    let place = {
        let (due, passes) = (Arc::clone(&due), Arc::clone(&passes));
        Place::new("slow", move || {
            Ok(Arc::new(Slow { due: Arc::clone(&due), passes: Arc::clone(&passes) }) as Arc<dyn Trade>)
        })
    };
    let running = Service::start_places(&world.parts(), vec![place]);
    until("a pass has begun", || passes.load(Ordering::SeqCst) == 1).await;
    running.stop().await;
    assert_eq!(due.load(Ordering::SeqCst), 0, "the pass that had begun came to its end");
    assert_eq!(passes.load(Ordering::SeqCst), 1);
}
