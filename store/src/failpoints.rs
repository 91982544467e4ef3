//! Instants at which a test makes this process die, wait or fail. For tests only.
//!
//! Off unless the variable `ALMANAC_FAILPOINTS` is set: a list such as `seal.before_commit=abort@3,step.after_apply=delay:50`.
//! Each entry is `name=action` or `name=action@n`; with `@n` the action is taken the n-th time the instant is reached
//! and never else, without it each time. The actions:
//!
//! - `abort` ends the process at once and without a word, as `kill -9` does;
//! - `delay:50` waits so many milliseconds;
//! - `error` fails as a lost connection to the database would.
//!
//! To add an instant, await [`reach`] there under a name that is in [`NAMES`]; nothing may depend on it.

use std::collections::HashMap;
use std::env::VarError;
use std::io;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where the list stands.
const VARIABLE: &str = "ALMANAC_FAILPOINTS";

/// Every instant there is, in the order in which an event meets them.
pub const NAMES: [&str; 18] = [
    "postgres.before_start",
    "key.before_rename",
    "object.after_put",
    "append.before_insert",
    "append.after_insert",
    "lane.after_done",
    "append.after_commit",
    "seal.after_read",
    "seal.after_insert",
    "seal.before_commit",
    "seal.after_commit",
    "seal.after_notify",
    "step.after_apply",
    "step.after_commit",
    "mail.after_taken",
    "mail.after_noted",
    "webhook.after_answer",
    "webhook.after_noted",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Abort,
    Delay(Duration),
    Error,
}

#[derive(Debug)]
struct Armed {
    action: Action,
    /// The one time at which the action is taken; each time where there is none.
    only: Option<u64>,
    reached: AtomicU64,
}

static ARMED: LazyLock<Result<HashMap<String, Armed>, String>> = LazyLock::new(|| {
    let list = match std::env::var(VARIABLE) {
        Ok(list) => list,
        Err(VarError::NotPresent) => return Ok(HashMap::new()),
        Err(VarError::NotUnicode(_)) => return Err(format!("{VARIABLE} cannot be used: it is no text")),
    };
    let armed = parse(&list).map_err(|refused| format!("{VARIABLE} cannot be used: {refused}"))?;
    tracing::warn!(list, "failpoints are set: this process is under test");
    Ok(armed)
});

/// Reads the list, before anything else is done: a test that misspells a name would wait in vain for a death, and a
/// service must not begin on a guess.
///
/// # Errors
/// Says what in the list is not understood.
pub fn check() -> Result<(), &'static str> {
    ARMED.as_ref().map(|_| ()).map_err(String::as_str)
}

/// Tells that this process has come to the instant `name`.
///
/// # Errors
/// Only when a test has said so.
pub async fn reach(name: &'static str) -> Result<(), sqlx::Error> {
    if let Some(pause) = due(name)? {
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

/// The same where nothing can be awaited; a delay holds up the thread.
///
/// # Errors
/// Only when a test has said so.
pub fn reach_blocking(name: &'static str) -> io::Result<()> {
    if let Some(pause) = due(name)? {
        std::thread::sleep(pause);
    }
    Ok(())
}

/// Dies, fails, or says how long to wait.
fn due(name: &'static str) -> io::Result<Option<Duration>> {
    debug_assert!(NAMES.contains(&name), "{name} is not in the list");
    let armed = ARMED.as_ref().map_err(|refused| io::Error::other(refused.as_str()))?;
    let Some(armed) = armed.get(name) else { return Ok(None) };
    let time = armed.reached.fetch_add(1, Ordering::SeqCst) + 1;
    if armed.only.is_some_and(|only| only != time) {
        return Ok(None);
    }
    match armed.action {
        Action::Abort => std::process::abort(),
        Action::Delay(pause) => Ok(Some(pause)),
        Action::Error => Err(io::Error::new(io::ErrorKind::ConnectionReset, format!("failpoint {name}"))),
    }
}

fn parse(list: &str) -> Result<HashMap<String, Armed>, String> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(entry).collect()
}

fn entry(text: &str) -> Result<(String, Armed), String> {
    let refused = || {
        format!("`{text}` is not `name=abort`, `name=delay:<ms>` or `name=error`, each with `@n` or without")
    };
    let (name, rest) = text.split_once('=').ok_or_else(refused)?;
    if !NAMES.contains(&name) {
        return Err(format!("`{name}` is not one of {}", NAMES.join(", ")));
    }
    let (action, only) = match rest.split_once('@') {
        Some((action, time)) => (action, Some(time.parse().map_err(|_| refused())?)),
        None => (rest, None),
    };
    let action = match action.split_once(':') {
        None if action == "abort" => Action::Abort,
        None if action == "error" => Action::Error,
        Some(("delay", ms)) => Action::Delay(Duration::from_millis(ms.parse().map_err(|_| refused())?)),
        None | Some(_) => return Err(refused()),
    };
    Ok((name.to_owned(), Armed { action, only, reached: AtomicU64::new(0) }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_list_says_what_happens_where_and_the_how_manyeth_time() {
        let list =
            parse("seal.before_commit=abort@3, step.after_apply=delay:50,append.after_insert=error").unwrap();
        let said = |name: &str| (list[name].action, list[name].only);
        assert_eq!(said("seal.before_commit"), (Action::Abort, Some(3)));
        assert_eq!(said("step.after_apply"), (Action::Delay(Duration::from_millis(50)), None));
        assert_eq!(said("append.after_insert"), (Action::Error, None));
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn a_name_or_an_action_that_is_not_there_is_refused() {
        for wrong in
            ["seal.never=abort", "seal.before_commit", "seal.before_commit=die", "seal.after_read=delay"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse("seal.after_read=delay:x").is_err() && parse("seal.after_read=abort@x").is_err());
    }
}
