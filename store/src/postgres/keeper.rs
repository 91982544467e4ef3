//! The shells under which a server runs, so that it never outlives its purpose.
//!
//! A Unix process cannot be told safely to die with its parent. But when a process dies, however it dies, the
//! pipes it holds are closed: a small shell waits for that and then stops the server in the orderly way.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::PostgresError;
use super::cluster::Cluster;

/// Stops the server when standard input is closed. The read stands in a subshell, which gets the pipe as
/// descriptor 3 because a background job's own input is /dev/null.
const UNTIL_ABANDONED: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
( read -r _ <&3; kill -INT "$server" ) 2>/dev/null &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"#;

/// Stops the server when the file $1 has not been touched for $2 minutes.
const UNTIL_UNUSED: &str = r#"
used=$1 minutes=$2
shift 2
"$@" &
server=$!
while kill -0 "$server" 2>/dev/null; do
    sleep 5 &
    wait $!
    if [ -n "$(find "$used" -mmin "+$minutes" 2>/dev/null)" ] || [ ! -e "$used" ]; then
        kill -INT "$server"
        break
    fi
done
wait "$server"
"#;

/// Starts the server of `cluster` so that it ends with this process: by dropping the child's standard input.
pub(super) fn start_until_abandoned(cluster: &Cluster, connections: u32) -> Result<Child, PostgresError> {
    start(cluster, connections, UNTIL_ABANDONED, &[], Stdio::piped())
}

/// Starts the server of `cluster` so that it outlives this process and ends when nobody has touched its file
/// `used` for so long.
pub(crate) fn start_until_unused(
    cluster: &Cluster,
    connections: u32,
    idle: Duration,
) -> Result<Child, PostgresError> {
    let used = cluster.data.join("used").display().to_string();
    let minutes = idle.as_secs().div_ceil(60).to_string();
    start(cluster, connections, UNTIL_UNUSED, &[used, minutes], Stdio::null())
}

fn start(
    cluster: &Cluster,
    connections: u32,
    script: &str,
    arguments: &[String],
    input: Stdio,
) -> Result<Child, PostgresError> {
    // Kept from start to start only as long as it is small.
    let keep = std::fs::metadata(&cluster.log).is_ok_and(|log| log.len() < 10 << 20);
    let log = File::options()
        .create(true)
        .write(true)
        .append(keep)
        .truncate(!keep)
        .open(&cluster.log)
        .map_err(PostgresError::io(&cluster.log))?;
    let also = log.try_clone().map_err(PostgresError::io(&cluster.log))?;
    let mut shell = cluster.run_as.command("/bin/sh");
    shell
        .args(["-c", script, "almanac-postgres"])
        .args(arguments)
        .arg(cluster.programs.path("postgres"))
        .args(cluster.server_arguments(connections))
        .stdin(input)
        .stdout(log)
        .stderr(also)
        // A Ctrl-C in the terminal is for this process, which then stops the server itself, last.
        .process_group(0);
    shell.spawn().map_err(PostgresError::io("/bin/sh"))
}
