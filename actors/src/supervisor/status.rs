//! What is known of an actor while it works: written by its doorbell, read by the supervisor and by reports.
//!
//! It is not a message that the actor answers, because an actor that hangs could not, and that is when people ask.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use tokio::task::AbortHandle;

use crate::trade::Trade;

/// Whether an actor works, waits or has been given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorState {
    /// In a pass.
    Running,
    /// Nothing is due, or it rests after a failure.
    Waiting,
    /// It cannot go on until somebody has looked, tries again now and then, and goes on by itself when it can.
    Held,
    /// Given up after too many failures, until a pass ends well again.
    Failed,
}

/// One actor, as the admin page, health and tests see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActorReport {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: ActorState,
    /// How often it was built again.
    pub restarts: u32,
    /// When a pass of it last ended well, by the service's clock.
    pub last_progress_at: Option<DateTime<Utc>>,
    /// What it says of itself.
    pub detail: Value,
    /// Why its last pass failed; none after one that ended well.
    pub error: Option<String>,
}

/// The passes of an actor, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Passes {
    /// Begun so far.
    pub(super) begun: u64,
    /// The number of the last one that found nothing due.
    pub(super) idle: u64,
    /// Those that found something to do.
    pub(super) productive: u64,
}

/// The shared state of one actor's place.
#[derive(Default)]
pub(super) struct Status(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    trade: Option<Arc<dyn Trade>>,
    /// Changes whenever the actor that stood here is not listened to any more.
    shift: u64,
    /// Counts the actors that have stood here.
    built: u32,
    passes: Passes,
    given_up: bool,
    in_pass: Option<(Instant, AbortHandle)>,
    last_progress_at: Option<DateTime<Utc>>,
    error: Option<String>,
    /// Whether that error is one that somebody has to look at.
    held: bool,
    /// Why the actor cannot go on; taken by the supervisor.
    failure: Option<String>,
}

impl Status {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new actor takes the place; what an earlier one may still say is not heard any more.
    pub(super) fn manned_by(self: &Arc<Self>, trade: Arc<dyn Trade>) -> Shift {
        let mut inner = self.lock();
        inner.shift += 1;
        inner.built += 1;
        (inner.trade, inner.in_pass, inner.failure, inner.held) = (Some(trade), None, None, false);
        Shift { status: Arc::clone(self), number: inner.shift }
    }

    /// The actor's place stays empty.
    pub(super) fn abandoned(&self) {
        let mut inner = self.lock();
        inner.shift += 1;
        inner.trade = None;
        if let Some((_, pass)) = inner.in_pass.take() {
            pass.abort();
        }
    }

    pub(super) fn passes(&self) -> Passes {
        self.lock().passes
    }

    pub(super) fn in_pass(&self) -> bool {
        self.lock().in_pass.is_some()
    }

    pub(super) fn error(&self) -> Option<String> {
        self.lock().error.clone()
    }

    pub(super) fn given_up(&self) -> bool {
        self.lock().given_up
    }

    pub(super) fn give_up(&self) {
        self.lock().given_up = true;
    }

    /// A failure that its doorbell could not tell of: it hangs, or could not be built.
    pub(super) fn failed(&self, reason: String) {
        let mut inner = self.lock();
        (inner.error, inner.failure) = (Some(reason.clone()), Some(reason));
    }

    pub(super) fn take_failure(&self) -> Option<String> {
        self.lock().failure.take()
    }

    /// Cuts off a pass that has gone on for longer than `patience`; true when there was one.
    pub(super) fn interrupt_after(&self, patience: Duration) -> bool {
        let mut inner = self.lock();
        let hangs = inner.in_pass.as_ref().is_some_and(|(since, _)| since.elapsed() > patience);
        if hangs && let Some((_, pass)) = inner.in_pass.take() {
            inner.shift += 1;
            pass.abort();
        }
        hangs
    }

    pub(super) fn report(&self, name: &str) -> ActorReport {
        let (mut report, trade) = {
            let inner = self.lock();
            let state = match (inner.given_up, inner.held, &inner.in_pass) {
                (true, _, _) => ActorState::Failed,
                (false, true, _) => ActorState::Held,
                (false, false, Some(_)) => ActorState::Running,
                (false, false, None) => ActorState::Waiting,
            };
            let report = ActorReport {
                name: name.to_owned(),
                state,
                restarts: inner.built.saturating_sub(1),
                last_progress_at: inner.last_progress_at,
                detail: Value::Null,
                error: inner.error.clone(),
            };
            (report, inner.trade.clone())
        };
        // Outside the lock: what a trade says of itself is its own affair.
        report.detail = trade.map_or(Value::Null, |trade| trade.observe());
        report
    }
}

/// One actor's time at its place.
#[derive(Clone)]
pub(super) struct Shift {
    status: Arc<Status>,
    number: u64,
}

impl Shift {
    /// Whether no other actor stands here by now.
    pub(super) fn goes_on(&self) -> bool {
        self.status.lock().shift == self.number
    }

    fn write(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.status.lock();
        if inner.shift == self.number {
            change(&mut inner);
        }
    }

    pub(super) fn began(&self, pass: AbortHandle) {
        self.write(|inner| {
            inner.passes.begun += 1;
            inner.in_pass = Some((Instant::now(), pass));
        });
    }

    /// A pass ended well; `idle` when it found nothing due.
    pub(super) fn ended(&self, idle: bool, now: DateTime<Utc>) {
        self.write(|inner| {
            (inner.in_pass, inner.error, inner.last_progress_at) = (None, None, Some(now));
            (inner.given_up, inner.held) = (false, false);
            if idle {
                inner.passes.idle = inner.passes.begun;
            } else {
                inner.passes.productive += 1;
            }
        });
    }

    /// A pass did not begin in earnest, because the tables it reads were behind the log.
    pub(super) fn put_off(&self) {
        self.write(|inner| inner.in_pass = None);
    }

    /// A pass failed and is tried again; `held` when that helps only after somebody has looked.
    pub(super) fn stumbled(&self, error: String, held: bool) {
        self.write(|inner| (inner.in_pass, inner.error, inner.held) = (None, Some(error), held));
    }

    /// A pass failed so that the supervisor must decide.
    pub(super) fn failed(&self, reason: String) {
        self.write(|inner| {
            (inner.in_pass, inner.error, inner.failure) = (None, Some(reason.clone()), Some(reason));
        });
    }
}
