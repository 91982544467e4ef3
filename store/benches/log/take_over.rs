//! How long the log stands still when the process that seals it is killed.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use almanac_store::Database;
use almanac_store::log::LogReader;

use crate::note::{Note, Write, bus, id, issued};
use crate::table::{Goal, Table, median};

/// The first argument of a process that only seals.
pub const ROLE: &str = "seal";

const TURNS: usize = 5;

/// A process that is killed with this value.
struct Sealer(Child);

impl Sealer {
    fn start(url: &str) -> Self {
        let program = std::env::current_exe().unwrap();
        Self(Command::new(program).args([ROLE, url]).spawn().unwrap())
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub async fn measure(database: &Database, url: &str, table: &mut Table) {
    let mut leader = Sealer::start(url);
    append_and_wait(database).await;
    let mut times = vec![];
    for _ in 0..TURNS {
        let follower = Sealer::start(url);
        // Long enough for it to have tried and failed to take the lead.
        tokio::time::sleep(Duration::from_millis(1_300)).await;
        append_and_wait(database).await;
        let killed = Instant::now();
        drop(leader);
        append_and_wait(database).await;
        times.push(killed.elapsed().as_secs_f64());
        leader = follower;
    }
    let slowest = times.iter().copied().fold(0.0, f64::max);
    table.row(
        "a follower takes over after kill -9 of the leader",
        format!("{:.2} s, slowest of {TURNS} {slowest:.2} s", median(times)),
        "wall clock, s",
        Goal::AtMost { value: slowest, bound: 5.0 },
    );
}

async fn append_and_wait(database: &Database) {
    let committed = bus(database).execute::<Note>(&id().to_string(), Write(1), &issued()).await.unwrap();
    let (reader, deadline) = (LogReader::new(database), Instant::now() + Duration::from_secs(60));
    while reader.ordinal_of(committed.last().unwrap()).await.unwrap().is_none() {
        assert!(Instant::now() < deadline, "nobody seals");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
