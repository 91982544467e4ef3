//! Processor time, which other programs on the machine disturb less than they disturb rates.

use std::fs;

use sqlx::PgPool;

/// Ticks of a second in `/proc`, the same on every Linux.
const TICKS: f64 = 100.0;

/// The processor time used so far, in ticks: zero where there is no `/proc`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    clients: u64,
    server: u64,
}

/// Processor time for each of many things, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Each {
    /// In this process and the programs it ran.
    pub clients: f64,
    /// In the server.
    pub server: f64,
}

impl Used {
    pub async fn now(pool: &PgPool) -> Self {
        let backend: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(pool).await.unwrap();
        let Some(postmaster) = stat(&backend.to_string()).map(|stat| stat.parent) else {
            return Self::default();
        };
        let mut used = Self::default();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let pid = entry.file_name().to_string_lossy().into_owned();
            let Some(stat) = stat(&pid) else { continue };
            if pid == std::process::id().to_string() {
                used.clients += stat.own + stat.ended_children;
            } else if pid == postmaster.to_string() {
                used.server += stat.own + stat.ended_children;
            } else if stat.parent == postmaster {
                used.server += stat.own;
            }
        }
        used
    }

    /// What was used since `earlier` for each of `count` things.
    pub fn since(self, earlier: Self, count: usize) -> Each {
        let each = |now: u64, then: u64| now.saturating_sub(then) as f64 * 1e6 / TICKS / count.max(1) as f64;
        Each { clients: each(self.clients, earlier.clients), server: each(self.server, earlier.server) }
    }
}

struct Stat {
    parent: u32,
    own: u64,
    ended_children: u64,
}

/// The fields of `/proc/PID/stat`, counted behind the name, which may hold spaces.
fn stat(pid: &str) -> Option<Stat> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = line.rsplit_once(") ")?.1.split(' ').collect();
    let field = |place: usize| fields.get(place)?.parse::<u64>().ok();
    Some(Stat {
        parent: field(1)? as u32,
        own: field(11)? + field(12)?,
        ended_children: field(13)? + field(14)?,
    })
}
