//! The goals of the event log, each beside its yardstick in the same run: `make bench-log`.
//!
//! Everything happens on a PostgreSQL of its own that keeps what it commits. Ours and theirs take turns, so that a
//! machine that drifts slows both alike; figures are medians over the turns.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot be made has failed")]

mod commands;
mod cpu;
mod facts;
mod flush;
mod note;
mod pgbench;
mod rebuilding;
mod sealing;
mod streams;
mod table;
mod take_over;
mod verification;
mod visibility;

use std::time::Instant;

use almanac_store::Database;
use almanac_store::log::Sequencer;
use almanac_store::postgres::{PostgresServer, Settings};
use almanac_store::testing::ScratchFolder;

use crate::flush::Flushes;
use crate::table::Table;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [role, url] = arguments.as_slice()
        && role == take_over::ROLE
    {
        let database = Database::open(url).await.unwrap();
        return Sequencer::run(database).await;
    }
    let wanted = |part: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == part);

    let began = Instant::now();
    let folder = ScratchFolder::new();
    let server = PostgresServer::start(&folder, Settings::durable()).await.unwrap();
    facts::print(server.url()).await;
    let mut table = Table::new();
    let mut flushes = Flushes::new(&folder);

    let database = Database::open(server.url()).await.unwrap();
    database.migrate().await.unwrap();
    if wanted("commands") {
        flushes.time("commands");
        commands::measure(&database, server.url(), &mut table).await;
    }
    if wanted("streams") {
        flushes.time("streams");
        streams::measure(&database, server.url(), &mut table).await;
    }
    if wanted("sealing") {
        flushes.time("sealing");
        sealing::measure(&database, &mut table).await;
    }
    if wanted("visibility") {
        flushes.time("visibility");
        visibility::measure(&database, &mut table).await;
    }
    if wanted("verification") {
        flushes.time("verification");
        verification::measure(&database, &mut table).await;
    }
    if wanted("rebuilding") {
        flushes.time("rebuilding");
        rebuilding::measure(&database, server.url(), &mut table).await;
    }
    if wanted("take_over") {
        flushes.time("take_over");
        take_over::measure(&database, server.url(), &mut table).await;
    }
    flushes.time("the end");
    flushes.tell(&mut table);
    table.print();
    println!("\nmeasured in {:.0} s", began.elapsed().as_secs_f64());
}
