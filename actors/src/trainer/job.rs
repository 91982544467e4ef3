//! One training under way: its lease, its data, and the thread that computes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use almanac_domain::training_run::{
    TrainingPlan, TrainingRun, TrainingRunCommand, TrainingRunRefusal, TrainingStarted,
};
use almanac_domain::values::{Digest, Session};
use almanac_ml::{DailySentiment, Family, Inputs, TrainError, Trained, TrainingSpec, train};
use almanac_projections::training_runs;
use almanac_store::StoreError;
use almanac_store::leases::{self, Lease};
use almanac_store::log::{CommandError, EventKey, Issued};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Watch, last_of, registration};
use crate::parts::Parts;
use crate::trade::TradeError;

/// The lease that one trainer among all processes holds.
const LEASE: &str = "training";
/// How long a look waits for the end before it reports.
const LOOK: Duration = Duration::from_millis(100);
/// How often the log is asked whether the run was cancelled.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How a training has ended.
pub(super) enum Ended {
    Trained(Box<Trained>),
    Failed {
        reason: String,
        detail: String,
    },
    /// It was cancelled, or somebody else has the lease by now; there is nothing to write down.
    BrokenOff,
}

/// What became of the wish to train.
pub(super) enum TakenUp {
    /// It goes on.
    Begun(Box<Job>),
    /// The run had become a version before; now it is written down.
    Completed(Option<EventKey>),
    /// Another trainer is at work.
    Elsewhere,
    /// There is nothing to train, or nothing to learn from.
    Nothing,
}

/// A training under way. Dropping it breaks it off at its next step.
pub(super) struct Job {
    run: Uuid,
    plan: TrainingPlan,
    started: TrainingStarted,
    lease: Lease,
    renewed: Instant,
    asked: Instant,
    broken_off: bool,
    watch: Arc<Watch>,
    work: JoinHandle<Result<Trained, TrainError>>,
}

impl Job {
    /// Takes up the oldest run that is due, if nobody else trains.
    pub(super) async fn take_up(parts: &Parts) -> Result<TakenUp, TradeError> {
        let due = training_runs::due(parts.database.pool()).await?;
        let Some(run) = due.into_iter().find(|run| run.model == parts.settings.model) else {
            return Ok(TakenUp::Nothing);
        };
        if let Some(version) = registration::version_of(parts, run.id).await? {
            // Cut off between the version and the end of the run.
            return Ok(TakenUp::Completed(registration::complete(parts, run.id, version).await?));
        }
        Self::begin(parts, run.id, run.plan).await
    }

    /// Starts `run`.
    pub(super) async fn begin(parts: &Parts, run: Uuid, plan: TrainingPlan) -> Result<TakenUp, TradeError> {
        let view = parts.market.view().await?;
        let Some(as_of) = view.last_session() else { return Ok(TakenUp::Nothing) };
        let Ok(room) = Arc::clone(&parts.training_room).try_acquire_owned() else {
            return Ok(TakenUp::Elsewhere);
        };
        let (holder, time) = (parts.entropy.uuid_v7(parts.clock.now()), parts.settings.training.lease);
        let Some(lease) = leases::take(&parts.database, LEASE, holder, time).await? else {
            return Ok(TakenUp::Elsewhere);
        };
        let panel = view.panel(as_of);
        let (mut manifest, mut news) = (view.manifest(), None);
        if plan.sentiment {
            let (headlines, tones) = parts.news.named_sentiment().await?;
            (manifest.headlines, news) = (Some(headlines), Some(tones));
        }
        parts.objects.put("datasets", manifest.to_bytes(), "json").await.map_err(StoreError::from)?;
        let started = TrainingStarted {
            as_of,
            dataset: manifest.digest(),
            rows: panel.len() as u64,
            instruments: panel.keys().len() as u64,
            started_at: parts.clock.now(),
        };
        if !start(parts, run, started.clone()).await? {
            leases::release(parts.database.pool(), &lease).await?;
            return Ok(TakenUp::Nothing);
        }
        let watch = Arc::<Watch>::default();
        let work = {
            let (plan, watch) = (plan.clone(), Arc::clone(&watch));
            tokio::task::spawn_blocking(move || {
                // Held by the thread itself: it outlives an actor that is built anew.
                let _room = room;
                learn(&panel, news.as_deref(), &plan, as_of, &watch)
            })
        };
        let now = Instant::now();
        let job =
            Self { run, plan, started, lease, renewed: now, asked: now, broken_off: false, watch, work };
        Ok(TakenUp::Begun(Box::new(job)))
    }

    /// Waits a little for the end, keeps the lease, and sees whether the run was cancelled.
    pub(super) async fn look_after(&mut self, parts: &Parts) -> Result<Option<Ended>, TradeError> {
        if let Ok(done) = tokio::time::timeout(LOOK, &mut self.work).await {
            return Ok(Some(match done {
                Ok(Err(TrainError::Cancelled)) => Ended::BrokenOff,
                Ok(_) if self.broken_off => Ended::BrokenOff,
                Ok(Ok(trained)) => Ended::Trained(Box::new(trained)),
                Ok(Err(error)) => {
                    Ended::Failed { reason: reason(&error).to_owned(), detail: error.to_string() }
                }
                Err(panic) => Ended::Failed { reason: "broken".to_owned(), detail: panic.to_string() },
            }));
        }
        let time = parts.settings.training.lease;
        if self.renewed.elapsed() >= time / 4 {
            self.renewed = Instant::now();
            if !leases::renew(parts.database.pool(), &self.lease, time).await? {
                self.break_off();
            }
        }
        if self.asked.elapsed() >= ASK_EVERY {
            self.asked = Instant::now();
            if parts.bus.load::<TrainingRun>(&self.run.to_string()).await? == TrainingRun::Ended {
                self.break_off();
            }
        }
        Ok(None)
    }

    fn break_off(&mut self) {
        self.broken_off = true;
        self.watch.stop();
    }

    /// Gives the lease back.
    pub(super) async fn release(&self, parts: &Parts) -> Result<(), TradeError> {
        Ok(leases::release(parts.database.pool(), &self.lease).await?)
    }

    pub(super) const fn run(&self) -> Uuid {
        self.run
    }

    pub(super) const fn plan(&self) -> &TrainingPlan {
        &self.plan
    }

    pub(super) const fn as_of(&self) -> Session {
        self.started.as_of
    }

    pub(super) const fn rows(&self) -> u64 {
        self.started.rows
    }

    pub(super) const fn instruments(&self) -> u64 {
        self.started.instruments
    }

    pub(super) const fn dataset(&self) -> &Digest {
        &self.started.dataset
    }

    pub(super) fn progress(&self) -> Option<almanac_ml::Progress> {
        self.watch.now()
    }

    /// From 0 to 1.
    pub(super) fn share_done(&self) -> f64 {
        self.progress().map_or(0.0, |progress| progress.step as f64 / progress.steps.max(1) as f64)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.watch.stop();
    }
}

/// Says on which data the run starts; false when it has ended.
async fn start(parts: &Parts, run: Uuid, started: TrainingStarted) -> Result<bool, TradeError> {
    let id = parts.entropy.uuid_v7(parts.clock.now());
    let command = TrainingRunCommand::StartTraining(started);
    let issued = Issued::new(id).correlated(run).caused_by_any(last_of(parts, run).await?);
    match parts.bus.execute::<TrainingRun>(&run.to_string(), command, &issued).await {
        Ok(_) => Ok(true),
        Err(CommandError::Refused(TrainingRunRefusal::Ended)) => Ok(false),
        Err(CommandError::Broken(error)) => Err(error.into()),
        Err(error) => Err(TradeError::broken("could not start a training")(error)),
    }
}

/// Trains by a plan, telling `watch` how far it has come.
pub(super) fn learn(
    panel: &almanac_ml::Panel,
    news: Option<&[DailySentiment]>,
    plan: &TrainingPlan,
    as_of: Session,
    watch: &Watch,
) -> Result<Trained, TrainError> {
    let spec = spec(plan).ok_or(TrainError::BadSpec("the family is none that this version knows"))?;
    let inputs = Inputs { panel, sentiment: news };
    train(&inputs, &spec, as_of, &mut |progress| watch.tell(progress))
}

/// What a plan means to this version of the program; nothing for a family it does not know.
pub(super) fn spec(plan: &TrainingPlan) -> Option<TrainingSpec> {
    Some(TrainingSpec {
        family: Family::named(&plan.family)?,
        horizons: horizons(plan),
        seed: plan.seed,
        ..TrainingSpec::default()
    })
}

/// The horizons of a plan, in rows.
pub(super) fn horizons(plan: &TrainingPlan) -> Vec<usize> {
    plan.horizons.iter().map(|horizon| horizon.sessions() as usize).collect()
}

/// The stable word for a training that made nothing.
fn reason(error: &TrainError) -> &'static str {
    match error {
        TrainError::Cancelled => "cancelled",
        TrainError::BadSpec(_) => "bad_plan",
        TrainError::NotEnoughData { .. } => "too_little_data",
        TrainError::Fit(_) => "not_fitted",
        TrainError::Leak(_) => "leak_found",
        _ => "failed",
    }
}
