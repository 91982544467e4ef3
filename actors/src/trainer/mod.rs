//! The Trainer: turns requests for training into registered versions.
//!
//! 1. It asks for a run itself when there is enough data and no version, again every so many sessions (`schedule.rs`), and
//!    when what is published drifts or decays (`watch.rs`).
//! 2. For the oldest run that has not ended it takes a lease in the database, says on which data it starts, and
//!    trains on a blocking thread (`job.rs`): one training at a time, and one trainer among all processes.
//! 3. While that goes on, passes look after it: they prolong the lease, and break it off when the run was cancelled.
//! 4. The objects are written first, then the version is registered and the run completed (`registration.rs`). Cut off
//!    anywhere, the run is still due, and what was registered is found by the run's id.
//! 5. A run that brings in a model trained elsewhere goes the same way: its files are looked at instead (`import.rs`).
//! 6. The gate (`gate.rs`) promotes the first version without a person, and puts later ones on trial.

mod evaluate;
mod gate;
mod import;
mod job;
mod measures;
mod now;
mod rebuild;
mod registration;
mod schedule;
mod watch;
mod watched;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use almanac_domain::ids;
use almanac_domain::training_run::{TrainingFailed, TrainingRun, TrainingRunCommand, TrainingRunRefusal};
use almanac_domain::values::Session;
use almanac_projections::{ingestions, instruments, models, predictions, training_runs, trials};
use almanac_store::log::{Cause, CommandError, EventKey, Issued, LogReader, Until, wait_for};
use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::parts::Parts;
use crate::trade::{Progress, Trade, TradeError};
pub use evaluate::{EvaluateError, EvaluateReport, evaluate_now};
pub use import::{ImportNowError, ImportReport, OnnxFile, import_onnx};
use job::{Ended, Job, TakenUp};
pub use now::{TrainNowError, TrainReport, train_now};
pub use rebuild::{Outcome, RebuildError, RebuildReport, rebuild};

/// How long a pass waits to see in the tables what it has written.
const SEEING: Duration = Duration::from_secs(5);

/// How soon a trainer looks again whether the one at work has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Why a run failed is told in so many characters at most.
const LONGEST_DETAIL: usize = 1_000;

/// Trains.
pub struct Trainer {
    parts: Parts,
    job: tokio::sync::Mutex<Option<Job>>,
    /// What is shown; kept apart because a pass holds the job.
    shown: Mutex<Option<Shown>>,
    /// The session that what is published was last looked at for.
    watched: tokio::sync::Mutex<Option<Session>>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Shown {
    run: Uuid,
    progress: f64,
}

impl Trainer {
    /// A trainer with nothing to do yet.
    pub fn new(parts: &Parts) -> Self {
        Self {
            parts: parts.clone(),
            job: tokio::sync::Mutex::new(None),
            shown: Mutex::new(None),
            watched: tokio::sync::Mutex::new(None),
        }
    }

    fn show(&self, shown: Option<Shown>) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }
}

#[async_trait]
impl Trade for Trainer {
    fn name(&self) -> &'static str {
        "trainer"
    }

    fn reads(&self) -> &'static [&'static str] {
        &[
            ingestions::NAME,
            instruments::NAME,
            models::NAME,
            predictions::NAME,
            training_runs::NAME,
            trials::NAME,
        ]
    }

    async fn pass(&self) -> Result<Progress, TradeError> {
        let mut under_way = self.job.lock().await;
        if let Some(job) = &mut *under_way {
            let ended = job.look_after(&self.parts).await?;
            self.show(Some(Shown { run: job.run(), progress: job.share_done() }));
            let Some(ended) = ended else { return Ok(Progress::More) };
            let job = under_way.take();
            self.show(None);
            if let Some(job) = job {
                let last = settle(&self.parts, &job, ended).await?;
                job.release(&self.parts).await?;
                see(&self.parts, last.as_ref()).await?;
            }
            return Ok(Progress::More);
        }
        if gate::decide(&self.parts).await? {
            return Ok(Progress::More);
        }
        match Job::take_up(&self.parts).await? {
            TakenUp::Begun(job) => {
                self.show(Some(Shown { run: job.run(), progress: 0.0 }));
                *under_way = Some(*job);
                return Ok(Progress::More);
            }
            TakenUp::Ended(event) => {
                see(&self.parts, event.as_ref()).await?;
                return Ok(Progress::More);
            }
            // It is due all the same, and ours as soon as the other one has died or ended.
            TakenUp::Elsewhere => {
                tokio::time::sleep(LOOK_AGAIN).await;
                return Ok(Progress::More);
            }
            TakenUp::Nothing => {}
        }
        match schedule::request_due(&self.parts, &mut *self.watched.lock().await).await? {
            Some(event) => {
                see(&self.parts, Some(&event)).await?;
                Ok(Progress::More)
            }
            None => Ok(Progress::Idle),
        }
    }

    fn observe(&self) -> Value {
        json!({ "training": *self.shown.lock().unwrap_or_else(PoisonError::into_inner) })
    }
}

/// Writes down how a training has ended.
async fn settle(parts: &Parts, job: &Job, ended: Ended) -> Result<Option<EventKey>, TradeError> {
    match ended {
        Ended::Trained(trained) => {
            Ok(registration::register(parts, job, *trained).await?.and_then(|done| done.last))
        }
        Ended::Failed { reason, detail } => fail(parts, job.run(), &reason, &detail).await,
        Ended::BrokenOff => Ok(None),
    }
}

async fn fail(parts: &Parts, run: Uuid, reason: &str, detail: &str) -> Result<Option<EventKey>, TradeError> {
    let detail = printable(detail);
    tracing::warn!(%run, reason, detail, "a training failed");
    let failed = TrainingFailed { reason: reason.to_owned(), detail, failed_at: parts.clock.now() };
    let cause = last_of(parts, run).await?;
    command(parts, run, "fail", TrainingRunCommand::FailTraining(failed), cause).await
}

/// A sentence that can be stored and shown whatever it repeats of a file that somebody brought in.
fn printable(sentence: &str) -> String {
    let cut = |(place, letter): (usize, char)| match letter {
        _ if place == LONGEST_DETAIL => '…',
        letter if letter.is_control() => '\u{fffd}',
        letter => letter,
    };
    sentence.chars().take(LONGEST_DETAIL + 1).enumerate().map(cut).collect()
}

/// What a step of a run answers: the step before.
async fn last_of(parts: &Parts, run: Uuid) -> Result<Option<Cause>, TradeError> {
    Ok(LogReader::new(&parts.database).last_of("training_run", &run.to_string()).await?)
}

/// A command on a run, whose id follows from the run; that the run has ended already is as good.
async fn command(
    parts: &Parts,
    run: Uuid,
    what: &str,
    command: TrainingRunCommand,
    cause: Option<Cause>,
) -> Result<Option<EventKey>, TradeError> {
    let id = ids::reaction("trainer", &format!("{what} {run}"));
    let issued = Issued::new(id).correlated(run).caused_by_any(cause);
    match parts.bus.execute::<TrainingRun>(&run.to_string(), command, &issued).await {
        Ok(committed) => Ok(committed.last().cloned()),
        Err(CommandError::Refused(TrainingRunRefusal::Ended)) => Ok(None),
        Err(CommandError::Broken(error)) => Err(error.into()),
        Err(error) => Err(TradeError::broken("could not write down a training")(error)),
    }
}

/// Waits until the tables show an event.
async fn see(parts: &Parts, event: Option<&EventKey>) -> Result<(), TradeError> {
    let Some(event) = event else { return Ok(()) };
    for subscription in [training_runs::NAME, models::NAME] {
        wait_for(&parts.database, Until::Event(event), subscription, SEEING).await?;
    }
    Ok(())
}

/// Shared by a training and those who watch it.
#[derive(Default)]
struct Watch {
    progress: Mutex<Option<almanac_ml::Progress>>,
    stop: std::sync::atomic::AtomicBool,
}

impl Watch {
    fn tell(&self, progress: almanac_ml::Progress) -> ControlFlow<()> {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
        if self.stop.load(std::sync::atomic::Ordering::SeqCst) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn now(&self) -> Option<almanac_ml::Progress> {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(self: &Arc<Self>) {
        self.stop.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_is_told_in_part_and_without_what_cannot_be_stored() {
        assert_eq!(printable("the operation a\u{0}b is not known"), "the operation a\u{fffd}b is not known");
        let long = printable(&"é".repeat(LONGEST_DETAIL + 5));
        assert_eq!((long.chars().count(), long.ends_with("é…")), (LONGEST_DETAIL + 1, true));
        let fits = "é".repeat(LONGEST_DETAIL);
        assert_eq!(printable(&fits), fits);
    }
}
