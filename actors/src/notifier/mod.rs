//! The Notifier: works the outbox of mails off. What is due is claimed under a lease, put into words, handed to the
//! mail server (or, without one, to a folder), and noted as sent, to be tried again, or given up.
//!
//! A crash between the server's "250" and our note repeats that one mail, with the same Message-ID; none is missed.

mod address;
mod folder;
mod letter;
mod post_office;
mod rendering;
mod session_mail;
mod settings;
mod smtp;
mod unsubscribe;
mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use almanac_domain::clock::Clock;
use almanac_domain::values::Session;
use almanac_projections::{accounts, mail as mails, predictions, watchlists};
use almanac_store::clock::{Entropy, SystemClock};
use almanac_store::failpoints::reach;
use almanac_store::outbox::mail::{self as outbox, DueMail};
use almanac_store::transparency::checkpoint;
use almanac_store::{Database, StoreError};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use futures::stream;
use serde::Deserialize;
use tokio::sync::OnceCell;
use url::Url;
use uuid::Uuid;

use crate::parts::Parts;
use crate::trade::{Progress, Trade, TradeError};

pub use self::address::{AddressRefused, mailable, sender};
pub use self::folder::{StoredMail, forget_mails, read_mails};
pub use self::settings::{MailSettings, MailTransport};
pub use self::smtp::{SmtpUrl, SmtpUrlRefused};
pub use self::unsubscribe::{
    LinkSecret, LinkSecretTooShort, TokenRefused, Unsubscribe, unsubscribe_token, verify_unsubscribe_token,
};

use self::letter::Letter;
use self::post_office::PostOffice;
use self::rendering::Templates;
use self::smtp::Fate;

/// Mails claimed and sent at once.
const AT_ONCE: usize = 8;
/// Waits after the first, second, ... failed attempt, in minutes. Greylisting lets a mail in after some minutes; a
/// server that is away for a weekend still gets it.
const WAITS_MINUTES: [i64; 10] = [1, 5, 10, 30, 60, 180, 360, 720, 1440, 2880];
/// The Notary signs the head of a complete round at once; a mail waits for it no longer than this.
const HEAD_PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks for it.
const HEAD_LOOK: Duration = Duration::from_millis(20);
/// How long a link to stop the mails goes on working, by the real time: the demo's clock races.
const LINK_LIFETIME: TimeDelta = TimeDelta::days(90);

/// Works the outbox of mails off.
pub struct Notifier {
    database: Database,
    clock: Arc<dyn Clock>,
    entropy: Entropy,
    settings: MailSettings,
    opened: OnceCell<(PostOffice, Templates)>,
    /// The last ordinal whose signed head was waited for.
    awaited: AtomicI64,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    postponed: AtomicU64,
    given_up: AtomicU64,
}

/// What a mail of the kind [`mails::SESSION`] is about.
#[derive(Deserialize)]
struct SessionPayload {
    round: Uuid,
    session: Session,
}

/// What is to be done with a claimed mail.
enum Written {
    Letter(Box<Letter>),
    /// It has no reader or no content any more, or never had; the reason goes into the outbox.
    Dropped(String),
    /// It cannot be written as this program stands; another one may.
    Unready(String),
}

impl Notifier {
    /// The notifier of a service.
    pub fn new(parts: &Parts) -> Self {
        let (database, clock) = (parts.database.clone(), Arc::clone(&parts.clock));
        Self::over(database, clock, parts.entropy.clone(), parts.settings.mail.clone())
    }

    /// A notifier over these parts alone.
    pub fn over(database: Database, clock: Arc<dyn Clock>, entropy: Entropy, settings: MailSettings) -> Self {
        Self {
            database,
            clock,
            entropy,
            settings,
            opened: OnceCell::new(),
            awaited: AtomicI64::new(0),
            counts: Counts::default(),
        }
    }

    async fn opened(&self) -> Result<&(PostOffice, Templates), TradeError> {
        self.opened
            .get_or_try_init(|| async {
                let office = PostOffice::open(&self.settings)
                    .map_err(TradeError::broken("could not set up the connection to the mail server"))?;
                let templates =
                    Templates::new().map_err(TradeError::broken("could not read the mail templates"))?;
                Ok((office, templates))
            })
            .await
    }

    async fn handle(&self, due: DueMail) -> Result<(), TradeError> {
        let now = self.clock.now();
        let pool = self.database.pool();
        let (office, templates) = self.opened().await?;
        let letter = match self.write(&due, templates, now).await? {
            Written::Letter(letter) => letter,
            Written::Dropped(reason) => {
                self.counts.given_up.fetch_add(1, Ordering::Relaxed);
                outbox::failed(pool, &due, &reason, None).await?;
                return Ok(());
            }
            Written::Unready(reason) => return self.postpone(&due, &reason).await,
        };
        match office.send(&letter).await {
            Fate::Taken => {
                self.counts.sent.fetch_add(1, Ordering::Relaxed);
                reach("mail.after_taken").await.map_err(StoreError::from)?;
                outbox::sent(pool, &due, self.clock.now()).await?;
                reach("mail.after_noted").await.map_err(StoreError::from)?;
            }
            Fate::Later(reason) => self.postpone(&due, &reason).await?,
            Fate::Refused(reason) => {
                tracing::warn!(mail = %due.key, %reason, "a mail was refused for good");
                self.counts.given_up.fetch_add(1, Ordering::Relaxed);
                outbox::failed(pool, &due, &reason, None).await?;
            }
        }
        Ok(())
    }

    /// Waits a little for a signed head that covers what these mails tell of, once for each round: a mail without
    /// one is better than none.
    async fn await_head(&self, mails: &[DueMail]) -> Result<(), TradeError> {
        let told = mails.iter().map(|mail| mail.ordinal).max().unwrap_or_default();
        if self.awaited.fetch_max(told, Ordering::Relaxed) >= told {
            return Ok(());
        }
        let pool = self.database.pool();
        if checkpoint::key_of_log(pool).await?.is_none() {
            return Ok(());
        }
        let until = Instant::now() + HEAD_PATIENCE;
        loop {
            let newest = checkpoint::newest(pool).await.map_err(StoreError::from)?;
            if newest.is_some_and(|newest| newest.size >= told) || Instant::now() >= until {
                return Ok(());
            }
            tokio::time::sleep(HEAD_LOOK).await;
        }
    }

    async fn postpone(&self, due: &DueMail, reason: &str) -> Result<(), TradeError> {
        let retry_at = retry_at(due.attempts, self.clock.now(), &self.entropy);
        let counter = if retry_at.is_some() { &self.counts.postponed } else { &self.counts.given_up };
        counter.fetch_add(1, Ordering::Relaxed);
        tracing::info!(mail = %due.key, %reason, ?retry_at, "a mail could not be sent");
        outbox::failed(self.database.pool(), due, reason, retry_at).await?;
        Ok(())
    }

    async fn write(
        &self,
        due: &DueMail,
        templates: &Templates,
        now: DateTime<Utc>,
    ) -> Result<Written, TradeError> {
        if due.kind != mails::SESSION {
            return Ok(Written::Dropped(format!(
                "no mail of the kind `{}` is known to this program",
                due.kind
            )));
        }
        let Ok(payload) = serde_json::from_value::<SessionPayload>(due.payload.clone()) else {
            return Ok(Written::Dropped("the payload cannot be read".to_owned()));
        };
        let pool = self.database.pool();
        let reader = accounts::find(pool, due.account).await?;
        if reader.is_none_or(|reader| reader.suspended || !reader.session_mail) {
            return Ok(Written::Dropped(
                "the account is erased or suspended, or wants no such mail".to_owned(),
            ));
        }
        let Some(content) = mails::session_mail(pool, due.account, payload.round).await? else {
            return Ok(Written::Dropped("the account watches nothing of the round any more".to_owned()));
        };
        let to = match mailable(&content.email) {
            Ok(address) => address,
            Err(refused) => return Ok(Written::Dropped(refused.to_string())),
        };
        let token = self.settings.link_secret.as_ref().map(|secret| {
            unsubscribe_token(secret, due.account, &due.kind, SystemClock.now() + LINK_LIFETIME)
        });
        let link = |path: &str| {
            let token = token.as_ref()?;
            Some(format!("{}?token={token}", session_mail::page(&self.settings.public_url, path)))
        };
        let newest = checkpoint::newest(pool).await.map_err(StoreError::from)?;
        let page = session_mail::session_page(
            &content,
            &self.settings.public_url,
            link("unsubscribe"),
            newest.map(|newest| newest.note),
        );
        let bodies = match templates.session(&page) {
            Ok(bodies) => bodies,
            Err(error) => {
                return Ok(Written::Unready(
                    TradeError::broken("the mail cannot be rendered")(error).in_full(),
                ));
            }
        };
        Ok(Written::Letter(Box::new(Letter {
            message_id: due.message_id.clone(),
            to,
            subject: page.subject,
            html: bodies.html,
            text: bodies.text,
            at: now,
            session: Some(payload.session),
            unsubscribe: link("api/v1/unsubscribe").and_then(|url| Url::parse(&url).ok()),
        })))
    }
}

#[async_trait]
impl Trade for Notifier {
    fn name(&self) -> &'static str {
        "notifier"
    }

    fn reads(&self) -> &'static [&'static str] {
        &[accounts::NAME, watchlists::NAME, predictions::NAME]
    }

    async fn pass(&self) -> Result<Progress, TradeError> {
        let pool = self.database.pool();
        let due = outbox::claim_due(pool, self.clock.now(), AT_ONCE as i64, self.settings.lease).await?;
        if due.is_empty() {
            return Ok(Progress::Idle);
        }
        self.await_head(&due).await?;
        // Each mail is tried although another one broke: their leases end together anyway.
        let mut handled =
            stream::iter(due.into_iter().map(|mail| self.handle(mail))).buffer_unordered(AT_ONCE);
        let mut broken = None;
        while let Some(outcome) = handled.next().await {
            broken = outcome.err().or(broken);
        }
        broken.map_or(Ok(Progress::More), Err)
    }

    fn observe(&self) -> serde_json::Value {
        serde_json::json!({
            "transport": self.settings.transport.to_string(),
            "sent": self.counts.sent.load(Ordering::Relaxed),
            "postponed": self.counts.postponed.load(Ordering::Relaxed),
            "given_up": self.counts.given_up.load(Ordering::Relaxed),
        })
    }
}

/// When to try again after `made` attempts; none when the mail is given up. Up to a tenth is added by chance.
fn retry_at(made: i32, now: DateTime<Utc>, entropy: &Entropy) -> Option<DateTime<Utc>> {
    let minutes = *WAITS_MINUTES.get(usize::try_from(made).ok()?.checked_sub(1)?)?;
    let jitter = TimeDelta::milliseconds(entropy.below(minutes.unsigned_abs() * 6_000) as i64);
    Some(now + TimeDelta::minutes(minutes) + jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_tried_for_some_days_at_growing_distances_and_then_given_up() {
        let entropy = Entropy::seeded(1);
        let waits: Vec<i64> = (1..)
            .map_while(|made| retry_at(made, DateTime::UNIX_EPOCH, &entropy))
            .map(|at| at.timestamp() / 60)
            .collect();
        assert_eq!(waits.len(), 10);
        assert!(waits.is_sorted(), "{waits:?}");
        assert!((4..8).contains(&waits[1]), "greylisting is over after some five minutes: {waits:?}");
        assert!(waits.iter().sum::<i64>() > 2 * 24 * 60, "a weekend is bridged: {waits:?}");
        assert_eq!(retry_at(0, DateTime::UNIX_EPOCH, &entropy), None);
    }
}
