//! The data folder of a server: made once, inspected before each start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::identity::{RunAs, private_folder};
use super::{PostgresError, Programs};

/// A server of a former process is given this long to end by itself, and then as long again when told to.
const LAST_RITES: Duration = Duration::from_secs(10);

/// What a crash of the machine may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Nothing that was committed.
    Full,
    /// Everything: for tests.
    None,
}

/// A data folder with the programs and the user that serve it.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub data: PathBuf,
    pub sockets: PathBuf,
    pub log: PathBuf,
    pub run_as: RunAs,
    pub programs: Programs,
    pub durability: Durability,
}

impl Cluster {
    /// Opens the data folder `postgres` below `parent`, which must exist, and makes it if it is not there.
    pub fn open(parent: &Path, durability: Durability) -> Result<Self, PostgresError> {
        let data = parent.join("postgres");
        let run_as = RunAs::choose(&data)?;
        run_as.check_reach(&data)?;
        let programs = Programs::find(made_by(&data).map(|major| (major, data.as_path())))?;
        // Named by the data folder, so that a second start finds the socket of a server that was left behind.
        let digest = hex::encode(Sha256::digest(data.as_os_str().as_encoded_bytes()));
        let sockets = private_folder(&format!("almanac-{}", &digest[..12]), &run_as)?;
        let log = data.join("server.log");
        let cluster = Self { data, sockets, log, run_as, programs, durability };
        if made_by(&cluster.data).is_none() {
            cluster.make(parent)?;
        }
        Ok(cluster)
    }

    /// Runs `initdb` beside the final place and moves the result there, so that an interrupted run leaves
    /// nothing half made.
    fn make(&self, parent: &Path) -> Result<(), PostgresError> {
        let unfinished = parent.join("postgres.unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(PostgresError::io(&unfinished))?;
        }
        fs::create_dir(&unfinished).map_err(PostgresError::io(&unfinished))?;
        self.run_as.own(&unfinished)?;
        let mut initdb = self.run_as.command(self.programs.path("initdb"));
        initdb
            .args([
                "--username=almanac",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "--data-checksums",
            ])
            .arg("--pgdata")
            .arg(&unfinished);
        if self.durability == Durability::None {
            initdb.arg("--no-sync");
        }
        run(initdb)?;
        fs::rename(&unfinished, &self.data).map_err(PostgresError::io(&self.data))
    }

    /// The arguments the server is started with. Nothing but a Unix socket in a private folder leads to it.
    pub fn server_arguments(&self, connections: u32) -> Vec<String> {
        let mut settings = vec![
            "listen_addresses=".to_owned(),
            format!("unix_socket_directories={}", self.sockets.display()),
            "unix_socket_permissions=0700".to_owned(),
            format!("max_connections={connections}"),
            // Statements may hold personal data, and logs outlive an erased account.
            "log_min_error_statement=panic".to_owned(),
            "log_min_messages=warning".to_owned(),
            "log_checkpoints=off".to_owned(),
        ];
        if self.durability == Durability::None {
            settings.extend(
                ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum_naptime=10min"]
                    .map(str::to_owned),
            );
        }
        let data = ["-D".to_owned(), self.data.display().to_string()];
        data.into_iter().chain(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting])).collect()
    }

    /// Where to connect to.
    pub fn url(&self, database: &str) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let sockets: String = (self.sockets.as_os_str().as_encoded_bytes().iter())
            .map(|&byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect();
        format!("postgres://almanac@localhost/{database}?host={sockets}")
    }

    /// Ends a server that a killed process left behind, and removes the traces of one that was killed itself.
    ///
    /// Only to be called by whoever holds the lock of the data folder.
    pub async fn clear_remains(&self) -> Result<(), PostgresError> {
        let deadline = Instant::now() + LAST_RITES;
        while let Some(pid) = self.recorded_pid() {
            match command_line(pid) {
                // The file of a dead server stays: with its help the next one makes sure that nothing of it
                // still runs.
                None => return Ok(()),
                Some(line)
                    if !(line.contains("postgres") && line.contains(&*self.data.to_string_lossy())) =>
                {
                    // Another program has the number of the dead server, which would make the next one refuse
                    // to start.
                    let file = self.data.join("postmaster.pid");
                    return fs::remove_file(&file).map_err(PostgresError::io(&file));
                }
                Some(_) => {}
            }
            if Instant::now() >= deadline {
                tracing::warn!(pid, "stopping the database server of a former process");
                let mut stop = self.run_as.command(self.programs.path("pg_ctl"));
                stop.args(["stop", "--mode=fast", "--wait", "--timeout=30", "--pgdata"]).arg(&self.data);
                return run(stop);
            }
            // Its keeper has noticed the death of the former process, and ends it right now.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// The process that the data folder says serves it.
    pub fn recorded_pid(&self) -> Option<u32> {
        let recorded = fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        recorded.lines().next()?.trim().parse().ok()
    }

    /// Removes the folder of the sockets, if the server has left it empty; the next start makes it anew.
    pub fn remove_sockets(&self) {
        // When it is not empty, the server is still ending.
        let _ = fs::remove_dir(&self.sockets);
    }

    /// The end of the server's log, for an error message.
    pub fn end_of_log(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<_> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

fn made_by(data: &Path) -> Option<u32> {
    fs::read_to_string(data.join("PG_VERSION")).ok()?.trim().parse().ok()
}

/// The command line of a process, if there is one.
fn command_line(pid: u32) -> Option<String> {
    let said = if Path::new("/proc/self/cmdline").exists() {
        fs::read(format!("/proc/{pid}/cmdline")).ok()?
    } else {
        Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output().ok()?.stdout
    };
    Some(String::from_utf8_lossy(&said).into_owned()).filter(|line| !line.trim().is_empty())
}

fn run(mut command: Command) -> Result<(), PostgresError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(PostgresError::io(&program))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " | ");
    Err(PostgresError::Failed { program, output: said })
}
