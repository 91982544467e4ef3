//! From bars to scored predictions, session by session.

use std::fmt::Write;

use almanac_actors::settings::SourceSettings;
use almanac_domain::values::Mode;
use almanac_projections::{instruments, models, predictions, training_runs};
use chrono::TimeDelta;

use crate::world::{CALENDAR, PATIENCE, World, count, day, events};

#[tokio::test(flavor = "multi_thread")]
async fn bars_become_a_champion_that_publishes_and_is_scored_when_its_day_has_come() {
    let (world, sessions) = World::simulated(6).await;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    let pool = world.database.pool();
    let today = sessions[sessions.len() - 7];

    let champion = models::champion(pool, &parts.settings.model, i64::MAX).await.unwrap().unwrap();
    assert_eq!((champion.version, champion.trained_through), (1, today));
    let runs = training_runs::list(pool, None, None, 9).await.unwrap().items;
    assert_eq!(
        (runs.len(), runs[0].state.as_str(), runs[0].reason.as_str()),
        (1, "completed", "first_version")
    );

    let listed = instruments::listings(pool).await.unwrap();
    let trading = listed.iter().filter(|listing| listing.delisted_after.is_none()).count();
    assert_eq!(listed.len(), 8);
    assert!(listed.iter().all(|listing| listing.name.is_some() && listing.sector.is_some()));
    let published = predictions::latest(pool, None, None).await.unwrap();
    assert_eq!(published.len(), trading * 3, "one for each trading share and horizon");
    for prediction in published.iter().filter(|prediction| prediction.forecast.is_some()) {
        assert_eq!((prediction.as_of, prediction.mode), (today, Mode::Simulated));
        assert_eq!(prediction.version, 1);
        assert!(prediction.target > today && prediction.score.is_none());
    }

    for session in &sessions[sessions.len() - 6..] {
        world.close(*session);
        running.run_until_idle(PATIENCE).await.unwrap();
    }
    let database = world.database.database();
    assert_eq!(count(database, "RoundCompleted").await, 7);
    let first_round = predictions::list(
        pool,
        &predictions::Filter { as_of_session: Some(today), ..predictions::Filter::default() },
        None,
        500,
    )
    .await
    .unwrap();
    let ended = |prediction: &&predictions::Prediction| u32::from(prediction.horizon) <= 5;
    for prediction in
        first_round.items.iter().filter(ended).filter(|prediction| prediction.forecast.is_some())
    {
        let score = prediction.score.as_ref().expect("six sessions later the shorter horizons have ended");
        let realised = prediction.realised.unwrap().to_f64();
        let error = realised - prediction.forecast.as_ref().unwrap().expected.to_f64();
        assert!((score.squared_error.model.to_f64() - error * error).abs() < 1e-9);
    }
    let log = events(database).await;
    let scored = log.iter().filter(|event| event.event_type == "PredictionScored").count();
    let rounds_ended = first_round.items.iter().filter(|prediction| prediction.score.is_some()).count();
    assert!(scored > rounds_ended, "the one-day predictions of later rounds are scored too");
    assert!(running.reports().iter().all(|report| report.error.is_none()), "{:#?}", running.reports());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_is_trained_on_schedule_and_the_gate_speaks_by_its_rule() {
    let (mut world, sessions) = World::simulated(4).await;
    world.settings.training.retrain_every = 3;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    for session in &sessions[sessions.len() - 4..] {
        world.close(*session);
        running.run_until_idle(PATIENCE).await.unwrap();
    }
    let pool = world.database.pool();
    let model = models::find(pool, &parts.settings.model, i64::MAX).await.unwrap().unwrap();
    assert_eq!(model.versions.len(), 2);
    assert_eq!(
        model.versions[0].trained_through,
        sessions[sessions.len() - 2],
        "three sessions after the first"
    );
    let timeline = models::timeline(pool, &parts.settings.model, i64::MAX).await.unwrap();
    let decisions: Vec<_> = timeline.iter().filter_map(|entry| entry.by.as_deref()).collect();
    assert_eq!(decisions, ["gate: first-version", "gate: trial"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_28_stale_data_is_abstained_from_and_old_bars_make_no_live_prediction() {
    let (mut world, sessions) = World::simulated(1).await;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    let pool = world.database.pool();
    let champion = models::champion(pool, &parts.settings.model, i64::MAX).await.unwrap();
    assert!(champion.is_some());
    running.stop().await;

    // The next session comes with the bars of one share only.
    let next = sessions[sessions.len() - 1];
    let one = instruments::listings(pool).await.unwrap();
    let one = one.iter().find(|listing| listing.delisted_after.is_none()).unwrap();
    let close = parts.market.view().await.unwrap().last_closes(one.id).unwrap().1;
    world.write(
        "one.csv",
        &format!(
            "symbol,date,open,high,low,close,volume\n{},{next},{close},{close},{close},{close},1000\n",
            one.symbol
        ),
    );
    world.settings.sources = vec![SourceSettings::Folder(world.inbox())];
    world.close(next);
    let (_, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    let round = predictions::latest(pool, None, None).await.unwrap();
    let stale = |reason: &Option<String>| reason.as_deref() == Some("stale_data");
    assert!(round.iter().all(|prediction| prediction.as_of == next));
    for prediction in &round {
        assert_eq!(stale(&prediction.abstention), prediction.instrument.id != one.id, "{prediction:?}");
    }
    running.stop().await;

    // In live mode the clock decides: a session that has closed without bars leaves the service silent.
    let rounds = count(world.database.database(), "RoundOpened").await;
    world.clock.advance_to(CALENDAR.closes_at(CALENDAR.next(next)) + TimeDelta::hours(1));
    world.settings.mode = Mode::Live;
    let (_, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    assert_eq!(count(world.database.database(), "RoundOpened").await, rounds);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prediction_whose_outcome_never_comes_is_voided_by_its_rule() {
    let (mut world, sessions) = World::simulated(0).await;
    world.settings.void_after = 3;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    running.stop().await;
    let pool = world.database.pool();
    let trading: Vec<_> = instruments::listings(pool)
        .await
        .unwrap()
        .into_iter()
        .filter(|listing| listing.delisted_after.is_none())
        .collect();
    // One share has no bars from now on, the others do.
    let silent = &trading[0];
    let mut text = String::from("symbol,date,open,high,low,close,volume\n");
    let mut session = *sessions.last().unwrap();
    for _ in 0..4 {
        session = CALENDAR.next(session);
        for listing in &trading[1..] {
            let close = parts.market.view().await.unwrap().last_closes(listing.id).unwrap().1;
            writeln!(text, "{},{session},{close},{close},{close},{close},1000", listing.symbol).unwrap();
        }
    }
    world.write("silence.csv", &text);
    world.settings.sources = vec![SourceSettings::Folder(world.inbox())];
    world.close(session);
    let (_, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    let filter = predictions::Filter {
        instrument: Some(silent.id),
        as_of_session: sessions.last().copied(),
        ..predictions::Filter::default()
    };
    let of_silent = predictions::list(pool, &filter, None, 9).await.unwrap().items;
    let state = |horizon: u32| {
        let found = of_silent.iter().find(|prediction| u32::from(prediction.horizon) == horizon);
        serde_json::to_value(found.unwrap().state).unwrap()
    };
    assert_eq!((state(1), state(5)), ("voided".into(), "open".into()));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replayed_files_become_known_session_by_session() {
    let market = almanac_ml::simulator::Market::new(&almanac_ml::simulator::Settings::of_years(3, 1, 9));
    let sessions = market.sessions();
    let mut world = World::at_the_close_of(sessions[199], Mode::Replayed).await;
    crate::world::write_market(&world.inbox(), &market, sessions);
    world.settings.sources = vec![SourceSettings::Replay(world.inbox())];
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    assert_eq!(parts.market.view().await.unwrap().last_session(), Some(sessions[199]));
    world.close(sessions[200]);
    running.run_until_idle(PATIENCE).await.unwrap();
    let view = parts.market.view().await.unwrap();
    assert_eq!(view.last_session(), Some(sessions[200]));
    assert_eq!(view.batches().len(), 2);
    assert_eq!(view.batches()[1].first_session, sessions[200]);
    let expected: usize = sessions[..=200].iter().map(|session| market.bars_on(*session).len()).sum();
    assert_eq!(view.as_traded().len(), expected);
    assert!(day("2019-01-02") <= view.batches()[0].first_session);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_sentiment_the_tone_of_the_news_is_a_feature_of_training_and_of_publication() {
    let (mut world, sessions) = World::simulated(1).await;
    world.settings.training.sentiment = true;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    world.close(*sessions.last().unwrap());
    running.run_until_idle(PATIENCE).await.unwrap();
    let pool = world.database.pool();
    let champion = models::champion(pool, &parts.settings.model, i64::MAX).await.unwrap().unwrap();
    let bytes = parts.objects.get(&champion.artefact.key).await.unwrap();
    let artefact = almanac_ml::Artefact::open(&bytes, champion.artefact.sha256.as_str()).unwrap();
    assert_eq!(artefact.features.last().map(String::as_str), Some(almanac_ml::features::SENTIMENT));
    assert_eq!(count(world.database.database(), "RoundCompleted").await, 2);
    let of_share = predictions::latest(pool, None, None).await.unwrap()[0].instrument.id;
    let days = parts.news.daily(of_share).await.unwrap();
    assert!(days.len() > 100, "a simulated newsroom is read as it writes, not all at once");
    running.stop().await;
}
