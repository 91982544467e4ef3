//! The machine on which it was measured.

use std::process::Command;

use sqlx::{Connection, PgConnection};

pub async fn print(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let version: String = sqlx::query_scalar("select version()").fetch_one(&mut connection).await.unwrap();
    let settings: Vec<(String, String)> = sqlx::query_as(
        "select name, setting || coalesce(unit, '') from pg_settings
          where name = any('{fsync,synchronous_commit,full_page_writes,wal_sync_method,shared_buffers,max_wal_size}')
          order by name",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let settings: Vec<_> = settings.iter().map(|(name, setting)| format!("{name}={setting}")).collect();
    println!("{}", said("uname", &["-srm"]));
    for wanted in ["model name", "MHz"] {
        let facts = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        println!("{}", facts.lines().find(|line| line.contains(wanted)).unwrap_or_default());
    }
    println!("cores: {}", std::thread::available_parallelism().map_or(0, usize::from));
    println!("load: {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
    println!("{version}\n{}", settings.join(" "));
    println!("{}\n", said("rustc", &["--version"]));
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
