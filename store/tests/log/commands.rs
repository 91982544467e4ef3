//! Commands: decided on the present state, written once, answered once.

use std::pin::pin;
use std::time::Duration;

use almanac_store::claims;
use almanac_store::log::{CommandError, Committed, Extras, Issued, LogReader, Unstorable};
use almanac_store::testing::{OwnServer, TestDatabase};
use almanac_store::vault::{self, VaultRow};
use futures::future::join_all;
use sqlx::Executor;
use uuid::Uuid;

use crate::counter::{Command, Counter, TooFar, an_account, bus, clock, issued, key, noon};

const ONE: Command = Command::Count { by: 1 };

#[tokio::test]
async fn fault_10_64_commands_at_once_on_one_aggregate_lose_no_update() {
    let database = TestDatabase::new().await;
    // Eight buses, as eight processes would have: their queues know nothing of each other.
    let buses: Vec<_> = (0..8).map(|_| bus(&database)).collect();
    let outcomes = join_all((0..64).map(|n| {
        let bus = buses[n % 8].clone();
        tokio::spawn(async move { bus.execute::<Counter>("a", ONE, &issued()).await })
    }))
    .await;
    let mut done = 0;
    for outcome in outcomes {
        match outcome.unwrap() {
            Ok(committed) => {
                assert_eq!(committed.events.len(), 1);
                done += 1;
            }
            Err(CommandError::Refused(TooFar) | CommandError::Conflict) => {}
            Err(other) => panic!("not a legal outcome: {other}"),
        }
    }
    let counter: Counter = buses[0].load("a").await.unwrap();
    assert_eq!(
        (counter.total, counter.events),
        (done, done),
        "each success is one event, and no event has no success"
    );
    assert_eq!(done, 40, "conflicts are retried, so that few enough of the 64 give up");
}

#[tokio::test]
async fn whoever_reads_a_stream_at_the_same_moment_as_others_sees_each_event_once() {
    let database = TestDatabase::new().await;
    let bus = bus(&database);
    for _ in 0..3 {
        bus.execute::<Counter>("a", ONE, &issued()).await.unwrap();
    }
    let read = join_all((0..64).map(|_| {
        let bus = bus.clone();
        tokio::spawn(async move { bus.load::<Counter>("a").await.unwrap().events })
    }))
    .await;
    for events in read {
        assert_eq!(events.unwrap(), 3);
    }
}

#[tokio::test]
async fn fault_11_the_same_command_id_20_times_in_parallel_has_one_effect_and_20_equal_answers() {
    let database = TestDatabase::new().await;
    let buses = [bus(&database), bus(&database)];
    let issued = issued().by(an_account()).for_request(&"count one").unwrap();
    let answers = join_all((0..20).map(|n| {
        let (bus, issued) = (buses[n % 2].clone(), issued.clone());
        tokio::spawn(async move { bus.execute::<Counter>("a", ONE, &issued).await.unwrap() })
    }))
    .await;
    let answers: Vec<Committed> = answers.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|answer| answer.events == [key("a", 1)]), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| !answer.repeated).count(), 1);
    assert_eq!(buses[0].load::<Counter>("a").await.unwrap().events, 1);
}

#[tokio::test]
async fn fault_11_the_same_command_id_with_another_body_or_account_is_refused() {
    let database = TestDatabase::new().await;
    let bus = bus(&database);
    let first = issued().by(an_account()).for_request(&"count one").unwrap();
    bus.execute::<Counter>("a", ONE, &first).await.unwrap();
    for other in [
        first.clone().for_request(&"count two").unwrap(),
        first.clone().by(an_account()),
        Issued { request_hash: None, ..first.clone() },
    ] {
        let refused = bus.execute::<Counter>("a", ONE, &other).await.unwrap_err();
        assert!(matches!(refused, CommandError::IdempotencyMismatch), "{refused}");
    }
    assert!(bus.execute::<Counter>("a", ONE, &first).await.unwrap().repeated);
    assert_eq!(bus.load::<Counter>("a").await.unwrap().events, 1);
}

#[tokio::test]
async fn a_repeated_command_gets_its_first_outcome_even_when_it_would_be_refused_by_now() {
    let database = TestDatabase::new().await;
    let bus = bus(&database);
    let issued = issued();
    let all = Command::Count { by: 40 };
    let first = bus.execute::<Counter>("a", all.clone(), &issued).await.unwrap();
    let again = bus.execute::<Counter>("a", all.clone(), &issued).await.unwrap();
    assert_eq!((again.events, again.repeated), (first.events, true));
    let new = bus.execute::<Counter>("a", all, &crate::counter::issued()).await;
    assert!(matches!(new, Err(CommandError::Refused(TooFar))));
}

#[tokio::test]
async fn a_command_that_makes_no_event_is_still_known() {
    let database = TestDatabase::new().await;
    let bus = bus(&database);
    let issued = issued();
    let first = bus.execute::<Counter>("a", Command::DoNothing, &issued).await.unwrap();
    assert_eq!((first.last(), first.repeated), (None, false));
    assert!(bus.execute::<Counter>("a", Command::DoNothing, &issued).await.unwrap().repeated);
}

#[tokio::test]
async fn what_cannot_be_stored_unchanged_is_refused_and_has_no_effect() {
    let database = TestDatabase::new().await;
    let bus = bus(&database);
    for (command, refusal) in [
        (Command::Say("a\0b".into()), Unstorable::Nul("$.Said.text".into())),
        (Command::Count { by: -(1 << 53) }, Unstorable::TooLarge("$.Counted.by".into())),
    ] {
        match bus.execute::<Counter>("a", command, &issued()).await {
            Err(CommandError::Unstorable(said)) => assert_eq!(said, refusal),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bus.load::<Counter>("a").await.unwrap().events, 0);
}

#[tokio::test]
async fn events_carry_who_when_and_why() {
    let database = TestDatabase::new().await;
    let bus = bus(&database);
    let (account, story) = (an_account(), an_account());
    let first = issued().correlated(story).by(account);
    bus.execute::<Counter>("a", Command::CountTwice, &first).await.unwrap();
    database.seal().await;
    let reader = LogReader::new(&database);
    let cause = reader.by_key(&key("a", 2)).await.unwrap().unwrap();
    assert_eq!((cause.at(), cause.account(), cause.correlation_id()), (noon(), Some(account), Some(story)));
    bus.execute::<Counter>("b", ONE, &issued().caused_by(&cause)).await.unwrap();
    let columns: (Option<Uuid>, Option<String>, Option<Uuid>) =
        sqlx::query_as("select correlation_id, causation_id, account from events where aggregate_id = 'b'")
            .fetch_one(database.pool())
            .await
            .unwrap();
    assert_eq!(columns, (Some(story), Some("counter:a:2".into()), None));
}

#[tokio::test]
async fn a_claim_belongs_to_one_owner_and_stands_or_falls_with_the_events() {
    let database = TestDatabase::new().await;
    let bus = bus(&database);
    let (first, second) = (an_account(), an_account());
    let secret =
        VaultRow { id: an_account(), owner: second, kind: "email".into(), value: "b@example.com".into() };
    let take = |owner| Extras::none().take_claim("email", "a@example.com", owner);
    bus.execute_with::<Counter>("a", ONE, &issued(), take(first)).await.unwrap();
    bus.execute_with::<Counter>("a", ONE, &issued(), take(first))
        .await
        .expect("one's own claim is no obstacle");
    let taken =
        bus.execute_with::<Counter>("b", ONE, &issued(), take(second).put_vault(secret.clone())).await;
    assert!(matches!(taken, Err(CommandError::ClaimTaken { kind }) if kind == "email"));
    assert_eq!(bus.load::<Counter>("b").await.unwrap().events, 0);
    assert_eq!(vault::get(database.pool(), secret.id).await.unwrap(), None);

    let not_mine = Extras::none().release_claim("email", "a@example.com", second);
    bus.execute_with::<Counter>("b", ONE, &issued(), not_mine).await.unwrap();
    assert_eq!(claims::owner_of(database.pool(), "email", "a@example.com").await.unwrap(), Some(first));
    let give_back = Extras::none().release_claims_of(first);
    bus.execute_with::<Counter>("a", ONE, &issued(), give_back).await.unwrap();
    bus.execute_with::<Counter>("b", ONE, &issued(), take(second).put_vault(secret.clone())).await.unwrap();
    assert_eq!(vault::get(database.pool(), secret.id).await.unwrap(), Some(secret));
}

#[tokio::test]
async fn a_batch_is_one_append_in_which_a_refusal_holds_up_nobody() {
    let database = TestDatabase::new().await;
    let bus = bus(&database);
    let batch: Vec<_> = (0..700)
        .map(|n| (format!("c{n}"), Command::Count { by: if n % 100 == 50 { 41 } else { 1 } }))
        .chain([("c0".to_owned(), ONE), ("c0".to_owned(), ONE)])
        .collect();
    let round = issued();
    let outcomes = bus.execute_batch::<Counter>(batch.clone(), &round).await.unwrap();
    let refused: Vec<_> =
        outcomes.iter().enumerate().filter(|(_, outcome)| outcome.is_err()).map(|(n, _)| n).collect();
    assert_eq!(refused, [50, 150, 250, 350, 450, 550, 650]);
    assert_eq!(outcomes[701].as_ref().unwrap().events, [key("c0", 3)], "it sees the one before");
    let transactions: i64 = sqlx::query_scalar("select count(distinct xid) from events")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert!(transactions <= 4, "{transactions} transactions");

    let again = bus.execute_batch::<Counter>(batch, &round).await.unwrap();
    for (first, second) in outcomes.iter().zip(&again) {
        match (first, second) {
            (Ok(first), Ok(second)) => assert_eq!((&first.events, second.repeated), (&second.events, true)),
            (Err(_), Err(_)) => {}
            (first, second) => panic!("{first:?} became {second:?}"),
        }
    }
}

#[tokio::test]
async fn a_batch_that_meets_another_writer_falls_back_to_single_commands() {
    let database = TestDatabase::new().await;
    let buses = [bus(&database), bus(&database)];
    let batch =
        |n: usize| (0..30).map(|id| (format!("c{}", (id * (n * 2 + 1)) % 30), ONE)).collect::<Vec<_>>();
    let outcomes = join_all((0..6).map(|n| {
        let (bus, batch) = (buses[n % 2].clone(), batch(n));
        tokio::spawn(async move { bus.execute_batch::<Counter>(batch, &issued()).await.unwrap() })
    }))
    .await;
    let done: usize =
        outcomes.into_iter().map(|outcomes| outcomes.unwrap().iter().filter(|o| o.is_ok()).count()).sum();
    let events: i64 =
        sqlx::query_scalar("select count(*) from events").fetch_one(database.pool()).await.unwrap();
    assert_eq!(events as usize, done);
    assert_eq!(done, 180, "nobody gave up");
}

#[tokio::test]
async fn the_time_in_the_log_is_the_services_and_not_the_databases() {
    let database = TestDatabase::new().await;
    let clock = clock();
    let bus = almanac_store::log::CommandBus::new(
        database.database().clone(),
        clock.clone(),
        bus(&database).entropy().clone(),
    );
    clock.advance_to(noon() + chrono::Duration::days(400));
    bus.execute::<Counter>("a", ONE, &issued()).await.unwrap();
    database.seal().await;
    let event = LogReader::new(&database).at_ordinal(1).await.unwrap().unwrap();
    assert_eq!(event.as_of, noon() + chrono::Duration::days(400));
}

/// How long the oldest of our write transactions has been open, looked at for as long as `until` goes on.
async fn longest_write<T>(server: &OwnServer, until: impl Future<Output = T>) -> (T, Duration) {
    let mut longest = 0.0;
    let mut until = pin!(until);
    loop {
        let open: f64 = sqlx::query_scalar(
            "select coalesce(max(extract(epoch from clock_timestamp() - xact_start)), 0)::float8
               from pg_stat_activity where backend_xid is not null",
        )
        .fetch_one(server.pool())
        .await
        .unwrap();
        longest = f64::max(longest, open);
        if let Ok(done) = tokio::time::timeout(Duration::from_millis(5), &mut until).await {
            return (done, Duration::from_secs_f64(longest));
        }
    }
}

#[tokio::test]
async fn fault_05_a_command_that_waits_for_a_lock_with_rows_of_its_own_does_not_hold_sealing_up() {
    let database = OwnServer::start().await;
    let bus = bus(&database);
    let owner = an_account();
    let claim = || Extras::none().take_claim("email", "ann@example.com", owner);
    // Somebody who writes nothing, and so holds up no sealing, keeps everybody from claiming.
    let mut maintenance = database.pool().begin().await.unwrap();
    maintenance.execute("lock table claims in share row exclusive mode").await.unwrap();
    let order = issued();
    let taking = bus.execute_with::<Counter>("a", ONE, &order, claim());
    let (outcome, longest) = longest_write(&database, taking).await;
    assert!(matches!(outcome, Err(CommandError::Conflict)), "{outcome:?}");
    assert!(longest < Duration::from_secs(1), "its transaction was open for {longest:?}");

    let taking = bus.execute_with::<Counter>("a", ONE, &order, claim());
    let soon_over = async {
        tokio::time::sleep(Duration::from_millis(120)).await;
        maintenance.rollback().await.unwrap();
    };
    let (outcome, ()) = tokio::join!(taking, soon_over);
    assert_eq!(outcome.unwrap().events, [key("a", 1)], "whoever waits for less than that is let in");
    assert_eq!(claims::owner_of(database.pool(), "email", "ann@example.com").await.unwrap(), Some(owner));
}
