//! Outboxes: what must reach the outside world, written in the step that decided it and worked off
//! afterwards.
//!
//! `next_attempt_at` is the service's time, which may run faster than the wall's; a lease is taken in the
//! database's own time, because sending takes as long as it takes. A clock of its host that is set forward ends leases
//! early, and one that is set back makes leases end later than any could that is taken now: such a lease counts as ended
//! too. Either way what is being sent may be sent once more, under the same id, and nothing waits for the clock.

pub mod mail;
pub mod webhook;
