//! What makes a training due before the schedule does, each from real rounds to the event with its figures.

use almanac_domain::training_run::{FeatureSet, TrainingFigure, TrainingReason, TrainingRequested};
use almanac_ml::Artefact;
use almanac_ml::models::Fitted;
use almanac_projections::training_runs;

use crate::trials::{does, live, promotion, quiet, register_again, register_changed};
use crate::world::{PATIENCE, World, events};

/// The first request for a training that nobody asked for and that is not the first.
async fn requested(world: &World) -> TrainingRequested {
    let log = events(world.database.database()).await;
    let requests = log.iter().filter(|event| event.event_type == "TrainingRequested");
    let mut requests =
        requests.map(|event| serde_json::from_value(event.payload["TrainingRequested"].clone()).unwrap());
    let first: TrainingRequested = requests.next().unwrap();
    assert_eq!(first.reason, TrainingReason::FirstVersion);
    requests.next().expect("no other training became due")
}

/// Name, value, threshold and sessions of a figure.
fn told(figure: &TrainingFigure) -> (&str, f64, f64, u32) {
    (figure.name.as_str(), figure.value.to_f64(), figure.threshold.to_f64(), figure.sessions)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_champion_whose_data_ended_long_ago_makes_a_training_due() {
    let (mut world, sessions) = quiet(3).await;
    world.settings.training.watch.age = 3;
    let (_, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    let left = &sessions[sessions.len() - 3..];
    live(&world, &running, &left[..2]).await;
    let runs = training_runs::list(world.database.pool(), None, None, 9).await.unwrap().items;
    assert_eq!(runs.len(), 1, "two sessions are not three: {runs:?}");
    live(&world, &running, &left[2..]).await;
    let request = requested(&world).await;
    assert_eq!(request.reason, TrainingReason::Age);
    let figures: Vec<_> = request.figures.iter().map(told).collect();
    assert_eq!(figures, [("sessions since its data ended", 3.0, 3.0, 3)]);
    let runs = training_runs::list(world.database.pool(), None, None, 9).await.unwrap().items;
    assert_eq!((runs[0].reason.as_str(), runs[0].state.as_str()), ("age", "completed"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn intervals_that_hold_more_than_they_promise_make_a_training_due() {
    let (mut world, sessions) = quiet(6).await;
    world.settings.training.watch.coverage = 0.15;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    // Nothing falls out of intervals this wide.
    register_again(&parts, world.database.database(), 9.0).await;
    does(&parts, promotion(&parts, 2)).await;
    live(&world, &running, &sessions[sessions.len() - 6..]).await;
    let request = requested(&world).await;
    assert_eq!(request.reason, TrainingReason::CoverageDrift);
    let (name, value, threshold, sessions) = told(&request.figures[0]);
    assert_eq!((name, sessions), ("coverage_80 at 1", 3));
    assert!(value > 0.95 && (threshold - 0.15).abs() < 1e-9, "{request:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forecasts_that_have_come_to_be_worse_than_the_drift_make_a_training_due() {
    let (mut world, sessions) = quiet(6).await;
    world.settings.training.watch.skill = 0.25;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    // It expects five per cent more a day than it has learnt.
    let hopeful = |artefact: &mut Artefact| {
        for model in &mut artefact.models {
            let Fitted::Linear(linear) = &mut model.fitted else { panic!("ridge is linear") };
            linear.intercept += 0.05;
        }
    };
    register_changed(&parts, world.database.database(), hopeful).await;
    does(&parts, promotion(&parts, 2)).await;
    live(&world, &running, &sessions[sessions.len() - 6..]).await;
    let request = requested(&world).await;
    assert_eq!(request.reason, TrainingReason::SkillDecay);
    let (name, value, threshold, sessions) = told(&request.figures[0]);
    assert_eq!((name, sessions), ("skill_vs_drift at 1", 3));
    assert!(value < -1.0 && (threshold - 0.25).abs() < 1e-9, "{request:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn features_that_are_not_those_the_champion_learnt_from_make_a_training_due() {
    let (mut world, sessions) = quiet(1).await;
    world.settings.training.watch.features = 2;
    world.settings.training.feature_set = FeatureSet::Core;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    // A champion that learnt in another market: two features lay far above all that there is today.
    let elsewhere = |artefact: &mut Artefact| {
        for column in &mut artefact.reference.columns[3..5] {
            column.quantiles.iter_mut().for_each(|quantile| *quantile += 10.0);
        }
    };
    register_changed(&parts, world.database.database(), elsewhere).await;
    does(&parts, promotion(&parts, 2)).await;
    live(&world, &running, &sessions[sessions.len() - 1..]).await;
    let request = requested(&world).await;
    assert_eq!(request.reason, TrainingReason::FeatureDrift);
    let names: Vec<_> = request.figures.iter().map(|figure| figure.name.as_str()).collect();
    assert_eq!(names, ["population stability index of lr_10", "population stability index of lr_20"]);
    for (_, value, threshold, sessions) in request.figures.iter().map(told) {
        assert!(value > 1.0 && value > threshold && threshold > 0.0, "{request:?}");
        assert_eq!(sessions, 20);
    }
    running.stop().await;
}
