//! The actor that every trade sits behind: a doorbell with a small mailbox.
//!
//! 1. A ring while nothing goes on begins a pass; a ring during a pass is remembered as one ring, so a million of
//!    them cost one boolean, and a full mailbox means that the bell is ringing already.
//! 2. A pass runs on the service's runtime, apart from this actor: a panic in it ends in a join error here.
//! 3. A pass that found something to do is followed by the next at once; one that failed by a rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use almanac_domain::clock::Clock;
use almanac_store::Database;
use almanac_store::log::{LogReader, Until, wait_for};
use tokio::runtime::Handle;
use tokio::task::JoinError;

use super::budget::pause;
use super::status::{Shift, Status};
use crate::settings::Supervision;
use crate::trade::{Progress, Trade, TradeError};

/// So many rings wait at most; one would do.
const MAILBOX: usize = 2;

/// How long a pass waits for the tables it reads before it is put off.
const CATCHING_UP: Duration = Duration::from_secs(5);

/// A reason to look whether something is due. It carries nothing.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(super) struct Ring;

/// What all doorbells share.
#[derive(Clone)]
pub(super) struct House {
    pub(super) database: Database,
    pub(super) clock: Arc<dyn Clock>,
    /// Where passes run. Doorbells live on one thread of their own, which no pass can block.
    pub(super) runtime: Handle,
    pub(super) supervision: Supervision,
    /// Set when no new pass is to begin.
    pub(super) closing: Arc<AtomicBool>,
}

/// One trade and its bell.
pub(super) struct Doorbell {
    house: House,
    trade: Arc<dyn Trade>,
    shift: Shift,
    busy: bool,
    rung: bool,
    stumbles: usize,
}

enum Ended {
    Well(Progress),
    /// The tables were behind.
    PutOff,
}

impl Doorbell {
    pub(super) fn new(house: House, trade: Arc<dyn Trade>, status: &Arc<Status>) -> Self {
        let shift = status.manned_by(Arc::clone(&trade));
        Self { house, trade, shift, busy: false, rung: false, stumbles: 0 }
    }

    fn begin(&mut self, ctx: &mut Context<Self>) {
        if !self.shift.goes_on() || self.house.closing.load(Ordering::SeqCst) {
            return ctx.stop();
        }
        (self.busy, self.rung) = (true, false);
        let pass = self.house.runtime.spawn(pass(self.house.database.clone(), Arc::clone(&self.trade)));
        self.shift.began(pass.abort_handle());
        ctx.spawn(pass.into_actor(self).map(|outcome, doorbell, ctx| doorbell.ended(outcome, ctx)));
    }

    fn ended(&mut self, outcome: Result<Result<Ended, TradeError>, JoinError>, ctx: &mut Context<Self>) {
        let now = self.house.clock.now();
        match outcome {
            Ok(Ok(Ended::Well(progress))) => {
                self.stumbles = 0;
                self.shift.ended(progress == Progress::Idle, now);
                self.rest_over(progress == Progress::More, ctx);
            }
            Ok(Ok(Ended::PutOff)) => {
                self.shift.put_off();
                self.rest_over(false, ctx);
            }
            Ok(Err(error)) if error.is_passing() => {
                let reason = error.in_full();
                tracing::warn!(actor = self.trade.name(), reason, "a pass failed and is tried again");
                self.shift.stumbled(reason, matches!(error, TradeError::Held(_)));
                let rest = pause(&self.house.supervision, self.stumbles);
                self.stumbles += 1;
                // Busy until then: a ring does not cut the rest short.
                ctx.run_later(rest, |doorbell, ctx| doorbell.rest_over(true, ctx));
            }
            Ok(Err(error)) => self.fail(error.in_full(), ctx),
            Err(error) if error.is_cancelled() => self.fail("the pass was interrupted".to_owned(), ctx),
            Err(error) => self.fail(format!("panicked: {}", words_of(error)), ctx),
        }
    }

    fn rest_over(&mut self, more: bool, ctx: &mut Context<Self>) {
        self.busy = false;
        if more || self.rung {
            self.begin(ctx);
        }
    }

    fn fail(&mut self, reason: String, ctx: &mut Context<Self>) {
        tracing::error!(actor = self.trade.name(), reason, "an actor failed");
        self.shift.failed(reason);
        ctx.stop();
    }
}

impl Actor for Doorbell {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        // What is due is found by looking; no ring from before a restart is needed.
        self.begin(ctx);
    }
}

impl Handler<Ring> for Doorbell {
    type Result = ();

    fn handle(&mut self, _: Ring, ctx: &mut Self::Context) {
        if self.busy {
            self.rung = true;
        } else {
            self.begin(ctx);
        }
    }
}

async fn pass(database: Database, trade: Arc<dyn Trade>) -> Result<Ended, TradeError> {
    let reads = trade.reads();
    if !reads.is_empty() {
        let head = LogReader::new(&database).head().await?;
        for subscription in reads {
            if !wait_for(&database, Until::Ordinal(head), subscription, CATCHING_UP).await? {
                return Ok(Ended::PutOff);
            }
        }
    }
    trade.pass().await.map(Ended::Well)
}

/// What a panic said.
fn words_of(error: JoinError) -> String {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without words".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use almanac_domain::clock::SetClock;
    use almanac_store::testing::TestDatabase;
    use async_trait::async_trait;
    use chrono::DateTime;

    struct Calm;

    #[async_trait]
    impl Trade for Calm {
        fn name(&self) -> &'static str {
            "calm"
        }

        async fn pass(&self) -> Result<Progress, TradeError> {
            Ok(Progress::Idle)
        }
    }

    #[test]
    fn fault_24_a_mailbox_that_nobody_empties_refuses_further_rings() {
        actix::System::new().block_on(async {
            let database = TestDatabase::new().await;
            let house = House {
                database: database.database().clone(),
                clock: Arc::new(SetClock::at(DateTime::UNIX_EPOCH)),
                runtime: Handle::current(),
                supervision: Supervision::default(),
                closing: Arc::new(AtomicBool::new(false)),
            };
            let status = Arc::<Status>::default();
            let doorbell = Doorbell::new(house, Arc::new(Calm), &status).start();
            // Until it has set the size of its mailbox, the usual one of actix holds.
            while status.passes().idle == 0 {
                tokio::task::yield_now().await;
            }
            // Without an await in between, nobody empties it.
            let taken = (0..1_000_000).filter(|_| doorbell.try_send(Ring).is_ok()).count();
            assert!((1..=MAILBOX + 1).contains(&taken), "{taken} rings are kept");
            let begun = status.passes().begun;
            while status.passes().begun == begun {
                tokio::task::yield_now().await;
            }
        });
    }
}
