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
//! At `step.poison` there are two others, each for one subscription, and without `@n`: `step.poison=stop:watchlists`
//! makes its handler find every event unfit, and the subscription stop there; `park:watchlists` sets them aside.
//!
//! To add an instant, await [`reach`] there under a name that is in [`NAMES`]; nothing may depend on it.

use std::collections::HashMap;
use std::env::VarError;
use std::io;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::log::OnPoison;

/// Where the list stands.
const VARIABLE: &str = "ALMANAC_FAILPOINTS";

/// Every instant there is, in the order in which an event meets them.
pub const NAMES: [&str; 19] = [
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
    "step.poison",
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

/// The instant at which a handler is given an event.
const POISON: &str = "step.poison";

/// Whose handler finds every event unfit, and what its subscription does then.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Poison {
    subscription: String,
    policy: OnPoison,
}

#[derive(Debug, Default)]
struct List {
    instants: HashMap<String, Armed>,
    poisons: Vec<Poison>,
}

#[derive(Debug)]
struct Armed {
    action: Action,
    /// The one time at which the action is taken; each time where there is none.
    only: Option<u64>,
    reached: AtomicU64,
}

static ARMED: LazyLock<Result<List, String>> = LazyLock::new(|| {
    let list = match std::env::var(VARIABLE) {
        Ok(list) => list,
        Err(VarError::NotPresent) => return Ok(List::default()),
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
    let Some(armed) = armed.instants.get(name) else { return Ok(None) };
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

/// What the subscription does with every event because a test takes them for poison; none otherwise.
pub(crate) fn poison(subscription: &str) -> Option<OnPoison> {
    let poisons = ARMED.as_ref().map(|list| &list.poisons).ok()?;
    poisons.iter().find(|poison| poison.subscription == subscription).map(|poison| poison.policy)
}

fn parse(list: &str) -> Result<List, String> {
    let mut parsed = List::default();
    for text in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        match text.split_once('=') {
            Some((POISON, rest)) => parsed.poisons.push(poison_of(text, rest)?),
            Some((name, rest)) if NAMES.contains(&name) => {
                parsed.instants.insert(name.to_owned(), armed(text, rest)?);
            }
            Some((name, _)) => return Err(format!("`{name}` is not one of {}", NAMES.join(", "))),
            None => return Err(refused(text)),
        }
    }
    Ok(parsed)
}

fn refused(text: &str) -> String {
    format!("`{text}` is not `name=abort`, `name=delay:<ms>` or `name=error`, each with `@n` or without")
}

fn poison_of(text: &str, rest: &str) -> Result<Poison, String> {
    let (policy, subscription) = match rest.split_once(':') {
        Some(("stop", subscription)) => (OnPoison::Stop, subscription),
        Some(("park", subscription)) => (OnPoison::Park, subscription),
        Some(_) | None => return Err(format!("`{text}` is not `{POISON}=stop:<subscription>` or `park:`")),
    };
    Ok(Poison { subscription: subscription.to_owned(), policy })
}

fn armed(text: &str, rest: &str) -> Result<Armed, String> {
    let (action, only) = match rest.split_once('@') {
        Some((action, time)) => (action, Some(time.parse().map_err(|_| refused(text))?)),
        None => (rest, None),
    };
    let action = match action.split_once(':') {
        None if action == "abort" => Action::Abort,
        None if action == "error" => Action::Error,
        Some(("delay", ms)) => Action::Delay(Duration::from_millis(ms.parse().map_err(|_| refused(text))?)),
        None | Some(_) => return Err(refused(text)),
    };
    Ok(Armed { action, only, reached: AtomicU64::new(0) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_list_says_what_happens_where_and_the_how_manyeth_time() {
        let list =
            parse("seal.before_commit=abort@3, step.after_apply=delay:50,append.after_insert=error").unwrap();
        let said = |name: &str| (list.instants[name].action, list.instants[name].only);
        assert_eq!(said("seal.before_commit"), (Action::Abort, Some(3)));
        assert_eq!(said("step.after_apply"), (Action::Delay(Duration::from_millis(50)), None));
        assert_eq!(said("append.after_insert"), (Action::Error, None));
        assert!(parse("").unwrap().instants.is_empty());
        let poisons = parse("step.poison=stop:mail,step.poison=park:webhooks").unwrap().poisons;
        let poison = |subscription: &str, policy| Poison { subscription: subscription.to_owned(), policy };
        assert_eq!(poisons, [poison("mail", OnPoison::Stop), poison("webhooks", OnPoison::Park)]);
    }

    #[test]
    fn a_name_or_an_action_that_is_not_there_is_refused() {
        for wrong in
            ["seal.never=abort", "seal.before_commit", "seal.before_commit=die", "seal.after_read=delay"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse("step.poison=abort").is_err() && parse("seal.after_read=stop:mail").is_err());
        assert!(parse("seal.after_read=delay:x").is_err() && parse("seal.after_read=abort@x").is_err());
    }
}
