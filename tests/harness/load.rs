//! People who go on giving commands whatever happens to the service, and remember what they were promised.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use almanac_store::Database;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::Person;

/// How long an answer is waited for before the same command is given again.
const ANSWER: Duration = Duration::from_secs(20);

/// The pause after a command that was not answered.
const AGAIN: Duration = Duration::from_millis(20);

/// People at work.
pub struct Load {
    shared: Arc<Shared>,
    people: Vec<JoinHandle<()>>,
}

struct Shared {
    addresses: Mutex<Vec<String>>,
    /// The keys of the events of commands that were answered.
    promised: Mutex<Vec<String>>,
    slowest: Mutex<Duration>,
    given: AtomicUsize,
    failed: AtomicUsize,
    enough: AtomicBool,
}

/// What people did and saw.
#[derive(Debug)]
pub struct Worked {
    /// Commands that were answered, by the key of their last event.
    pub promised: Vec<String>,
    /// Requests that were refused, cut off or not answered, and given again.
    pub failed: usize,
    /// The longest that one command took from the first try to its answer.
    pub slowest: Duration,
}

impl Load {
    /// Starts `people` who talk to any of `addresses`.
    pub fn start(people: usize, addresses: Vec<String>) -> Self {
        let shared = Arc::new(Shared {
            addresses: Mutex::new(addresses),
            promised: Mutex::default(),
            slowest: Mutex::default(),
            given: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            enough: AtomicBool::new(false),
        });
        let people = (0..people).map(|number| tokio::spawn(work(Arc::clone(&shared), number))).collect();
        Self { shared, people }
    }

    /// From now on they talk to these; none while nobody answers.
    pub fn at(&self, addresses: Vec<String>) {
        *locked(&self.shared.addresses) = addresses;
    }

    /// How many commands were answered so far.
    pub fn done(&self) -> usize {
        locked(&self.shared.promised).len()
    }

    /// Lets everyone end what they are at, with an answer.
    pub async fn pause(&self) {
        self.shared.enough.store(true, Ordering::SeqCst);
        while !self.people.iter().all(JoinHandle::is_finished) {
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Lets everyone end what they are at, and gives what they saw.
    pub async fn end(self) -> Worked {
        self.shared.enough.store(true, Ordering::SeqCst);
        for person in self.people {
            person.await.expect("people do not panic");
        }
        Worked {
            promised: locked(&self.shared.promised).clone(),
            failed: self.shared.failed.load(Ordering::SeqCst),
            slowest: *locked(&self.shared.slowest),
        }
    }
}

impl Worked {
    /// Finds every promised event in the log, once, and nothing that nobody asked for.
    ///
    /// # Panics
    /// Where that does not hold.
    pub async fn check(&self, database: &Database) {
        let distinct: BTreeSet<&String> = self.promised.iter().collect();
        assert_eq!(distinct.len(), self.promised.len(), "no two commands had the same effect");
        let found: i64 = sqlx::query_scalar(
            "select count(*) from event_log
              where aggregate_type || ':' || aggregate_id || ':' || sequence = any($1)",
        )
        .bind(&self.promised)
        .fetch_one(database.pool())
        .await
        .expect("an answer");
        assert_eq!(found, distinct.len() as i64, "every promise stands in the log");
        // Each command of these people makes one event: more events than answers would be commands done twice.
        let made: i64 = sqlx::query_scalar(
            "select count(*) from event_log l where aggregate_type = 'watchlist'
                and exists (select 1 from unnest($1::text[]) p where p like 'watchlist:' || l.aggregate_id || ':%')",
        )
        .bind(self.lists())
        .fetch_one(database.pool())
        .await
        .expect("an answer");
        assert_eq!(made, found, "no command has had a second effect");
    }

    /// One key of each list.
    fn lists(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let list = |key: &&String| key.split(':').nth(1).map(str::to_owned);
        self.promised.iter().filter(|key| list(key).is_some_and(|list| seen.insert(list))).cloned().collect()
    }
}

async fn work(shared: Arc<Shared>, number: usize) {
    let mut person = None;
    let password = "correct horse battery";
    let email = format!("worker{number}@example.org");
    let mut list: Option<String> = None;
    let mut n = 0;
    while !shared.enough.load(Ordering::SeqCst) {
        let person = person.get_or_insert_with(|| Person::at("http://127.0.0.1"));
        let began = Instant::now();
        // The same command, until somebody answers it.
        loop {
            let credentials = json!({ "email": email, "password": password });
            let name = json!({ "name": format!("{number}-{n}") });
            let (method, path, body) = match (&list, n) {
                (_, 0) => (Method::POST, "/accounts".to_owned(), credentials.clone()),
                (None, _) => (Method::POST, "/watchlists".to_owned(), name),
                (Some(list), _) => (Method::PATCH, format!("/watchlists/{list}"), name),
            };
            match shared.give(person, &method, &path, &body, &format!("{number}-{n}")).await {
                Some((201 | 200, answer)) => {
                    if let Some(after) = answer["after"].as_str().filter(|_| n > 0) {
                        locked(&shared.promised).push(after.to_owned());
                    }
                    list = list.or_else(|| answer["id"].as_str().filter(|_| n > 0).map(str::to_owned));
                    break;
                }
                // Opening the account was answered to nobody, or the node does not know the sign-in.
                Some((409 | 401, _)) => {
                    let signed_in =
                        shared.give(person, &Method::POST, "/session", &credentials, "sign-in").await;
                    if n == 0 && matches!(signed_in, Some((200 | 201, _))) {
                        break;
                    }
                }
                Some((status @ (400 | 403 | 404 | 405 | 415 | 422), answer)) => {
                    panic!("{method} {path} was refused with {status}: {answer}")
                }
                Some(_) | None => {}
            }
            shared.failed.fetch_add(1, Ordering::SeqCst);
            // A command that was given is given until it is answered; only then its number is known to be done.
            tokio::time::sleep(AGAIN).await;
        }
        n += 1;
        let mut slowest = locked(&shared.slowest);
        *slowest = began.elapsed().max(*slowest);
    }
}

impl Shared {
    /// One try: the status and the body, or nothing when there was no whole answer.
    async fn give(
        &self,
        person: &mut Person,
        method: &Method,
        path: &str,
        body: &Value,
        key: &str,
    ) -> Option<(u16, Value)> {
        let address = {
            let addresses = locked(&self.addresses);
            let number = self.given.fetch_add(1, Ordering::SeqCst);
            addresses.get(number % addresses.len().max(1)).cloned()?
        };
        person.turn_to(&address);
        let request =
            person.request(method.clone(), path).header("idempotency-key", key).json(body).timeout(ANSWER);
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.ok()?))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
