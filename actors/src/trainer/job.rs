//! One training under way: its lease, its data, and the thread that computes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use almanac_domain::model::Origin;
use almanac_domain::training_run::{
    FeatureSet, ModelImport, TrainingPlan, TrainingRun, TrainingRunCommand, TrainingRunRefusal,
    TrainingStarted,
};
use almanac_domain::values::{ModelName, Session};
use almanac_ml::{
    DailySentiment, Family, ImportError, Inputs, Panel, TrainError, Trained, TrainingSpec, train,
};
use almanac_projections::training_runs::{self, DueRun};
use almanac_store::StoreError;
use almanac_store::leases::{self, Lease};
use almanac_store::log::{CommandError, EventKey, Issued};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::import::{Files, fetch, imported, look_at};
use super::registration::Lineage;
use super::{Watch, fail, last_of, registration};
use crate::market::View;
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
    /// It had become a version before, or cannot become one; now it is written down.
    Ended(Option<EventKey>),
    /// Another trainer is at work.
    Elsewhere,
    /// There is nothing to train, or nothing to learn from.
    Nothing,
}

/// A run that was asked for.
pub(super) struct Wanted {
    pub(super) run: Uuid,
    pub(super) model: ModelName,
    pub(super) plan: TrainingPlan,
    /// What to bring in instead of training.
    pub(super) import: Option<ModelImport>,
}

impl From<DueRun> for Wanted {
    fn from(due: DueRun) -> Self {
        Self { run: due.id, model: due.model, plan: due.plan, import: due.import }
    }
}

/// What a version is made of, beside the prices.
enum Material {
    /// Nothing, or news.
    Learn(Option<Vec<DailySentiment>>),
    /// The files of a model trained elsewhere, and the last session it may have learnt from.
    BringIn(Files, Option<Session>),
}

impl Material {
    /// Makes the version, telling `watch` how far it has come.
    fn make(
        &self,
        panel: &Panel,
        plan: &TrainingPlan,
        as_of: Session,
        watch: &Watch,
    ) -> Result<Trained, ImportError> {
        match self {
            Self::Learn(news) => Ok(learn(panel, news.as_deref(), plan, as_of, watch)?),
            Self::BringIn(files, through) => look_at(panel, files, (plan.seed, *through), as_of, watch),
        }
    }
}

/// A training under way. Dropping it breaks it off at its next step.
pub(super) struct Job {
    wanted: Wanted,
    started: TrainingStarted,
    lease: Lease,
    renewed: Instant,
    asked: Instant,
    broken_off: bool,
    watch: Arc<Watch>,
    work: JoinHandle<Result<Trained, ImportError>>,
}

impl Job {
    /// Takes up the oldest run that is due, if nobody else trains.
    pub(super) async fn take_up(parts: &Parts) -> Result<TakenUp, TradeError> {
        let due = training_runs::due(parts.database.pool()).await?;
        // A model is trained by who is set up for it; to look at one that is brought in takes no settings.
        let ours = |run: &DueRun| run.model == parts.settings.model || run.import.is_some();
        let Some(run) = due.into_iter().find(ours) else {
            return Ok(TakenUp::Nothing);
        };
        if let Some(version) = registration::version_of(parts, &run.model, run.id).await? {
            // Cut off between the version and the end of the run.
            let completed = registration::complete(parts, &run.model, run.id, version).await?;
            return Ok(TakenUp::Ended(completed));
        }
        Self::begin(parts, run.into()).await
    }

    /// Starts what is wanted.
    pub(super) async fn begin(parts: &Parts, wanted: Wanted) -> Result<TakenUp, TradeError> {
        let view = parts.market.view().await?;
        let Some(as_of) = view.last_session() else { return Ok(TakenUp::Nothing) };
        let Ok(room) = Arc::clone(&parts.training_room).try_acquire_owned() else {
            return Ok(TakenUp::Elsewhere);
        };
        let (holder, time) = (parts.entropy.uuid_v7(parts.clock.now()), parts.settings.training.lease);
        let Some(lease) = leases::take(&parts.database, LEASE, holder, time).await? else {
            return Ok(TakenUp::Elsewhere);
        };
        let begun = Self::begin_under(parts, wanted, &view, (as_of, room), &lease).await;
        if matches!(begun, Ok(TakenUp::Begun(_))) {
            return begun;
        }
        // Whatever came in between: nobody else would train until it has run out.
        let released = leases::release(parts.database.pool(), &lease).await;
        let ended = begun?;
        released?;
        Ok(ended)
    }

    async fn begin_under(
        parts: &Parts,
        wanted: Wanted,
        view: &View,
        (as_of, room): (Session, OwnedSemaphorePermit),
        lease: &Lease,
    ) -> Result<TakenUp, TradeError> {
        let panel = view.panel(as_of);
        let mut manifest = view.manifest();
        let material = match &wanted.import {
            Some(import) => match fetch(parts, import).await? {
                Ok(files) => Material::BringIn(files, import.learnt_through),
                // It would be due for ever, and every training behind it would wait.
                Err(lost) => {
                    return Ok(TakenUp::Ended(fail(parts, wanted.run, lost.reason, &lost.detail).await?));
                }
            },
            None if wanted.plan.sentiment => {
                let (headlines, tones) = parts.news.named_sentiment().await?;
                manifest.headlines = Some(headlines);
                Material::Learn(Some(tones))
            }
            None => Material::Learn(None),
        };
        parts.objects.put("datasets", manifest.to_bytes(), "json").await.map_err(StoreError::from)?;
        let started = TrainingStarted {
            as_of,
            dataset: manifest.digest(),
            rows: panel.len() as u64,
            instruments: panel.keys().len() as u64,
            started_at: parts.clock.now(),
        };
        if !start(parts, wanted.run, started.clone()).await? {
            return Ok(TakenUp::Nothing);
        }
        let watch = Arc::<Watch>::default();
        let work = {
            let (plan, watch) = (wanted.plan.clone(), Arc::clone(&watch));
            tokio::task::spawn_blocking(move || {
                // Held by the thread itself: it outlives an actor that is built anew.
                let _room = room;
                material.make(&panel, &plan, as_of, &watch)
            })
        };
        let (now, lease) = (Instant::now(), lease.clone());
        let job = Self { wanted, started, lease, renewed: now, asked: now, broken_off: false, watch, work };
        Ok(TakenUp::Begun(Box::new(job)))
    }

    /// Waits a little for the end, keeps the lease, and sees whether the run was cancelled.
    pub(super) async fn look_after(&mut self, parts: &Parts) -> Result<Option<Ended>, TradeError> {
        if let Ok(done) = tokio::time::timeout(LOOK, &mut self.work).await {
            return Ok(Some(match done {
                Ok(Err(ImportError::Training(TrainError::Cancelled))) => Ended::BrokenOff,
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
            if parts.bus.load::<TrainingRun>(&self.wanted.run.to_string()).await? == TrainingRun::Ended {
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
        self.wanted.run
    }

    /// What the version it makes follows from.
    pub(super) fn lineage(&self) -> Lineage {
        let Wanted { run, model, plan, import } = &self.wanted;
        let origin = import.as_ref().map_or(Origin::Trained, |import| {
            let files = import.files.iter().map(|file| file.object.sha256.clone());
            imported(files.collect(), import.learnt_through)
        });
        Lineage {
            model: model.clone(),
            run: *run,
            plan: plan.clone(),
            as_of: self.started.as_of,
            dataset: self.started.dataset.clone(),
            origin,
        }
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
    panel: &Panel,
    news: Option<&[DailySentiment]>,
    plan: &TrainingPlan,
    as_of: Session,
    watch: &Watch,
) -> Result<Trained, TrainError> {
    let spec = spec(plan).ok_or(TrainError::BadSpec("the family is none that this version knows"))?;
    let inputs = Inputs::new(panel, news);
    train(&inputs, &spec, as_of, &mut |progress| watch.tell(progress))
}

/// What a plan means to this version of the program; nothing for a family it does not know.
pub(super) fn spec(plan: &TrainingPlan) -> Option<TrainingSpec> {
    Some(TrainingSpec {
        family: Family::named(&plan.family)?.seeded(plan.seed),
        features: match plan.feature_set {
            FeatureSet::Core => almanac_ml::FeatureSet::Core,
            FeatureSet::Wide => almanac_ml::FeatureSet::Wide,
        },
        horizons: horizons(plan),
        seed: plan.seed,
        ..TrainingSpec::default()
    })
}

/// The horizons of a plan, in rows.
pub(super) fn horizons(plan: &TrainingPlan) -> Vec<usize> {
    plan.horizons.iter().map(|horizon| horizon.sessions() as usize).collect()
}

/// The stable word for a run that made nothing.
fn reason(error: &ImportError) -> &'static str {
    match error {
        ImportError::File { .. } => "file_refused",
        ImportError::NotFinite { .. } => "not_finite",
        ImportError::OtherSize { .. } => "other_size",
        ImportError::NotRepeatable { .. } => "not_repeatable",
        ImportError::Training(TrainError::Cancelled) => "cancelled",
        ImportError::Training(TrainError::BadSpec(_)) => "bad_plan",
        ImportError::Training(TrainError::NotEnoughData { .. }) => "too_little_data",
        ImportError::Training(TrainError::Fit(_)) => "not_fitted",
        ImportError::Training(TrainError::Leak(_)) => "leak_found",
        _ => "failed",
    }
}

#[cfg(test)]
mod tests {
    use almanac_ml::leaks::{LeakCheck, LeakKind, LeakReport};
    use almanac_ml::models::FitError;
    use almanac_ml::onnx::OnnxError;

    use super::*;

    #[test]
    fn whatever_makes_no_version_has_a_word_of_its_own_that_stays() {
        let failure = Some("lr_1 of A changes when the future is cut off".to_owned());
        let check = LeakCheck { kind: LeakKind::Truncation, case: "lr_1".to_owned(), failure };
        let leak = TrainError::Leak(Box::new(LeakReport { checks: vec![check], suspicions: vec![] }));
        assert!(leak.to_string().contains("changes when the future is cut off"), "{leak}");
        let (horizon, key) = (1, "A".to_owned());
        for (error, word) in [
            (TrainError::Cancelled.into(), "cancelled"),
            (TrainError::BadSpec("no horizon").into(), "bad_plan"),
            (TrainError::NotEnoughData { detail: "three rows".to_owned() }.into(), "too_little_data"),
            (FitError::Singular.into(), "not_fitted"),
            (leak.into(), "leak_found"),
            (ImportError::File { horizon, source: OnnxError::Foreign }, "file_refused"),
            (ImportError::NotFinite { horizon, key, session: Session::MIN }, "not_finite"),
            (ImportError::OtherSize { horizon, times: 100.0 }, "other_size"),
            (ImportError::NotRepeatable { horizon }, "not_repeatable"),
        ] {
            assert_eq!(reason(&error), word, "{error}");
        }
    }
}
