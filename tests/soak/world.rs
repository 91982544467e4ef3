//! A simulated market, people who give commands, a mail server and an integrator: and what must hold of all that
//! happened to them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use almanac_store::Database;
use almanac_store::clock::Entropy;
use almanac_store::log::{LogReader, Sequencer, Subscription};
use almanac_tests::{Almanac, Folder, Load, Person, Receiver, SmtpServer, Worked, check_log, eventually};
use serde_json::json;

/// People who give commands without a pause.
const PEOPLE: usize = 3;

/// A market small enough to be lived through in the time between two kills.
const MARKET: [&str; 10] =
    ["--instruments", "8", "--years", "3", "--hurry", "0", "--speed", "0.3", "--listen", "127.0.0.1:0"];

pub struct World {
    pub folder: Folder,
    pub load: Load,
    smtp: SmtpServer,
    receiver: Receiver,
    database_url: Option<String>,
    began: Instant,
}

/// A number that a soak was told; the bounded form's otherwise.
pub fn told(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Randomness that can be repeated: the seed is printed.
pub fn chance() -> Entropy {
    let seed = told("ALMANAC_TEST_SEED", u64::from_le_bytes(Entropy::system().bytes::<8>()));
    println!("ALMANAC_TEST_SEED={seed}");
    Entropy::seeded(seed)
}

impl World {
    /// An empty one; the market runs on a database of its own, or on the one at `database_url`.
    pub async fn new(name: &str, database_url: Option<String>) -> Self {
        Self {
            folder: Folder::new(name),
            load: Load::start(PEOPLE, vec![]),
            smtp: SmtpServer::start().await,
            receiver: Receiver::start().await,
            database_url,
            began: Instant::now(),
        }
    }

    /// One life of the market; with a failpoint it may end by itself.
    pub fn live(&self, failpoint: Option<&str>) -> Option<Almanac> {
        let path = self.folder.path().to_str().expect("a readable path");
        let arguments = [["demo", "--data-dir", path].as_slice(), MARKET.as_slice()].concat();
        let mut environment =
            vec![("ALMANAC_SMTP_URL", self.smtp.url.as_str()), ("ALMANAC_WEBHOOKS_ALLOW_PRIVATE", "true")];
        environment.extend(self.database_url.as_deref().map(|url| ("DATABASE_URL", url)));
        environment.extend(failpoint.map(|list| ("ALMANAC_FAILPOINTS", list)));
        Almanac::try_start(&arguments, &environment)
    }

    /// Says how far it has come, for whoever asks where the time went.
    pub fn say(&self, what: &str) {
        println!("after {:>5.1?}: {what}", self.began.elapsed());
    }

    /// Somebody who watches everything and somebody who integrates.
    pub async fn people(&self, almanac: &Almanac) {
        let ann = Person::at(&almanac.address);
        ann.register("ann@example.org", "correct horse battery").await;
        ann.post(
            "/webhook-endpoints",
            json!({ "url": self.receiver.url, "event_types": ["round.completed"] }),
        )
        .await;
        let found = eventually("a round", || async {
            let found = ann.get("/predictions?limit=20").await;
            Some(found["items"].as_array()?.clone()).filter(|items| !items.is_empty())
        })
        .await;
        let symbols: BTreeSet<&str> =
            found.iter().filter_map(|prediction| prediction["instrument"]["symbol"].as_str()).collect();
        for symbol in symbols.into_iter().take(3) {
            ann.watch(symbol).await;
        }
    }

    /// Where the market's database listens while it runs.
    pub fn url(&self) -> String {
        self.database_url.clone().unwrap_or_else(|| almanac_tests::own_database_url(self.folder.path()))
    }

    /// Waits until everything that was to be sent before now has been, as if the leases of the dead had run out.
    pub async fn until_sent(&self) {
        let database = Database::open(&self.url()).await.expect("it answers");
        let head = LogReader::new(&database).head().await.expect("a head");
        for table in ["mail_outbox", "webhook_deliveries"] {
            let run_out = format!("update {table} set leased_until = null where state = 'due'");
            sqlx::query(&run_out).execute(database.pool()).await.expect("they run out");
            let left = format!("select count(*) from {table} where state = 'due' and ordinal <= $1");
            eventually(table, || async {
                let left: i64 = sqlx::query_scalar(&left).bind(head).fetch_one(database.pool()).await.ok()?;
                (left == 0).then_some(())
            })
            .await;
        }
        database.pool().close().await;
    }

    /// Everything that must hold, of a database that nobody writes to any more; prints what there was.
    pub async fn check(self, database: &Database, figures: &[(&str, String)]) {
        let head = Sequencer::seize(database).await.expect("seized").seal_all().await.expect("sealed");
        assert_eq!(check_log(database).await, head);
        let worked: Worked = self.load.end().await;
        worked.check(database).await;
        let slots = check_slots(database).await;
        let (mails, mails_again) = check_mails(database, &self.smtp).await;
        let (calls, calls_again) = check_calls(database, &self.receiver).await;
        let tables = check_tables(database, head).await;
        let rows = [
            ("time", format!("{:.0?}", self.began.elapsed())),
            ("events, ordinals contiguous, digests verified", head.to_string()),
            ("commands answered, each there once", worked.promised.len().to_string()),
            ("tries cut off and given again", worked.failed.to_string()),
            ("the slowest command, first try to answer", format!("{:.1?}", worked.slowest)),
            ("slots filled, each once, those in shadow too", slots.to_string()),
            ("mails sent, each at least once", mails.to_string()),
            ("mails that came twice, same Message-ID", mails_again.to_string()),
            ("webhooks delivered, each at least once", calls.to_string()),
            ("webhooks that came again, same id", calls_again.to_string()),
            ("read models equal to their rebuild", tables.to_string()),
        ];
        for (what, figure) in figures
            .iter()
            .map(|(what, figure)| (*what, figure))
            .chain(rows.iter().map(|(what, figure)| (*what, figure)))
        {
            println!("{what:<48} {figure:>12}");
        }
    }
}

async fn check_slots(database: &Database) -> usize {
    let reader = LogReader::new(database);
    let (mut slots, mut scored, mut last) = (BTreeSet::new(), BTreeSet::new(), 0);
    loop {
        let events = reader.after(last, 1_000).await.expect("the log can be read");
        let Some(newest) = events.last().map(|event| event.ordinal) else { return slots.len() };
        last = newest;
        for event in events {
            match event.event_type.as_str() {
                "PredictionPublished" => {
                    let slot = &event.payload["PredictionPublished"]["slot"];
                    // A challenger on trial fills the same slots, in shadow.
                    let slot = [&slot["instrument"], &slot["as_of"], &slot["horizon"], &slot["role"]];
                    let slot = slot.map(ToString::to_string).join(" ");
                    assert!(slots.insert(slot), "a slot is filled once: {}", event.payload);
                }
                "PredictionScored" => {
                    assert!(scored.insert(event.key.aggregate_id), "a score is never repeated");
                }
                _other => {}
            }
        }
    }
}

/// How often each id came.
fn counted(ids: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for id in ids {
        *counts.entry(id).or_default() += 1;
    }
    counts
}

async fn check_mails(database: &Database, smtp: &SmtpServer) -> (usize, usize) {
    let sent: Vec<(String, String)> = sqlx::query_as("select message_id, state from mail_outbox")
        .fetch_all(database.pool())
        .await
        .expect("the outbox");
    let came = counted(smtp.mails().iter().filter_map(|mail| mail.header("message-id")));
    let decided: BTreeMap<&str, &str> = sent.iter().map(|(id, state)| (bare(id), state.as_str())).collect();
    assert_eq!(decided.len(), sent.len(), "each mail has an id of its own");
    let came: BTreeMap<&str, usize> = came.iter().map(|(id, times)| (bare(id), *times)).collect();
    for (id, state) in &decided {
        assert!(*state != "sent" || came.contains_key(id), "the mail {id} was noted as sent and never came");
        assert_ne!(*state, "failed", "the mail {id} was given up");
    }
    for id in came.keys() {
        assert!(decided.contains_key(id), "nobody decided on the mail {id}");
    }
    (came.len(), came.values().filter(|times| **times > 1).count())
}

fn bare(message_id: &str) -> &str {
    message_id.trim_start_matches('<').trim_end_matches('>')
}

async fn check_calls(database: &Database, receiver: &Receiver) -> (usize, usize) {
    let decided: Vec<(String, String)> = sqlx::query_as("select id::text, state from webhook_deliveries")
        .fetch_all(database.pool())
        .await
        .expect("the outbox");
    let came =
        counted(receiver.calls().into_iter().filter_map(|call| call.headers.get("webhook-id").cloned()));
    for (id, state) in &decided {
        assert!(
            state != "delivered" || came.contains_key(id),
            "the message {id} was noted as delivered and never came"
        );
        assert_ne!(state, "failed", "the message {id} was given up");
    }
    for id in came.keys() {
        assert!(decided.iter().any(|(decided, _)| decided == id), "nobody decided on the message {id}");
    }
    (came.len(), came.values().filter(|times| **times > 1).count())
}

async fn check_tables(database: &Database, head: i64) -> usize {
    let mut compared = 0;
    for handler in almanac_projections::all() {
        let name = handler.name();
        let subscription = Subscription::install(database, handler).await.expect("installed");
        subscription.run_until(head).await.expect("it follows");
        let rebuilt = subscription.compare_with_fresh().await.expect("it can be rebuilt");
        assert!(rebuilt.differences.is_empty(), "{name} differs from its rebuild: {:?}", rebuilt.differences);
        compared += 1;
    }
    compared
}

/// Waits until the market has lived through some more sessions.
pub async fn some_more_sessions(almanac: &Almanac, sessions: usize) {
    let (person, mut seen) = (Person::at(&almanac.address), BTreeSet::new());
    while seen.len() <= sessions {
        let session = eventually("the next session", || async {
            let session = person.get("/status").await["last_session"].as_str()?.to_owned();
            (!seen.contains(&session)).then_some(session)
        })
        .await;
        seen.insert(session);
    }
}

pub async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
