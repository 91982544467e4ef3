//! Who is told of a round, and what the mail says.

use almanac_domain::account::{Account, AccountCommand};
use almanac_domain::ids;
use almanac_projections::mail;
use almanac_store::outbox::mail::{claim_due, latest, sent};
use std::time::Duration;
use uuid::Uuid;

use crate::market::{self, FIRST, SECOND, model, session};
use crate::story::{AAA, ALICE, BOB, CAROL, Story, day};

async fn told_of(story: &Story, round: Uuid) -> Vec<Uuid> {
    let mails = latest(story.pool(), 100).await.unwrap();
    let of_round = format!("session:{round}:");
    mails.into_iter().filter(|mail| mail.key.starts_with(&of_round)).map(|mail| mail.account).collect()
}

#[tokio::test]
async fn who_watches_an_instrument_of_the_round_and_wants_mails_gets_one() {
    let story = Story::told().await;
    for date in [FIRST, SECOND] {
        let mut told = told_of(&story, ids::forecast_round(&model(), session(date))).await;
        told.sort();
        let mut expected = [ALICE, BOB];
        expected.sort();
        assert_eq!(told, expected, "{CAROL} wants none, and Bob was still there");
    }
}

#[tokio::test]
async fn who_is_suspended_or_gone_is_not_told_nor_who_watches_nothing_that_was_published() {
    let mut story = Story::told().await;
    let third = day(2024, 1, 9);
    market::open(&mut story, 1, third).await;
    market::publish(&mut story, market::slot(1, crate::story::BBB, third, 1), 0.001).await;
    market::complete(&mut story, 1, third, 1, 0).await;
    let fourth = day(2024, 1, 10);
    story.does::<Account>(ALICE, AccountCommand::Suspend).await;
    market::open(&mut story, 1, fourth).await;
    market::publish(&mut story, market::slot(1, AAA, fourth, 1), 0.001).await;
    market::complete(&mut story, 1, fourth, 1, 0).await;
    story.catch_up().await;
    for date in [third, fourth] {
        assert_eq!(told_of(&story, ids::forecast_round(&model(), date)).await, Vec::<Uuid>::new(), "{date}");
    }
}

#[tokio::test]
async fn a_mail_holds_the_watched_stocks_of_the_round_with_their_own_record() {
    let story = Story::told().await;
    let round = ids::forecast_round(&model(), session(SECOND));
    let mail = mail::session_mail(story.pool(), ALICE, round).await.unwrap().unwrap();
    assert_eq!((mail.email.as_str(), mail.round.session), ("alice@example.com", session(SECOND)));
    let [item] = mail.items.as_slice() else { panic!("{:?}", mail.items) };
    assert_eq!((item.instrument.id, item.predictions.len()), (AAA, 1));
    let records: Vec<_> = item
        .records
        .iter()
        .map(|own| {
            (own.horizon.sessions(), own.scored, own.hits, own.hit_predictions, own.inside_80, own.inside_95)
        })
        .collect();
    assert_eq!(records, [(1, 2, 1, 2, 1, 1), (5, 1, 1, 1, 1, 1)]);
    assert_eq!(mail::session_mail(story.pool(), BOB, round).await.unwrap(), None);
    assert_eq!(mail::session_mail(story.pool(), ALICE, Uuid::from_u128(9)).await.unwrap(), None);
}

#[tokio::test]
async fn a_mail_that_was_sent_is_listed_for_its_reader_without_naming_account_or_round_outside() {
    let story = Story::told().await;
    assert_eq!(mail::sent_to(story.pool(), ALICE, 9).await.unwrap(), []);
    for due in claim_due(story.pool(), story.now(), 10, Duration::from_secs(60)).await.unwrap() {
        assert!(!due.message_id.contains(&due.account.to_string()), "{}", due.message_id);
        assert_eq!(due.kind, mail::SESSION);
        assert!(sent(story.pool(), &due, story.now()).await.unwrap());
    }
    let read = mail::sent_to(story.pool(), ALICE, 9).await.unwrap();
    let sessions: Vec<_> = read.iter().map(|mail| mail.session).collect();
    assert_eq!(sessions, [Some(session(SECOND)), Some(session(FIRST))]);
}
