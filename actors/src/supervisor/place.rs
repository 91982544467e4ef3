//! A place in the house: how its actor is built, who stands there now, and what it has cost so far.

use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, Addr};

use super::budget::Budget;
use super::doorbell::{Doorbell, House, Ring};
use super::status::Status;
use crate::trade::{Trade, TradeError};

/// Builds a trade, at the start and again after each failure.
pub type Factory = Box<dyn Fn() -> Result<Arc<dyn Trade>, TradeError> + Send>;

/// A named place for one actor.
pub struct Place {
    pub(super) name: String,
    factory: Factory,
}

impl Place {
    /// A place whose actors are built by `factory`.
    pub fn new(
        name: impl Into<String>,
        factory: impl Fn() -> Result<Arc<dyn Trade>, TradeError> + Send + 'static,
    ) -> Self {
        Self { name: name.into(), factory: Box::new(factory) }
    }
}

/// A place with its history, on the thread of the doorbells.
pub(super) struct Post {
    place: Place,
    pub(super) status: Arc<Status>,
    budget: Budget,
    doorbell: Option<Addr<Doorbell>>,
    build_at: Option<Instant>,
}

impl Post {
    pub(super) fn new(place: Place, status: Arc<Status>, house: &House) -> Self {
        let budget = Budget::new(house.supervision.clone());
        Self { place, status, budget, doorbell: None, build_at: Some(Instant::now()) }
    }

    /// Rings the actor, or looks after it when it cannot hear.
    pub(super) fn attend(&mut self, house: &House, ring: bool) {
        let patience = house.supervision.patience;
        if self.status.interrupt_after(patience) {
            self.status.failed(format!("hung: a pass took longer than {patience:?}"));
        }
        let gone = self.doorbell.as_ref().is_some_and(|doorbell| !doorbell.connected());
        if let Some(reason) = self.status.take_failure() {
            self.replace(&reason);
        } else if gone && self.build_at.is_none() {
            self.replace("the actor is gone");
        }
        if self.build_at.is_some_and(|at| at <= Instant::now()) {
            self.build(house);
        } else if ring && let Some(doorbell) = &self.doorbell {
            // Full means that it rings already; closed is seen at the next look.
            let _ = doorbell.try_send(Ring);
        }
    }

    fn replace(&mut self, reason: &str) {
        self.doorbell = None;
        let (now, name) = (Instant::now(), &self.place.name);
        if let Some(rest) = self.budget.spend(now) {
            self.build_at = Some(now + rest);
            tracing::warn!(actor = name, reason, "an actor is built again after a rest");
        } else {
            self.build_at = Some(now + self.budget.within());
            self.status.give_up();
            tracing::error!(actor = name, reason, "an actor failed too often and is given up for now");
        }
    }

    fn build(&mut self, house: &House) {
        self.build_at = None;
        match (self.place.factory)() {
            Ok(trade) => {
                self.doorbell = Some(Doorbell::new(house.clone(), trade, &self.status).start());
            }
            Err(error) => self.status.failed(format!("could not be built: {}", error.in_full())),
        }
    }
}
