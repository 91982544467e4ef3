//! Predictions, rounds, models and the track record as the story leaves them.

use almanac_domain::ids;
use almanac_domain::values::Mode;
use almanac_projections::models::{self, VersionStatus};
use almanac_projections::predictions::{self, Filter, State, rounds};
use almanac_projections::track_record::{self, Abstentions, Query, Verdict};
use uuid::Uuid;

use crate::market::{FIRST, SECOND, id_of, model, session, slot};
use crate::story::{AAA, BBB, CCC, Story, day};

#[tokio::test]
async fn a_scored_prediction_shows_forecast_outcome_and_score_as_they_were_stored() {
    let story = Story::told().await;
    let id = id_of(&slot(1, AAA, session(FIRST), 1));
    let shown = predictions::find(story.pool(), id).await.unwrap().unwrap();
    assert_eq!((shown.state, shown.version, shown.instrument.symbol.as_str()), (State::Scored, 1, "AAA"));
    let shown = serde_json::to_value(&shown).unwrap();
    let log = "select payload from events where aggregate_id = $1 order by sequence";
    let log: Vec<serde_json::Value> =
        sqlx::query_scalar(log).bind(id.to_string()).fetch_all(story.pool()).await.unwrap();
    assert_eq!(shown["forecast"], log[0]["PredictionPublished"]["forecast"]);
    assert_eq!(shown["close"], log[0]["PredictionPublished"]["forecast"]["close"]);
    assert_eq!(shown["score"], log[1]["PredictionScored"]["score"]);
    assert_eq!(shown["realised"], log[1]["PredictionScored"]["realised"]);
    assert_eq!(shown["target_close"], log[1]["PredictionScored"]["close"]);
    assert_eq!(shown["mode"], "simulated");
}

#[tokio::test]
async fn an_abstention_shows_its_reason_and_no_forecast() {
    let story = Story::told().await;
    let id = id_of(&slot(1, CCC, session(FIRST), 1));
    let shown = predictions::find(story.pool(), id).await.unwrap().unwrap();
    assert_eq!((shown.state, shown.abstention.as_deref()), (State::Abstained, Some("stale_data")));
    assert_eq!((shown.forecast, shown.close), (None, None));
}

#[tokio::test]
async fn the_list_is_newest_first_narrowed_and_paged_and_never_shows_a_trial() {
    let story = Story::told().await;
    let list = async |filter: Filter, cursor, limit| {
        predictions::list(story.pool(), &filter, cursor, limit).await.unwrap()
    };
    let all = list(Filter::default(), None, 50).await;
    assert_eq!((all.items.len(), all.next), (6, None));
    assert!(all.items.windows(2).all(|pair| pair[0].ordinal > pair[1].ordinal));
    let count = async |filter: Filter| list(filter, None, 50).await.items.len();
    assert_eq!(count(Filter { instrument: Some(AAA), ..Filter::default() }).await, 3);
    assert_eq!(count(Filter { horizon: Some(5), ..Filter::default() }).await, 1);
    assert_eq!(count(Filter { as_of_session: Some(session(SECOND)), ..Filter::default() }).await, 2);
    assert_eq!(count(Filter { state: Some(State::Open), ..Filter::default() }).await, 1);
    assert_eq!(count(Filter { model: Some(model()), ..Filter::default() }).await, 6);
    assert_eq!(count(Filter { model: Some("other".parse().unwrap()), ..Filter::default() }).await, 0);
    let first = list(Filter::default(), None, 4).await;
    let rest = list(Filter::default(), first.next.unwrap().parse().ok(), 4).await;
    assert_eq!([first.items, rest.items].concat(), all.items);
}

#[tokio::test]
async fn the_latest_are_those_of_the_newest_round_or_the_newest_of_each_instrument() {
    let mut story = Story::told().await;
    let slots = async |story: &Story, instruments: Option<&[Uuid]>| {
        let made = predictions::latest(story.pool(), Some(&model()), instruments).await.unwrap();
        made.into_iter()
            .map(|made| (made.instrument.id, made.horizon.sessions(), made.version))
            .collect::<Vec<_>>()
    };
    assert_eq!(slots(&story, None).await, [(AAA, 1, 2), (BBB, 1, 2)]);
    assert_eq!(slots(&story, Some(&[AAA, CCC])).await, [(AAA, 1, 2), (AAA, 5, 1), (CCC, 1, 1)]);
    crate::market::open(&mut story, 2, session((2024, 1, 9))).await;
    story.catch_up().await;
    assert_eq!(
        slots(&story, None).await,
        [(AAA, 1, 2), (BBB, 1, 2)],
        "a round that is being filled is not shown yet"
    );
}

#[tokio::test]
async fn what_is_due_is_open_and_its_target_has_come() {
    let mut story = Story::told().await;
    let due = async |story: &Story, last, mode, after| {
        predictions::due(story.pool(), last, mode, after, 10).await.unwrap()
    };
    let target = slot(2, BBB, session(SECOND), 1).target;
    let open = due(&story, target, Mode::Simulated, 0).await;
    let [one] = open.as_slice() else { panic!("{open:?}") };
    assert_eq!((one.instrument, one.target, one.void_after_sessions), (BBB, target, 3));
    assert_eq!(one.close.to_string(), "100.25");
    assert_eq!(due(&story, session(SECOND), Mode::Simulated, 0).await, []);
    assert_eq!(due(&story, target, Mode::Live, 0).await, []);
    assert_eq!(due(&story, target, Mode::Simulated, one.ordinal).await, []);
    crate::market::score(&mut story, &slot(2, BBB, session(SECOND), 1), 0.001).await;
    story.catch_up().await;
    assert_eq!(due(&story, target, Mode::Simulated, 0).await, []);
}

#[tokio::test]
async fn a_round_says_what_it_holds_and_which_slots_are_filled() {
    let mut story = Story::told().await;
    let round = rounds::of_session(story.pool(), &model(), session(FIRST)).await.unwrap().unwrap();
    assert_eq!((round.published, round.abstained, round.version, round.is_complete()), (3, 1, 1, true));
    assert_eq!(round.calibration.len(), 1);
    assert_eq!(rounds::find(story.pool(), round.id).await.unwrap(), Some(round.clone()));
    let slots = predictions::slots_of_round(story.pool(), round.id).await.unwrap();
    assert_eq!(slots.iter().filter(|slot| slot.2 == State::Abstained).count(), 1);
    assert_eq!(rounds::complete_since(story.pool(), &model(), round.ordinal).await.unwrap(), 2);
    crate::market::open(&mut story, 1, day(2024, 1, 9)).await;
    story.catch_up().await;
    let open = rounds::of_session(story.pool(), &model(), day(2024, 1, 9)).await.unwrap().unwrap();
    assert!(!open.is_complete());
    let last = rounds::last_complete(story.pool(), &model()).await.unwrap().unwrap();
    assert_eq!(last.id, ids::forecast_round(&model(), session(SECOND)));
    assert_eq!(rounds::complete_since(story.pool(), &model(), last.ordinal).await.unwrap(), 1);
}

#[tokio::test]
async fn a_model_shows_its_champion_and_what_each_version_is_good_for() {
    let story = Story::told().await;
    let known = models::find(story.pool(), &model(), i64::MAX).await.unwrap().unwrap();
    assert_eq!(known.champion, Some(1));
    let standing: Vec<_> = known.versions.iter().map(|version| (version.version, version.status)).collect();
    let expected =
        [(3, VersionStatus::Retired), (2, VersionStatus::Quarantined), (1, VersionStatus::Champion)];
    assert_eq!(standing, expected);
    let champion = models::champion(story.pool(), &model(), i64::MAX).await.unwrap().unwrap();
    // registered, promoted, registered, promoted, rolled back: the fifth event of the model's stream
    assert_eq!((champion.version, champion.sequence), (1, 5));
    let second = models::version(story.pool(), &model(), 2).await.unwrap().unwrap();
    assert_eq!(second.status, VersionStatus::Quarantined);
    let events: Vec<_> = models::timeline(story.pool(), &model(), i64::MAX).await.unwrap();
    let deciders: Vec<_> = events.iter().filter_map(|entry| entry.by.as_deref()).collect();
    assert_eq!(
        deciders,
        [
            "gate: first version",
            "administrator",
            "administrator",
            "administrator",
            "gate: trial",
            // Retiring version 3 ends its trial.
            "administrator",
            "administrator"
        ]
    );
    assert!(!serde_json::to_string(&events).unwrap().contains(&crate::story::ALICE.to_string()));
}

#[tokio::test]
async fn the_track_record_counts_what_was_published_and_stands_beside_its_baselines() {
    let story = Story::told().await;
    let records = track_record::records(story.pool(), &Query::default(), i64::MAX).await.unwrap();
    let [day, week] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((day.horizon.sessions(), week.horizon.sessions()), (1, 5));
    assert_eq!((day.scored, day.sessions, day.open, day.abstained, day.voided), (2, 2, 1, 1, 1));
    assert_eq!(day.abstentions, Abstentions { stale_data: 1, ..Abstentions::default() });
    assert_eq!((day.hits, day.hit_predictions), (1, 2));
    assert_eq!(day.verdict, Verdict::TooFew);
    // returns 0.0125 and -0.04 against 0.001 and 0.002, no change, and a drift of 0.0005
    let near = |measure: Option<almanac_domain::values::Measure>, expected: f64| {
        let measure = measure.unwrap().to_f64();
        assert!((measure - expected).abs() < 1e-9, "{measure} {expected}");
    };
    let (model, zero, drift): (f64, f64, f64) = (
        0.0115_f64.powi(2) + 0.042_f64.powi(2),
        0.0125_f64.powi(2) + 0.04_f64.powi(2),
        0.012_f64.powi(2) + 0.0405_f64.powi(2),
    );
    near(day.rmse, (model / 2.0).sqrt());
    near(day.rmse_zero, (zero / 2.0).sqrt());
    near(day.rmse_drift, (drift / 2.0).sqrt());
    near(day.skill_vs_zero, 1.0 - model / zero);
    near(day.skill_vs_drift, 1.0 - model / drift);
    near(day.coverage_80, 0.5);
    near(day.up_share, 0.5);
    near(week.coverage_95, 1.0);
    let versions = track_record::performance(story.pool(), &crate::market::model(), i64::MAX).await.unwrap();
    let versions: Vec<_> =
        versions.iter().map(|record| (record.version, record.horizon.sessions(), record.scored)).collect();
    assert_eq!(versions, [(Some(1), 1, 1), (Some(1), 5, 1), (Some(2), 1, 1)]);
    let series =
        track_record::series(story.pool(), &crate::market::model(), 1, None, i64::MAX).await.unwrap();
    let sessions: Vec<_> = series.iter().map(|point| (point.session, point.hits, point.inside_95)).collect();
    assert_eq!(sessions, [(session(FIRST), 1, 1), (session(SECOND), 0, 0)]);
}
