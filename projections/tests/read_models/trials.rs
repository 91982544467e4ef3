//! Trials as they are opened, compared and ended; what is on trial is shown to nobody else.

use almanac_domain::model::{DecidedBy, Model, ModelCommand, ModelVersionRetired};
use almanac_domain::prediction::Role;
use almanac_domain::trial::{TrialEnd, TrialOpening, TrialOutcome, TrialRule};
use almanac_domain::values::{Horizon, Probability, Session};
use almanac_projections::models;
use almanac_projections::predictions::{self, Filter, rounds};
use almanac_projections::track_record::{self, Query};
use almanac_projections::trials::{self, TrialState};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::market::{complete, id_of, model, open, publish, register, score, slot};
use crate::story::{AAA, ALICE, BBB, CCC, Story, day};

pub const TRIAL: Uuid = Uuid::from_u128(0x78);

fn horizon(sessions: u32) -> Horizon {
    Horizon::new(sessions).unwrap()
}

/// Puts a version on trial.
pub async fn open_trial(story: &mut Story, trial: Uuid, version: u32) {
    let level = Probability::from_f64(0.05).unwrap();
    let opening = TrialOpening {
        trial,
        version,
        rule: TrialRule::new(vec![horizon(1)], 8, 12, level),
        by: DecidedBy::Gate { rule: "trial".into() },
        reason: "the newest version".into(),
        at: story.now(),
    };
    story.does::<Model>(model(), ModelCommand::OpenTrial(Box::new(opening))).await;
}

async fn shadow(story: &mut Story, version: u32, instrument: Uuid, session: Session, expected: f64) {
    let mut on_trial = slot(version, instrument, session, 1);
    on_trial.role = Role::Trial { trial: TRIAL };
    publish(story, on_trial, expected).await;
}

/// Version 4 on trial against the champion, version 1, over two sessions: three pairs are scored, one waits.
async fn lived() -> (Story, [Session; 2]) {
    let mut story = Story::told().await;
    register(&mut story, 4).await;
    open_trial(&mut story, TRIAL, 4).await;
    let sessions = [day(2024, 1, 16), day(2024, 1, 17)];
    for session in sessions {
        open(&mut story, 1, session).await;
        for instrument in [AAA, BBB] {
            publish(&mut story, slot(1, instrument, session, 1), 0.0).await;
        }
        complete(&mut story, 1, session, 2, 0).await;
        for instrument in [AAA, BBB] {
            shadow(&mut story, 4, instrument, session, 0.02).await;
        }
    }
    for (session, instrument) in [(sessions[0], AAA), (sessions[0], BBB), (sessions[1], AAA)] {
        for (version, role) in [(1, Role::Published), (4, Role::Trial { trial: TRIAL })] {
            let mut scored = slot(version, instrument, session, 1);
            scored.role = role;
            score(&mut story, &scored, 0.02).await;
        }
    }
    story.catch_up().await;
    (story, sessions)
}

#[tokio::test]
async fn both_sides_of_a_trial_are_added_up_by_session_and_horizon() {
    let (story, sessions) = lived().await;
    let open = trials::open(story.pool(), &model()).await.unwrap().unwrap();
    assert_eq!((open.id, open.version, open.champion), (TRIAL, 4, 1));
    let compared = trials::sessions(story.pool(), TRIAL, 1, i64::MAX).await.unwrap();
    let seen: Vec<_> = compared.iter().map(|session| session.session).collect();
    assert_eq!(seen, sessions);
    let first = compared[0].horizons[&horizon(1)];
    // Half of 0.1 * 0.04 and 0.9 * 0.0: the champion's upper quantile is met. The challenger is 0.02 from both of its own.
    assert_eq!((first.pairs, first.waiting, first.target), (2, 0, None));
    assert_eq!((first.champion, first.challenger), (Decimal::new(4, 3), Decimal::new(4, 3)));
    let second = compared[1].horizons[&horizon(1)];
    assert_eq!((second.pairs, second.waiting, second.target), (1, 1, Some(day(2024, 1, 18))));
    // Nobody is compared with a champion of another number.
    assert_eq!(trials::sessions(story.pool(), TRIAL, 2, i64::MAX).await.unwrap(), vec![]);
}

#[tokio::test]
async fn what_is_not_filled_in_shadow_is_still_open() {
    let (mut story, sessions) = lived().await;
    let third = day(2024, 1, 18);
    open(&mut story, 1, third).await;
    for instrument in [AAA, CCC] {
        publish(&mut story, slot(1, instrument, third, 1), 0.0).await;
        publish(&mut story, slot(1, instrument, third, 5), 0.0).await;
    }
    complete(&mut story, 1, third, 4, 0).await;
    shadow(&mut story, 4, CCC, third, 0.02).await;
    story.catch_up().await;
    let trial = trials::open(story.pool(), &model()).await.unwrap().unwrap();
    let of = async |seen| rounds::of_version(story.pool(), &model(), 1, trial.ordinal, seen).await.unwrap();
    let seen: Vec<_> = of(None).await.iter().map(|round| round.session).collect();
    assert_eq!(seen, [sessions[0], sessions[1], third]);
    let last = of(Some(sessions[1])).await.remove(0);
    let left = predictions::open_slots(story.pool(), last.id, TRIAL, &[horizon(1)]).await.unwrap();
    let left: Vec<_> = left.iter().map(|slot| (slot.instrument, slot.horizon, slot.target)).collect();
    assert_eq!(left, [(AAA, horizon(1), day(2024, 1, 19))]);
    assert_eq!(predictions::slots_of_round(story.pool(), last.id).await.unwrap().len(), 4);
}

#[tokio::test]
async fn what_is_on_trial_is_in_no_list_no_record_no_mail_and_no_message() {
    let (story, sessions) = lived().await;
    let filter = Filter { as_of_session: Some(sessions[0]), ..Filter::default() };
    let shown = predictions::list(story.pool(), &filter, None, 50).await.unwrap().items;
    assert!(shown.iter().all(|prediction| prediction.version == 1) && shown.len() == 2, "{shown:?}");
    let mut on_trial = slot(4, AAA, sessions[0], 1);
    on_trial.role = Role::Trial { trial: TRIAL };
    assert_eq!(predictions::find(story.pool(), id_of(&on_trial)).await.unwrap(), None);
    let latest = predictions::latest(story.pool(), None, None).await.unwrap();
    assert!(latest.iter().all(|prediction| prediction.version == 1));
    let of_challenger = Query { model: Some(model()), version: Some(4), ..Query::default() };
    assert_eq!(track_record::records(story.pool(), &of_challenger, i64::MAX).await.unwrap(), vec![]);
    let round = id_of_round(sessions[0]);
    for account in [ALICE] {
        let mail = almanac_projections::mail::session_mail(story.pool(), account, round).await.unwrap();
        let text = format!("{mail:?}");
        assert!(!text.contains("version: 4"), "{text}");
    }
    let said: Vec<serde_json::Value> =
        sqlx::query_scalar("select payload from webhook_deliveries").fetch_all(story.pool()).await.unwrap();
    let of_predictions = said.iter().filter(|body| body["type"].as_str().unwrap().starts_with("prediction."));
    assert!(of_predictions.clone().count() > 0);
    assert!(of_predictions.into_iter().all(|body| body["data"]["version"] != 4));
}

fn id_of_round(session: Session) -> Uuid {
    almanac_domain::ids::forecast_round(&model(), session)
}

#[tokio::test]
async fn the_end_of_a_trial_is_known_from_its_ordinal_on() {
    let (mut story, _) = lived().await;
    let before = story.catch_up().await;
    let by = Some(DecidedBy::Administrator { account: ALICE });
    let retired =
        ModelVersionRetired { version: 4, by, reason: "never needed".into(), retired_at: story.now() };
    story.does::<Model>(model(), ModelCommand::RetireVersion(retired)).await;
    story.catch_up().await;
    let pool = story.pool();
    let then = trials::find(pool, &model(), TRIAL, before).await.unwrap().unwrap();
    assert_eq!((then.state, then.outcome, then.decided_at), (TrialState::Open, None, None));
    let now = trials::find(pool, &model(), TRIAL, i64::MAX).await.unwrap().unwrap();
    assert_eq!((now.outcome, now.ended_by), (Some(TrialOutcome::Keep), Some(TrialEnd::ChallengerRetired)));
    assert_eq!(now.decided_by.as_deref(), Some("administrator"));
    assert_eq!(trials::open(pool, &model()).await.unwrap(), None);
    assert_eq!(
        trials::list(pool, &model(), then.ordinal - 1).await.unwrap().len(),
        1,
        "only the story's own"
    );
    let timeline = models::timeline(pool, &model(), i64::MAX).await.unwrap();
    let events: Vec<_> = timeline.iter().rev().take(3).map(|entry| entry.event.as_str()).collect();
    assert_eq!(events, ["TrialDecided", "ModelVersionRetired", "TrialOpened"]);
    assert_eq!(timeline.last().unwrap().facts["ended_by"], "challenger_retired");
    let challenger = models::on_trial(pool, &model(), now.ordinal).await.unwrap().unwrap();
    assert_eq!(challenger.version, 4);
}
