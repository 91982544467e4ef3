//! How long the disk takes to keep a page, next to every part: a virtual disk may answer at once in one minute and take
//! four milliseconds in the next, and rates of durable commits mean nothing without it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use crate::table::{Goal, Table, median, millis};

const WRITES: usize = 50;

/// The flushes timed so far, each named by the part it came before.
pub struct Flushes {
    file: File,
    times: Vec<(&'static str, f64)>,
}

impl Flushes {
    /// Writes into `folder`, which must be on the disk of the server.
    pub fn new(folder: &Path) -> Self {
        Self { file: File::create(folder.join("flush")).unwrap(), times: vec![] }
    }

    /// Overwrites one page and waits for the disk, again and again; keeps the median in milliseconds.
    pub fn time(&mut self, part: &'static str) {
        let times = (0..WRITES).map(|_| {
            let began = Instant::now();
            self.file.write_all_at(&[0; 8192], 0).unwrap();
            self.file.sync_data().unwrap();
            millis(began.elapsed())
        });
        let time = median(times.collect());
        println!("a flush to disk before {part}: {time:.2} ms");
        self.times.push((part, time));
    }

    pub fn tell(&self, table: &mut Table) {
        let (fastest, slowest) = self
            .times
            .iter()
            .fold((f64::INFINITY, 0.0_f64), |(low, high), (_, time)| (low.min(*time), high.max(*time)));
        let each: Vec<_> = self.times.iter().map(|(part, time)| format!("{part} {time:.1}")).collect();
        let steady = if slowest > 2.0 * fastest { "the disk was **not steady**" } else { "steady" };
        table.row("a flush to disk before each part, ms", each.join(", "), steady, Goal::TOLD);
    }
}
