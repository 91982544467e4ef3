//! What every actor of this crate is: a trade that is done in passes.
//!
//! The log and the tables are the truth; a ring of the doorbell carries only a reason to look. A pass asks what is
//! due, does one bounded piece of it, and says whether more is due at once. Doing a pass once too often is
//! harmless, losing a ring costs a poll interval, and a restart needs no path of its own.

use std::error::Error;

use almanac_store::StoreError;
use almanac_store::objects::ObjectError;
use async_trait::async_trait;

/// What a pass leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Something was done and more may be due: the next pass follows at once.
    More,
    /// Nothing is due now. What becomes due with time is found by the poll.
    Idle,
}

/// Why a pass could not be finished; the next one begins anew after a pause that grows.
#[derive(Debug, thiserror::Error)]
pub enum TradeError {
    /// The database or object storage did not do what was asked.
    #[error("storage failed")]
    Store(#[from] StoreError),
    /// It cannot go on until somebody has looked; it goes on by itself then.
    #[error("held up: {0}")]
    Held(String),
    /// Something else is broken.
    #[error("{doing}")]
    Broken {
        /// What could not be done, in lower case, such as `could not read the due mails`.
        doing: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl TradeError {
    /// For `map_err(TradeError::broken("could not render the mail"))`.
    pub fn broken<E: Into<Box<dyn Error + Send + Sync>>>(doing: &str) -> impl FnOnce(E) -> Self {
        move |source| Self::Broken { doing: doing.to_owned(), source: source.into() }
    }

    /// True when trying again later may succeed without anybody repairing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Store(StoreError::Object(ObjectError::Failed { .. })) | Self::Held(_) => true,
            Self::Store(error) => error.is_passing(),
            Self::Broken { .. } => false,
        }
    }

    /// The error with all its causes in one line.
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// One trade, done in passes by an actor under the supervisor.
#[async_trait]
pub trait Trade: Send + Sync + 'static {
    /// Its name in reports, such as `forecaster`.
    fn name(&self) -> &'static str;

    /// The subscriptions whose tables it reads. A pass begins when they have passed the head of the log.
    fn reads(&self) -> &'static [&'static str] {
        &[]
    }

    /// Does one bounded piece of what is due. It must be safe to drop at any await and to begin again.
    async fn pass(&self) -> Result<Progress, TradeError>;

    /// A small object for the admin page: what it has done, what it is doing.
    fn observe(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}
