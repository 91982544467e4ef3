//! The Notary: signs the head of the log and publishes it, so that from then on nobody can change what it covers.
//!
//! 1. It fills the tiles from which proofs are made.
//! 2. A head is due some minutes after the last one, and at once when a round is complete.
//! 3. Before it signs, the log must begin with what was published last, by the database and by object storage. A log
//!    that does not, because it was restored to an earlier point or rewritten, is never signed: that stays red until
//!    somebody has looked.
//! 4. The head goes into the database, then into object storage, where others can keep it.
//!
//! One key belongs to a log. A node that does not hold it fills tiles and signs nothing.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use almanac_domain::clock::Clock;
use almanac_store::clock::Entropy;
use almanac_store::log::LogReader;
use almanac_store::objects::Objects;
use almanac_store::transparency::{
    Checkpoint, CheckpointRefused, KeyFileError, LogTree, SigningKey, TreeHead, checkpoint,
};
use almanac_store::{Database, StoreError};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::parts::Parts;
use crate::settings::LogSettings;
use crate::trade::{Progress, Trade, TradeError};

/// The event after which a head is published at once: its mails go out then.
const ROUND_COMPLETED: &str = "RoundCompleted";

/// The leaves in a tile.
const TILE: i64 = 256;

/// Signs and publishes heads of the log.
pub struct Notary {
    database: Database,
    tree: LogTree,
    objects: Objects,
    clock: Arc<dyn Clock>,
    settings: LogSettings,
    key: OnceLock<SigningKey>,
    seen: Mutex<Seen>,
}

/// What the notary remembers, so that a pass with nothing to do asks little.
#[derive(Default)]
struct Seen {
    /// Tiles are filled as far as full ones go up to here.
    tiled_to: i64,
    /// No round was completed between the last head and here.
    looked_to: i64,
    /// The size of the last published head, and when it was made.
    published: Option<(i64, DateTime<Utc>)>,
    /// Whether the log was compared with what was published since this notary began.
    is_checked: bool,
    /// Why it signs nothing although nothing is wrong.
    idle: Option<String>,
    /// Why it refuses to sign.
    refusal: Option<String>,
}

impl Notary {
    /// The notary of a service.
    pub fn new(parts: &Parts) -> Self {
        Self {
            database: parts.database.clone(),
            tree: LogTree::new(&parts.database),
            objects: parts.objects.clone(),
            clock: Arc::clone(&parts.clock),
            settings: parts.settings.log.clone(),
            key: OnceLock::new(),
            seen: Mutex::default(),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key, if this node holds the one of the log; otherwise why not.
    async fn key(&self) -> Result<Result<&SigningKey, String>, TradeError> {
        if let Some(key) = self.key.get() {
            return Ok(Ok(key));
        }
        let Some(path) = &self.settings.key else { return Ok(Err("no key file is named".to_owned())) };
        let there = SigningKey::read(path).map_err(unusable)?;
        let known = checkpoint::key_of_log(self.database.pool()).await?;
        let key = match (there, known) {
            (Some(key), _) => key,
            (None, Some(known)) => {
                return Ok(Err(format!(
                    "the key {known} of this log is not on this node: {}",
                    path.display()
                )));
            }
            (None, None) => self.create(path)?,
        };
        if let Some(origin) = self.settings.origin.as_ref().filter(|origin| *origin != key.verifier().name())
        {
            let name = key.verifier().name();
            return Err(TradeError::Held(format!(
                "the key file {} is of the log `{name}`, the setting says `{origin}`",
                path.display()
            )));
        }
        let known = checkpoint::adopt_key(&self.database, key.verifier()).await?;
        if known == *key.verifier() {
            Ok(Ok(self.key.get_or_init(|| key)))
        } else {
            Ok(Err(format!("this log has the key {known}, and this node holds another one")))
        }
    }

    fn create(&self, path: &Path) -> Result<SigningKey, TradeError> {
        let name = self.settings.origin.as_deref().unwrap_or(&self.settings.host);
        // Not the service's randomness, which a demo repeats.
        let key = SigningKey::create(path, name, &Entropy::system()).map_err(unusable)?;
        tracing::info!(key = %key.verifier(), path = %path.display(), "the log has a key now: keep a copy of the file");
        Ok(key)
    }

    async fn is_due(&self, head: i64) -> Result<bool, TradeError> {
        let (published, looked_to) = {
            let seen = self.seen();
            (seen.published, seen.looked_to)
        };
        let Some((size, made_at)) = published else { return Ok(head > 0) };
        if head <= size {
            return Ok(false);
        }
        let now = self.clock.now();
        // A clock that was put back is no reason to wait.
        if now < made_at || now - made_at >= self.settings.checkpoint_every {
            return Ok(true);
        }
        let is_round = checkpoint::has_after(&self.database, looked_to.max(size), ROUND_COMPLETED).await?;
        if !is_round {
            self.seen().looked_to = head;
        }
        Ok(is_round)
    }

    /// Compares the log with what was published last, by the database and by object storage, and puts into object
    /// storage what it lacks.
    async fn check(&self, key: &SigningKey) -> Result<(), CheckpointRefused> {
        let newest = checkpoint::newest(self.database.pool()).await?;
        self.seen().published = newest.as_ref().map(|newest| (newest.size, newest.made_at));
        let latest = self.objects.latest_head().await.map_err(StoreError::from)?;
        let latest = latest.map(|note| TreeHead::open(&note, key.verifier())).transpose()?;
        if let Some(latest) = &latest {
            checkpoint::check_against_log(&self.database, latest).await?;
        }
        if let Some(newest) = newest {
            let head = TreeHead::open(&newest.note, key.verifier())?;
            checkpoint::check_against_log(&self.database, &head).await?;
            if latest.is_none_or(|latest| latest.size < newest.size) {
                self.publish(&newest).await?;
            }
        }
        self.seen().is_checked = true;
        Ok(())
    }

    async fn sign(&self, key: &SigningKey) -> Result<(), CheckpointRefused> {
        self.check(key).await?;
        let (size, root) = checkpoint::sealed(&self.database).await?;
        let head = TreeHead { origin: key.verifier().name().to_owned(), size, root };
        self.ask_storage(&head, key).await?;
        let note = head.signed(key)?;
        let made = checkpoint::record(&self.database, &note, self.clock.now()).await?;
        self.seen().published = Some((made.size, made.made_at));
        self.publish(&made).await
    }

    /// What object storage has of this size must not say something else: once the database has recorded a head, it
    /// cannot be taken back.
    async fn ask_storage(&self, head: &TreeHead, key: &SigningKey) -> Result<(), CheckpointRefused> {
        let Some(there) = self.objects.head_of(head.size).await.map_err(StoreError::from)? else {
            return Ok(());
        };
        if TreeHead::open(&there, key.verifier())?.root == head.root {
            Ok(())
        } else {
            Err(CheckpointRefused::Forked { size: head.size })
        }
    }

    async fn publish(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointRefused> {
        // Until it is there, what was published is looked at again.
        self.seen().is_checked = false;
        self.objects.publish_head(checkpoint.size, &checkpoint.note).await.map_err(StoreError::from)?;
        self.seen().is_checked = true;
        Ok(())
    }

    async fn notarise(&self, head: i64) -> Result<Progress, TradeError> {
        let key = match self.key().await? {
            Ok(key) => key,
            Err(reason) => {
                self.seen().idle = Some(reason);
                return Ok(Progress::Idle);
            }
        };
        self.seen().idle = None;
        let is_checked = self.seen().is_checked;
        let outcome = if !is_checked {
            self.check(key).await.map(|()| Progress::More)
        } else if self.is_due(head).await? {
            self.sign(key).await.map(|()| Progress::More)
        } else {
            return Ok(Progress::Idle);
        };
        match outcome {
            Ok(progress) => {
                self.seen().refusal = None;
                Ok(progress)
            }
            // Another node with the same key was faster.
            Err(CheckpointRefused::Smaller { .. }) => {
                self.seen().is_checked = false;
                Ok(Progress::More)
            }
            Err(CheckpointRefused::Store(error)) => Err(error.into()),
            Err(refused) => {
                let refusal = format!("the head of the log is not signed: {refused}");
                let mut seen = self.seen();
                // Nothing is signed before the log was found to be right again.
                (seen.refusal, seen.is_checked) = (Some(refusal.clone()), false);
                Err(TradeError::Held(refusal))
            }
        }
    }
}

#[async_trait]
impl Trade for Notary {
    fn name(&self) -> &'static str {
        "notary"
    }

    async fn pass(&self) -> Result<Progress, TradeError> {
        let head = LogReader::new(&self.database).head().await?;
        let tiled_to = self.seen().tiled_to;
        if head / TILE > tiled_to / TILE {
            if self.tree.fill().await? > 0 {
                return Ok(Progress::More);
            }
            self.seen().tiled_to = head;
        }
        self.notarise(head).await
    }

    fn observe(&self) -> Value {
        let seen = self.seen();
        json!({
            "key": self.key.get().map(|key| key.verifier().to_string()),
            "published": seen.published.map(|(size, _)| size),
            "published_at": seen.published.map(|(_, made_at)| made_at),
            "idle": seen.idle,
            "refused": seen.refusal,
        })
    }
}

/// Somebody has to look at the file; then it goes on by itself.
fn unusable(error: KeyFileError) -> TradeError {
    TradeError::Held(TradeError::broken("could not use the key of the log")(error).in_full())
}
