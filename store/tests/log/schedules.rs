//! Random schedules of writers: whatever they do to each other, the sealed log is what was committed.
//!
//! One thread carries out a schedule step by step, so a seed is the whole story: `ALMANAC_TEST_SEED=<seed>` repeats one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use almanac_store::log::{CommandBus, CommandError, LogReader, Sequencer};
use almanac_store::testing::OwnServer;
use futures::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use sqlx::{Executor, Postgres, Transaction};

use crate::counter::{Command, Counter, TooFar, bus, insert, issued, sealed};

const WRITERS: usize = 5;
/// Few, so that writers meet on them.
const STREAMS: usize = 2;
/// More than there are lanes, so that commands gather and are written in one statement.
const COMMANDED: usize = 8;
/// A schedule takes a fraction of a second; one that takes so long never ends.
const LONGEST: Duration = Duration::from_secs(20);

/// What one writer does next; the sealer looks between any two.
#[derive(Debug, Clone)]
enum Act {
    /// Takes a transaction id long before the first event.
    TakeId,
    /// Writes the next events of a stream, unless another open transaction writes to it.
    Write {
        stream: usize,
        events: i64,
    },
    /// Takes an id early, lets two others take theirs, and writes after the last of them: the window ends in between.
    Straddle {
        stream: usize,
    },
    /// Writes an event behind a savepoint, and keeps or undoes it.
    WriteBehindSavepoint {
        stream: usize,
        keep: bool,
    },
    /// Commands come over the bus, all at one moment, so that they are committed in groups.
    Command {
        streams: usize,
    },
    Commit,
    RollBack,
    /// The sealer looks.
    Seal,
    /// Another leader takes over.
    Depose,
}

fn schedule() -> impl Strategy<Value = Vec<(usize, Act)>> {
    let act = prop_oneof![
        2 => Just(Act::TakeId),
        6 => (0..STREAMS, 1..4_i64).prop_map(|(stream, events)| Act::Write { stream, events }),
        1 => (0..STREAMS).prop_map(|stream| Act::Straddle { stream }),
        2 => (0..STREAMS, any::<bool>()).prop_map(|(stream, keep)| Act::WriteBehindSavepoint { stream, keep }),
        1 => (1..=COMMANDED).prop_map(|streams| Act::Command { streams }),
        3 => Just(Act::Commit),
        1 => Just(Act::RollBack),
        4 => Just(Act::Seal),
        1 => Just(Act::Depose),
    ];
    vec((0..WRITERS, act), 1..80)
}

/// Streams are named by the case, so that one server serves all cases.
type Key = (String, i64);

#[derive(Default)]
struct Writer {
    transaction: Option<Transaction<'static, Postgres>>,
    written: Vec<Key>,
}

struct Run<'a> {
    database: &'a OwnServer,
    bus: &'a CommandBus,
    sequencer: Sequencer,
    case: usize,
    writers: Vec<Writer>,
    committed: BTreeSet<Key>,
    before: i64,
}

impl Run<'_> {
    async fn carry_out(mut self, schedule: &[(usize, Act)]) -> Result<(), TestCaseError> {
        for (writer, act) in schedule {
            self.step(*writer, act).await;
            self.check_order().await?;
        }
        for writer in 0..WRITERS {
            self.end(writer, writer % 3 != 0).await;
        }
        let head = self.sequencer.seal_all().await.unwrap();
        prop_assert_eq!(
            head - self.before,
            self.committed.len() as i64,
            "each committed event has one place"
        );
        let sealed = self.check_order().await?;
        prop_assert_eq!(sealed.into_iter().collect::<BTreeSet<_>>(), self.committed);
        prop_assert_eq!(Sequencer::stall(self.database).await.unwrap(), None);
        Ok(())
    }

    async fn step(&mut self, number: usize, act: &Act) {
        match act {
            Act::TakeId => {
                self.open(number).await.execute("select pg_current_xact_id()").await.unwrap();
            }
            Act::Write { stream, events } => {
                for _ in 0..*events {
                    self.write(number, *stream).await;
                }
            }
            Act::Straddle { stream } => {
                let [between, late] = [(number + 1) % WRITERS, (number + 2) % WRITERS];
                for early in [number, between] {
                    self.open(early).await.execute("select pg_current_xact_id()").await.unwrap();
                }
                for writer in [late, number] {
                    self.write(writer, *stream).await;
                    self.end(writer, true).await;
                }
            }
            Act::WriteBehindSavepoint { stream, keep } => {
                self.open(number).await.execute("savepoint s").await.unwrap();
                let wrote = self.write(number, *stream).await;
                let end = if *keep { "release savepoint s" } else { "rollback to savepoint s" };
                self.open(number).await.execute(end).await.unwrap();
                if wrote && !keep {
                    self.writers[number].written.pop();
                }
            }
            Act::Command { streams } => self.command(*streams).await,
            Act::Commit => self.end(number, true).await,
            Act::RollBack => self.end(number, false).await,
            Act::Seal => {
                self.sequencer.seal_once().await.unwrap();
            }
            Act::Depose => self.sequencer = Sequencer::seize(self.database).await.unwrap(),
        }
    }

    async fn open(&mut self, number: usize) -> &mut Transaction<'static, Postgres> {
        let slot = &mut self.writers[number].transaction;
        if slot.is_none() {
            *slot = Some(self.database.pool().begin().await.unwrap());
        }
        slot.as_mut().unwrap()
    }

    fn stream(&self, number: usize) -> String {
        format!("case{}-{number}", self.case)
    }

    /// Whether an open transaction other than that of `number` writes to the stream.
    fn is_taken(&self, stream: &str, number: Option<usize>) -> bool {
        let writes = |writer: &Writer| writer.written.iter().any(|(id, _)| id == stream);
        self.writers.iter().enumerate().any(|(other, writer)| Some(other) != number && writes(writer))
    }

    /// One command for each of the first `streams` streams that nobody writes to: the first ones are those of writers.
    async fn command(&mut self, streams: usize) {
        let free = (0..streams).map(|stream| self.stream(stream)).filter(|id| !self.is_taken(id, None));
        let given = free.map(|id| {
            let bus = self.bus.clone();
            async move { bus.execute::<Counter>(&id, Command::CountTwice, &issued()).await }
        });
        for outcome in join_all(given.collect::<Vec<_>>()).await {
            match outcome {
                Ok(done) => {
                    self.committed
                        .extend(done.events.into_iter().map(|key| (key.aggregate_id, key.sequence)));
                }
                Err(CommandError::Refused(TooFar)) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }

    /// Whoever would wait for another writer does something else instead: one thread carries out the schedule.
    async fn write(&mut self, number: usize, stream: usize) -> bool {
        let stream = self.stream(stream);
        if self.is_taken(&stream, Some(number)) {
            return false;
        }
        let known = self.committed.iter().chain(&self.writers[number].written);
        let sequence = known.filter(|(id, _)| *id == stream).count() as i64 + 1;
        insert(self.open(number).await, &stream, sequence).await;
        self.writers[number].written.push((stream, sequence));
        true
    }

    async fn end(&mut self, number: usize, commits: bool) {
        let written = std::mem::take(&mut self.writers[number].written);
        let Some(transaction) = self.writers[number].transaction.take() else { return };
        if commits {
            transaction.commit().await.unwrap();
            self.committed.extend(written);
        } else {
            transaction.rollback().await.unwrap();
        }
    }

    /// At every moment: nothing that is not committed, nothing twice, and each stream from 1 without a gap.
    async fn check_order(&self) -> Result<Vec<Key>, TestCaseError> {
        let events = LogReader::new(self.database).after(self.before, 10_000).await.unwrap();
        let mut last: BTreeMap<String, i64> = BTreeMap::new();
        let mut keys = vec![];
        for (place, event) in events.into_iter().enumerate() {
            prop_assert_eq!(event.ordinal, self.before + 1 + place as i64);
            let next = last.entry(event.key.aggregate_id.clone()).or_default();
            *next += 1;
            prop_assert_eq!(event.key.sequence, *next, "{} keeps its order", event.key.aggregate_id);
            let key = (event.key.aggregate_id, event.key.sequence);
            prop_assert!(self.committed.contains(&key), "{key:?} was never committed");
            keys.push(key);
        }
        Ok(keys)
    }
}

fn seed() -> u64 {
    let set = std::env::var("ALMANAC_TEST_SEED").ok().and_then(|text| text.parse().ok());
    set.unwrap_or_else(|| u64::from_le_bytes(almanac_store::clock::Entropy::system().bytes::<8>()))
}

#[test]
fn fault_03_whatever_writers_do_to_each_other_the_sealed_log_is_what_was_committed() {
    let cases = std::env::var("ALMANAC_TEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(48);
    let seed = seed();
    println!("{cases} schedules from ALMANAC_TEST_SEED={seed}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let database = runtime.block_on(OwnServer::start());
    let bus = bus(&database);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 300,
        max_shrink_time: 60_000,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let case = std::cell::Cell::new(0);
    let outcome = runner.run(&schedule(), |schedule| {
        case.set(case.get() + 1);
        let writers = (0..WRITERS).map(|_| Writer::default()).collect();
        let carried_out = async {
            let mut sequencer = Sequencer::seize(&database).await.unwrap();
            let before = sequencer.seal_all().await.unwrap();
            let (database, bus, case, committed) = (&database, &bus, case.get(), BTreeSet::new());
            let run = Run { database, bus, sequencer, case, writers, committed, before };
            run.carry_out(&schedule).await
        };
        runtime
            .block_on(async { tokio::time::timeout(LONGEST, carried_out).await })
            .unwrap_or_else(|_| Err(TestCaseError::fail("sealing never ends")))
    });
    if let Err(TestError::Fail(reason, schedule)) = outcome {
        panic!("ALMANAC_TEST_SEED={seed}: {reason}\nthe shortest schedule that shows it: {schedule:#?}");
    }
    outcome.unwrap();
    // Every digest once more, over all cases.
    assert!(!runtime.block_on(sealed(&database)).is_empty());
}
