//! What was begun and comes to an end although the world has changed meanwhile.

use almanac_actors::ingestion::ingest_path;
use almanac_actors::settings::SourceSettings;
use almanac_actors::trainer::{TrainNowError, train_now};
use almanac_domain::forecast_round::{ForecastRound, ForecastRoundCommand, RoundCompleted, RoundOpened};
use almanac_domain::ids;
use almanac_domain::model::{DecidedBy, Model, ModelCommand, ModelVersionPromoted, ModelVersionRegistered};
use almanac_domain::prediction::{
    Abstention, Prediction, PredictionAbstained, PredictionCommand, PredictionPublished, Role, Slot,
};
use almanac_domain::training_run::{TrainingCancelled, TrainingRun, TrainingRunCommand};
use almanac_domain::values::Mode;
use almanac_ml::simulator::{Market, Settings};
use almanac_projections::{instruments, models, predictions, training_runs};
use almanac_store::leases;
use almanac_store::log::{Committed, Issued};
use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

use crate::world::{CALENDAR, PATIENCE, World, count, events, write_market};

fn issued(number: u128) -> Issued {
    Issued::new(Uuid::from_u128(number))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_is_finished_by_the_version_that_opened_it_and_counts_what_was_said_before_it_was_cut_off() {
    let (world, sessions) = World::simulated(1).await;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    running.stop().await;
    let (database, model) = (world.database.database(), parts.settings.model.clone());
    let log = events(database).await;
    let registered = log.iter().find(|event| event.event_type == "ModelVersionRegistered").unwrap();
    let first: ModelVersionRegistered =
        serde_json::from_value(registered.payload["ModelVersionRegistered"].clone()).unwrap();

    // The second version is promoted just before a round is opened that the first was chosen for.
    let next = *sessions.last().unwrap();
    let second = ModelVersionRegistered { version: 2, training_run: Uuid::from_u128(2), ..first.clone() };
    let promotion = ModelVersionPromoted {
        version: 2,
        by: DecidedBy::Gate { rule: "test".into() },
        reason: "test".into(),
        promoted_at: first.registered_at,
    };
    for (number, command) in
        [(1, ModelCommand::RegisterVersion(Box::new(second))), (2, ModelCommand::PromoteVersion(promotion))]
    {
        parts.bus.execute::<Model>(model.as_str(), command, &issued(number)).await.unwrap();
    }
    let opening = ForecastRoundCommand::OpenRound(RoundOpened {
        model: model.clone(),
        version: 1,
        session: next,
        mode: Mode::Simulated,
        dataset: first.dataset.clone(),
        opened_at: CALENDAR.closes_at(next),
    });
    let round = ids::forecast_round(&model, next);
    parts.bus.execute::<ForecastRound>(&round.to_string(), opening, &issued(3)).await.unwrap();
    // Two slots were filled before the round was cut off, one of them with nothing: whatever the bars say by now, that stays.
    let said = log.iter().filter(|event| event.event_type == "PredictionPublished").take(2);
    let mut said = said.map(|event| event.payload["PredictionPublished"].clone());
    let mut said = || serde_json::from_value::<PredictionPublished>(said.next().unwrap()).unwrap();
    let (left, made) = (said(), said());
    let again = |slot: Slot| {
        let target = CALENDAR.ahead(next, slot.horizon);
        let (target_closes_at, next_opens_at) =
            (CALENDAR.closes_at(target), CALENDAR.opens_at(CALENDAR.next(next)));
        Slot { round, as_of: next, target, target_closes_at, next_opens_at, ..slot }
    };
    let id = |slot: &Slot| {
        ids::prediction(&model, slot.instrument, next, slot.horizon, Role::Published).to_string()
    };
    let at = CALENDAR.closes_at(next);
    let left =
        PredictionAbstained { slot: again(left.slot), reason: Abstention::OutOfRange, abstained_at: at };
    let made = PredictionPublished { slot: again(made.slot.clone()), published_at: at, ..made };
    let filled = vec![
        (id(&left.slot), PredictionCommand::Abstain(Box::new(left))),
        (id(&made.slot), PredictionCommand::PublishPrediction(Box::new(made))),
    ];
    let filling = Issued::new(ids::reaction("forecaster", &format!("fill {round}")));
    let outcomes = parts.bus.execute_batch::<Prediction>(filled, &filling).await.unwrap();
    let is_new = |outcome: &Result<Committed, _>| outcome.as_ref().is_ok_and(|done| !done.repeated);
    assert!(outcomes.iter().all(is_new), "{outcomes:?}");

    world.close(next);
    let (_, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    let pool = world.database.pool();
    assert_eq!(models::champion(pool, &model, i64::MAX).await.unwrap().unwrap().version, 2);
    assert!(predictions::rounds::open(pool, &model).await.unwrap().is_empty());
    let published = predictions::latest(pool, None, None).await.unwrap();
    assert!(!published.is_empty());
    for prediction in published {
        assert_eq!((prediction.as_of, prediction.version), (next, 1));
    }
    let log = events(database).await;
    let of_round = |name: &str| {
        let of = log.iter().filter(|event| event.event_type == name);
        of.filter(|event| event.payload[name]["slot"]["round"] == json!(round)).count()
    };
    let completed = log.iter().rfind(|event| event.event_type == "RoundCompleted").unwrap();
    let completed: RoundCompleted =
        serde_json::from_value(completed.payload["RoundCompleted"].clone()).unwrap();
    assert_eq!(completed.session, next);
    assert!(completed.abstained > 0 && completed.published > 0);
    let counted = (of_round("PredictionPublished"), of_round("PredictionAbstained"));
    assert_eq!((completed.published as usize, completed.abstained as usize), counted);
    assert!(running.reports().iter().all(|report| report.error.is_none()), "{:#?}", running.reports());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_that_was_called_off_makes_no_version_however_far_it_had_come() {
    let market = Market::new(&Settings::of_years(8, 3, 5));
    let world = World::at_the_close_of(*market.sessions().last().unwrap(), Mode::Simulated).await;
    write_market(&world.inbox(), &market, market.sessions());
    let (parts, running) = world.keep_the_log().await;
    ingest_path(&parts, &world.inbox(), &mut |_| {}).await.unwrap();
    running.run_until_idle(PATIENCE).await.unwrap();
    let mut cancelled = false;
    let mut cancel = |_| {
        if std::mem::replace(&mut cancelled, true) {
            return;
        }
        let order = async {
            let run = training_runs::due(parts.database.pool()).await.unwrap()[0].id.to_string();
            let command = TrainingRunCommand::CancelTraining(TrainingCancelled { by: Uuid::from_u128(9) });
            parts.bus.execute::<TrainingRun>(&run, command, &issued(1)).await.unwrap();
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(order));
    };
    let outcome = train_now(&parts, parts.settings.training.plan(), &mut cancel).await;
    let Err(TrainNowError::Failed { reason, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(reason, "cancelled");
    running.run_until_idle(PATIENCE).await.unwrap();
    assert_eq!(count(world.database.database(), "TrainingCancelled").await, 1);
    assert_eq!(count(world.database.database(), "ModelVersionRegistered").await, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_30_a_training_that_could_not_begin_leaves_the_lease_to_the_next_one() {
    let market = Market::new(&Settings::of_years(8, 3, 5));
    let world = World::at_the_close_of(*market.sessions().last().unwrap(), Mode::Simulated).await;
    write_market(&world.inbox(), &market, market.sessions());
    let (parts, running) = world.keep_the_log().await;
    ingest_path(&parts, &world.inbox(), &mut |_| {}).await.unwrap();
    running.run_until_idle(PATIENCE).await.unwrap();
    // Object storage takes everything but the description of the data.
    std::fs::write(world.folder.join("objects/datasets"), "in the way").unwrap();
    let outcome = train_now(&parts, parts.settings.training.plan(), &mut |_| {}).await;
    assert!(matches!(outcome, Err(TrainNowError::Trade(_))), "{outcome:?}");
    let next = leases::take(&world.database, "training", Uuid::from_u128(1), PATIENCE).await.unwrap();
    assert!(next.is_some(), "whoever comes next would wait until it runs out");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_round_waits_a_while_for_shares_whose_bars_have_not_come() {
    let (mut world, sessions) = World::simulated(1).await;
    world.settings.mode = Mode::Live;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    running.stop().await;
    let database = world.database.database();
    assert_eq!(count(database, "RoundCompleted").await, 1, "with all bars there is nothing to wait for");

    let next = *sessions.last().unwrap();
    let listings = instruments::listings(world.database.pool()).await.unwrap();
    let one = listings.iter().find(|listing| listing.delisted_after.is_none()).unwrap();
    let close = parts.market.view().await.unwrap().last_closes(one.id).unwrap().1;
    let row = format!("{},{next},{close},{close},{close},{close},1000", one.symbol);
    world.write("one.csv", &format!("symbol,date,open,high,low,close,volume\n{row}\n"));
    world.settings.sources = vec![SourceSettings::Folder(world.inbox())];
    world.close(next);
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    assert_eq!(parts.market.view().await.unwrap().last_session(), Some(next));
    assert_eq!(count(database, "RoundOpened").await, 1);
    world.clock.advance_to(CALENDAR.closes_at(next) + TimeDelta::hours(2));
    running.run_until_idle(PATIENCE).await.unwrap();
    assert_eq!(count(database, "RoundCompleted").await, 2);
    running.stop().await;
}
