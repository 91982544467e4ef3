//! Challengers beside the champion, from the opening of a trial to its end.

use std::collections::BTreeSet;
use std::time::Instant;

use almanac_actors::Parts;
use almanac_actors::explanations::{Explanations, Rebuilt, Unsaid};
use almanac_actors::settings::{Promotion, WatchSettings};
use almanac_actors::supervisor::{Role as Work, Running, Service};
use almanac_domain::model::{
    DecidedBy, Model, ModelCommand, ModelVersionPromoted, ModelVersionQuarantined, ModelVersionRegistered,
};
use almanac_domain::prediction::Role;
use almanac_domain::trial::{TrialEnd, TrialOpening, TrialOutcome};
use almanac_domain::values::{Horizon, Mode, Session, StoredObject};
use almanac_domain::{Event, ids};
use almanac_ml::Artefact;
use almanac_projections::models;
use almanac_projections::predictions::{self, Filter, rounds};
use almanac_projections::track_record::{self, Query};
use almanac_projections::trials::{self, Trial};
use almanac_store::Database;
use almanac_store::log::{Issued, LogReader};
use uuid::Uuid;

use crate::world::{PATIENCE, World, count, events};

const TRIAL: Uuid = Uuid::from_u128(0x78);
pub const ALICE: DecidedBy = DecidedBy::Administrator { account: Uuid::from_u128(0xa) };

/// A market with `left` sessions to come, one session ahead, where nothing is trained or tried by itself.
pub async fn quiet(left: usize) -> (World, Vec<Session>) {
    let (mut world, sessions) = World::simulated(left).await;
    let training = &mut world.settings.training;
    training.horizons = vec![Horizon::new(1).unwrap()];
    training.retrain_every = 0;
    training.promotion = Promotion::Manual;
    training.watch = WatchSettings { age: 0, coverage: 0.0, skill: 0.0, features: 0, window: 3, pause: 1 };
    training.trial.decide_after = 8;
    training.trial.latest = 12;
    (world, sessions)
}

pub async fn does(parts: &Parts, command: ModelCommand) {
    let issued = Issued::new(parts.entropy.uuid_v7(parts.clock.now()));
    parts.bus.execute::<Model>(parts.settings.model.as_str(), command, &issued).await.unwrap();
}

pub fn promotion(parts: &Parts, version: u32) -> ModelCommand {
    let (reason, promoted_at) = ("a test".to_owned(), parts.clock.now());
    ModelCommand::PromoteVersion(ModelVersionPromoted { version, by: ALICE, reason, promoted_at })
}

fn opening(parts: &Parts, version: u32) -> ModelCommand {
    ModelCommand::OpenTrial(Box::new(TrialOpening {
        trial: TRIAL,
        version,
        rule: parts.settings.training.trial.rule(parts.settings.training.horizons.clone()),
        by: ALICE,
        reason: "a test".to_owned(),
        at: parts.clock.now(),
    }))
}

/// How the first version was registered.
pub async fn registered(database: &Database) -> ModelVersionRegistered {
    let first = events(database).await.into_iter().find(|event| event.event_type == "ModelVersionRegistered");
    let Event::Model(almanac_domain::model::ModelEvent::ModelVersionRegistered(first)) =
        first.unwrap().event().unwrap()
    else {
        panic!("another event")
    };
    first
}

/// Registers version 1 once more as the next version, its artefact changed.
pub async fn register_changed(parts: &Parts, database: &Database, change: impl FnOnce(&mut Artefact)) {
    let first = registered(database).await;
    let bytes = parts.objects.get(&first.artefact.key).await.unwrap();
    let mut artefact = Artefact::open(&bytes, first.artefact.sha256.as_str()).unwrap();
    change(&mut artefact);
    let object = parts.objects.put("models", artefact.to_bytes(), "model").await.unwrap();
    let artefact =
        StoredObject { key: object.key, sha256: object.sha256.parse().unwrap(), bytes: object.len };
    let training_run = Uuid::from_u128(0x702);
    let again = ModelVersionRegistered { version: 2, training_run, artefact, ..first };
    does(parts, ModelCommand::RegisterVersion(Box::new(again))).await;
}

/// The same, its intervals `wider` times as wide.
pub async fn register_again(parts: &Parts, database: &Database, wider: f64) {
    let stretch = |artefact: &mut Artefact| {
        for model in &mut artefact.models {
            model.calibration.grid.iter_mut().for_each(|score| *score *= wider);
        }
    };
    register_changed(parts, database, stretch).await;
}

pub async fn live(world: &World, running: &Running, sessions: &[Session]) {
    for session in sessions {
        world.close(*session);
        running.run_until_idle(PATIENCE).await.unwrap();
    }
}

async fn trial(world: &World, parts: &Parts) -> Trial {
    trials::find(world.database.pool(), &parts.settings.model, TRIAL, i64::MAX).await.unwrap().unwrap()
}

/// How many slots were filled in shadow.
async fn shadows(world: &World) -> usize {
    on_trial(world.database.database()).await.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenger_with_better_intervals_wins_its_trial_and_publishes_from_then_on() {
    let (world, sessions) = quiet(11).await;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    let left = &sessions[sessions.len() - 11..];
    // The clumsy copy is champion, and what it was made from is tried against it.
    register_again(&parts, world.database.database(), 4.0).await;
    does(&parts, promotion(&parts, 2)).await;
    does(&parts, opening(&parts, 1)).await;
    running.run_until_idle(PATIENCE).await.unwrap();
    live(&world, &running, &left[..8]).await;
    let open = trial(&world, &parts).await;
    assert_eq!(open.outcome, None, "the last of eight sessions is not scored yet: {open:?}");
    live(&world, &running, &left[8..9]).await;
    let decided = trial(&world, &parts).await;
    assert_eq!((decided.outcome, decided.ended_by), (Some(TrialOutcome::Promote), Some(TrialEnd::Better)));
    let figures = decided.figures.unwrap();
    assert_eq!((figures.paired_sessions, figures.sessions), (8, 9));
    assert!(figures.p.unwrap().to_f64() < 0.05 && figures.mean_difference.unwrap().to_f64() < 0.0);

    live(&world, &running, &left[9..]).await;
    let pool = world.database.pool();
    let champion = models::champion(pool, &parts.settings.model, i64::MAX).await.unwrap().unwrap();
    assert_eq!(champion.version, 1);
    let last = rounds::last_complete(pool, &parts.settings.model).await.unwrap().unwrap();
    assert_eq!((last.session, last.version), (left[10], 1));
    assert!(shadows(&world).await > 8);
    let published = predictions::list(pool, &Filter::default(), None, 1000).await.unwrap().items;
    let during = published.iter().filter(|prediction| left[1..8].contains(&prediction.as_of));
    assert!(during.clone().count() > 8 && during.into_iter().all(|prediction| prediction.version == 2));
    assert!(running.reports().iter().all(|report| report.error.is_none()), "{:#?}", running.reports());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenger_that_says_the_same_is_not_promoted_and_the_trial_ends_all_the_same() {
    let (world, sessions) = quiet(10).await;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    register_again(&parts, world.database.database(), 1.0).await;
    does(&parts, opening(&parts, 2)).await;
    live(&world, &running, &sessions[sessions.len() - 10..]).await;
    let decided = trial(&world, &parts).await;
    assert_eq!((decided.outcome, decided.ended_by), (Some(TrialOutcome::Keep), Some(TrialEnd::NotBetter)));
    let figures = decided.figures.unwrap();
    assert_eq!((figures.mean_difference.unwrap().to_f64(), figures.p), (0.0, None));
    assert_eq!(count(world.database.database(), "ModelVersionPromoted").await, 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenger_shut_out_in_the_middle_of_its_trial_makes_nothing_more() {
    let (world, sessions) = quiet(6).await;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    register_again(&parts, world.database.database(), 1.0).await;
    does(&parts, opening(&parts, 2)).await;
    let left = &sessions[sessions.len() - 6..];
    live(&world, &running, &left[..3]).await;
    let shut = ModelVersionQuarantined {
        version: 2,
        by: Some(ALICE),
        reason: "not to be trusted".to_owned(),
        quarantined_at: parts.clock.now(),
    };
    does(&parts, ModelCommand::QuarantineVersion(shut)).await;
    running.run_until_idle(PATIENCE).await.unwrap();
    let before = shadows(&world).await;
    assert!(before > 0);
    live(&world, &running, &left[3..]).await;
    assert_eq!(shadows(&world).await, before);
    let decided = trial(&world, &parts).await;
    assert_eq!(decided.ended_by, Some(TrialEnd::ChallengerQuarantined));
    let last = rounds::last_complete(world.database.pool(), &parts.settings.model).await.unwrap().unwrap();
    assert_eq!((last.session, last.version), (left[5], 1), "the champion goes on");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promoting_and_going_back_take_effect_at_once_and_train_nothing() {
    let (world, sessions) = quiet(2).await;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    register_again(&parts, world.database.database(), 1.0).await;
    let (pool, name) = (world.database.pool(), &parts.settings.model);
    let left = &sessions[sessions.len() - 2..];
    let trained = count(world.database.database(), "TrainingStarted").await;
    let back = ModelCommand::RollBack { by: ALICE, reason: "a test".into(), at: parts.clock.now() };
    for (command, version, session) in [(promotion(&parts, 2), 2, left[0]), (back, 1, left[1])] {
        does(&parts, command).await;
        let began = Instant::now();
        while models::champion(pool, name, i64::MAX).await.unwrap().unwrap().version != version {
            assert!(began.elapsed() < PATIENCE, "version {version} does not become champion");
            tokio::task::yield_now().await;
        }
        live(&world, &running, &[session]).await;
        let last = rounds::last_complete(pool, name).await.unwrap().unwrap();
        assert_eq!((last.session, last.version), (session, version));
    }
    assert_eq!(count(world.database.database(), "TrainingStarted").await, trained);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newly_trained_version_goes_on_trial_by_itself() {
    let (mut world, sessions) = quiet(4).await;
    world.settings.training.retrain_every = 3;
    world.settings.training.promotion = Promotion::Trial;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    live(&world, &running, &sessions[sessions.len() - 4..]).await;
    let found = trials::list(world.database.pool(), &parts.settings.model, i64::MAX).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].version, found[0].champion, found[0].opened_by.as_str()), (2, 1, "gate: trial"));
    assert!(shadows(&world).await > 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_learnt_too_long_ago_abstains_and_the_record_counts_it() {
    let (mut world, sessions) = quiet(4).await;
    world.settings.expire_after = 2;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    live(&world, &running, &sessions[sessions.len() - 4..]).await;
    let pool = world.database.pool();
    let latest = predictions::latest(pool, None, None).await.unwrap();
    assert!(!latest.is_empty());
    assert!(latest.iter().all(|prediction| prediction.abstention.as_deref() == Some("expired_model")));
    let made_again = Explanations::default().of(&parts, &latest[0]).await.unwrap();
    assert_eq!(made_again.rebuilt, Rebuilt::Same);
    assert!(matches!(made_again.outcome, Err(Unsaid::Expired { .. })), "{:?}", made_again.outcome);
    let records = track_record::records(pool, &Query::default(), i64::MAX).await.unwrap();
    assert_eq!(records[0].abstained, latest.len() as u64 * 2, "two sessions beyond the third");
    assert_eq!(parts.settings.mode, Mode::Simulated);
    running.stop().await;
}

/// The slots that were filled on trial, and how often.
async fn on_trial(database: &Database) -> Vec<Uuid> {
    let mut found = vec![];
    for event in events(database).await {
        if (event.event_type == "PredictionPublished" || event.event_type == "PredictionAbstained")
            && event.payload[&event.event_type]["slot"]["role"]["kind"] == "trial"
        {
            found.push(event.key.aggregate_id.parse().unwrap());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_30_cut_off_in_shadow_again_and_again_each_slot_is_filled_once() {
    let (world, sessions) = quiet(1).await;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    register_again(&parts, world.database.database(), 1.0).await;
    does(&parts, opening(&parts, 2)).await;
    running.run_until_idle(PATIENCE).await.unwrap();
    let began_at = LogReader::new(world.database.database()).head().await.unwrap();
    running.stop().await;
    let last = sessions[sessions.len() - 1];
    world.close(last);
    let model = parts.settings.model.clone();
    let (world, deaths) = tokio::task::spawn_blocking(move || {
        let (mut until, mut deaths) = (began_at + 1, 0);
        while !one_life(&world, until) {
            deaths += 1;
            until += 1;
        }
        (world, deaths)
    })
    .await
    .unwrap();
    assert!(deaths >= 5, "{deaths} deaths are not many");
    let found = on_trial(world.database.database()).await;
    let distinct: BTreeSet<Uuid> = found.iter().copied().collect();
    assert_eq!(found.len(), distinct.len(), "a slot was filled twice");
    let slots = predictions::latest(world.database.pool(), None, None).await.unwrap();
    let role = Role::Trial { trial: TRIAL };
    let expected: BTreeSet<Uuid> = slots
        .iter()
        .map(|slot| ids::prediction(&model, slot.instrument.id, slot.as_of, slot.horizon, role))
        .collect();
    assert_eq!(distinct, expected, "each slot of the champion, and no other");
}

/// One life of the service, which is ended without a word when the log has `until` events; true when it came to rest
/// before.
fn one_life(world: &World, until: i64) -> bool {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let rested = runtime.block_on(async {
        let database = Database::open(world.database.url()).await.unwrap();
        let running = Service::start(&world.parts_over(database.clone()), &[Work::Worker]);
        let reader = LogReader::new(&database);
        let began = Instant::now();
        let killed = async {
            while reader.head().await.unwrap() < until {
                assert!(began.elapsed() < PATIENCE, "the log does not reach {until} events");
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            rested = running.run_until_idle(PATIENCE) => { rested.unwrap(); true }
            () = killed => false,
        }
    });
    runtime.shutdown_background();
    rested
}
