//! Who gave a command, when, and why.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::canonical::canonical;
use super::recorded::{EventKey, Recorded};
use super::tree::Hash;

/// A fact that a command answers: which event it is, and the story it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The event.
    pub key: EventKey,
    /// What it shares with all consequences of one beginning.
    pub correlation_id: Option<Uuid>,
}

impl From<&Recorded> for Cause {
    fn from(event: &Recorded) -> Self {
        Self { key: event.key.clone(), correlation_id: event.correlation_id() }
    }
}

/// The circumstances of a command. They travel in the metadata of every event it makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Names the command: given twice, it has one effect and one answer.
    pub command_id: Uuid,
    /// Shared by all consequences of one request.
    pub correlation_id: Uuid,
    /// The event that made somebody give this command.
    pub causation: Option<EventKey>,
    /// The account that acts; none for the service itself.
    pub account: Option<Uuid>,
    /// Digest of the request, where the same id with another body must be refused.
    pub request_hash: Option<Hash>,
}

impl Issued {
    /// A command of the service itself that begins a story of its own.
    pub fn new(command_id: Uuid) -> Self {
        Self { command_id, correlation_id: command_id, causation: None, account: None, request_hash: None }
    }

    /// Makes the command part of the story `correlation_id`.
    #[must_use]
    pub fn correlated(self, correlation_id: Uuid) -> Self {
        Self { correlation_id, ..self }
    }

    /// Names the event the command answers, and takes over its story.
    #[must_use]
    pub fn caused_by(self, cause: impl Into<Cause>) -> Self {
        let Cause { key, correlation_id } = cause.into();
        Self { correlation_id: correlation_id.unwrap_or(self.correlation_id), causation: Some(key), ..self }
    }

    /// The same where the cause may not be known.
    #[must_use]
    pub fn caused_by_any(self, cause: Option<Cause>) -> Self {
        match cause {
            Some(cause) => self.caused_by(cause),
            None => self,
        }
    }

    /// Names the account that acts.
    #[must_use]
    pub fn by(self, account: Uuid) -> Self {
        Self { account: Some(account), ..self }
    }

    /// Binds the command id to this request: with another one it is refused.
    ///
    /// # Errors
    /// When the request cannot be written as JSON.
    pub fn for_request(self, request: &impl Serialize) -> Result<Self, serde_json::Error> {
        let form = canonical(&serde_json::to_value(request)?);
        Ok(Self { request_hash: Some(Sha256::digest(form).into()), ..self })
    }

    /// The same circumstances for one item of a batch: its command id follows from the batch's and the item's
    /// place.
    pub(crate) fn for_item(&self, aggregate_type: &str, aggregate_id: &str) -> Self {
        let name = format!("{aggregate_type}:{aggregate_id}");
        Self { command_id: Uuid::new_v5(&self.command_id, name.as_bytes()), ..self.clone() }
    }

    /// The metadata of the events; `at` is the service's time.
    pub(crate) fn metadata(&self, at: DateTime<Utc>) -> HashMap<String, String> {
        let mut metadata = HashMap::from([
            ("at".to_owned(), at.to_rfc3339_opts(SecondsFormat::Micros, true)),
            ("command_id".to_owned(), self.command_id.to_string()),
            ("correlation_id".to_owned(), self.correlation_id.to_string()),
        ]);
        if let Some(cause) = &self.causation {
            metadata.insert("causation_id".to_owned(), cause.to_string());
        }
        if let Some(account) = self.account {
            metadata.insert("account".to_owned(), account.to_string());
        }
        metadata
    }
}
