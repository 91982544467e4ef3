//! Sessions, leases, and what erasing an account takes with it.

use std::time::Duration;

use almanac_domain::account::{Account, AccountCommand};
use almanac_store::clock::Entropy;
use almanac_store::leases;
use almanac_store::log::{CommandError, Extras};
use almanac_store::sign_ins::SignIns;
use almanac_store::testing::TestDatabase;
use almanac_store::vault::{self, VaultRow};
use chrono::TimeDelta;

use crate::counter::{Command, Counter, Event, an_account, bus, issued, noon};

#[tokio::test]
async fn a_session_lives_until_it_expires_or_is_ended_and_its_token_is_stored_nowhere() {
    let database = TestDatabase::new().await;
    let sign_ins = SignIns::new(&database, Entropy::system());
    let account = an_account();
    let token = sign_ins.start(account, noon(), TimeDelta::hours(1)).await.unwrap();
    let other = sign_ins.start(account, noon(), TimeDelta::hours(1)).await.unwrap();
    assert_eq!(sign_ins.find(&token, noon()).await.unwrap().unwrap().account, account);
    assert_eq!(sign_ins.find("guessed", noon()).await.unwrap(), None);
    let later = noon() + TimeDelta::minutes(30);
    sign_ins.find(&token, later).await.unwrap();
    assert_eq!(sign_ins.find(&token, later).await.unwrap().unwrap().last_seen_at, later);
    assert_eq!(sign_ins.find(&token, noon() + TimeDelta::hours(1)).await.unwrap(), None);
    sign_ins.end(&token).await.unwrap();
    assert_eq!(sign_ins.find(&token, noon()).await.unwrap(), None);
    assert!(sign_ins.find(&other, noon()).await.unwrap().is_some());
    let stored: bool =
        sqlx::query_scalar("select exists (select 1 from sign_ins where encode(token_hash, 'hex') = $1)")
            .bind(&other)
            .fetch_one(database.pool())
            .await
            .unwrap();
    assert!(!stored);
    assert_eq!(sign_ins.sweep(noon() + TimeDelta::days(1)).await.unwrap(), 1);
}

#[tokio::test]
async fn erasing_an_account_takes_its_vault_its_claims_and_its_sessions() {
    let database = TestDatabase::new().await;
    let (bus, sign_ins) = (bus(&database), SignIns::new(&database, Entropy::system()));
    let (erased, kept) = (an_account(), an_account());
    for owner in [erased, kept] {
        let row =
            VaultRow { id: an_account(), owner, kind: "email".into(), value: format!("{owner}@example.com") };
        let extras = Extras::none().take_claim("email", &row.value, owner).put_vault(row);
        bus.execute_with::<Counter>("a", Command::Count { by: 1 }, &issued(), extras).await.unwrap();
    }
    let tokens = [
        sign_ins.start(erased, noon(), TimeDelta::hours(1)).await.unwrap(),
        sign_ins.start(kept, noon(), TimeDelta::hours(1)).await.unwrap(),
    ];
    let erase = Extras::none().forget_vault_of(erased).release_claims_of(erased).end_sign_ins_of(erased);
    bus.execute_with::<Counter>("a", Command::DoNothing, &issued(), erase).await.unwrap();

    assert_eq!(vault::of_owner(database.pool(), erased, "email").await.unwrap(), []);
    assert_eq!(vault::of_owner(database.pool(), kept, "email").await.unwrap().len(), 1);
    assert_eq!(sign_ins.find(&tokens[0], noon()).await.unwrap(), None);
    assert!(sign_ins.find(&tokens[1], noon()).await.unwrap().is_some());
    let claims: i64 =
        sqlx::query_scalar("select count(*) from claims").fetch_one(database.pool()).await.unwrap();
    assert_eq!(claims, 1);
}

#[tokio::test]
async fn fault_53_what_an_older_dump_brings_back_of_an_erased_owner_is_forgotten_again() {
    let database = TestDatabase::new().await;
    let (bus, sign_ins) = (bus(&database), SignIns::new(&database, Entropy::system()));
    let owners: Vec<_> = (0..45).map(|_| an_account()).collect();
    let (erased, kept) = owners.split_at(43);
    for owner in erased {
        bus.execute::<Counter>(&owner.to_string(), Command::Say("farewell".into()), &issued()).await.unwrap();
    }
    // One has counted only; and one has rows although there is no stream of that name.
    bus.execute::<Counter>(&kept[0].to_string(), Command::Count { by: 1 }, &issued()).await.unwrap();
    for (number, owner) in owners.iter().enumerate() {
        let address = format!("{number}@example.com");
        let row = VaultRow { id: an_account(), owner: *owner, kind: "email".into(), value: address.clone() };
        let extras = Extras::none().take_claim("email", &address, *owner).put_vault(row);
        bus.execute_with::<Counter>("a", Command::DoNothing, &issued(), extras).await.unwrap();
        sign_ins.start(*owner, noon(), TimeDelta::hours(1)).await.unwrap();
    }
    let farewell = Event::Said { text: String::new() };
    let mut left = vault::left_of::<Counter>(&database, &farewell).await.unwrap();
    assert_eq!(left.len(), erased.len());
    vault::forget_again(&database, &left).await.unwrap();
    for table in ["vault", "claims", "sign_ins"] {
        let count = format!("select count(*) from {table}");
        let left: i64 = sqlx::query_scalar(&count).fetch_one(database.pool()).await.unwrap();
        assert_eq!(left, 2, "{table}");
    }
    for owner in kept {
        assert_eq!(vault::of_owner(database.pool(), *owner, "email").await.unwrap().len(), 1);
    }
    left = vault::left_of::<Counter>(&database, &farewell).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn fault_53_what_is_put_into_the_vault_beside_an_erasure_does_not_outlive_it() {
    let database = TestDatabase::new().await;
    let (bus, owner) = (bus(&database), an_account());
    let note = |text: &str| VaultRow { id: an_account(), owner, kind: "note".into(), value: text.into() };
    bus.execute::<Account>(&owner.to_string(), AccountCommand::OpenAccount, &issued()).await.unwrap();

    // As long as an erasure is under way nobody puts anything, and the other way round.
    let held = async |lock: &str| {
        let mut transaction = database.pool().begin().await.unwrap();
        let lock = format!("select {lock}(hashtextextended('vault of ' || $1::text, 0))");
        sqlx::query(&lock).bind(owner).execute(&mut *transaction).await.unwrap();
        transaction
    };
    let erasing = held("pg_advisory_xact_lock").await;
    let beside = Extras::none().put_vault(note("beside"));
    let put = bus.execute_with::<Counter>("a", Command::Count { by: 1 }, &issued(), beside).await;
    assert!(matches!(put, Err(CommandError::Conflict)), "{put:?}");
    erasing.rollback().await.unwrap();
    let erase = async || {
        let (id, erasing) = (owner.to_string(), Extras::erasing(owner));
        bus.execute_with::<Account>(&id, AccountCommand::Erase, &issued(), erasing).await
    };
    let putting = held("pg_advisory_xact_lock_shared").await;
    let erased = erase().await;
    assert!(matches!(erased, Err(CommandError::Conflict)), "{erased:?}");
    putting.rollback().await.unwrap();
    erase().await.unwrap();

    let after = Extras::none().put_vault(note("after"));
    bus.execute_with::<Counter>("b", Command::Count { by: 1 }, &issued(), after).await.unwrap();
    assert_eq!(vault::of_owner(database.pool(), owner, "note").await.unwrap(), [], "it came too late");
}

#[tokio::test]
async fn nobody_overwrites_a_vault_row_of_another_owner() {
    let database = TestDatabase::new().await;
    let bus = bus(&database);
    let row = VaultRow { id: an_account(), owner: an_account(), kind: "note".into(), value: "mine".into() };
    let put = |row: &VaultRow| Extras::none().put_vault(row.clone());
    bus.execute_with::<Counter>("a", Command::DoNothing, &issued(), put(&row)).await.unwrap();
    let foreign = VaultRow { owner: an_account(), value: "theirs".into(), ..row.clone() };
    bus.execute_with::<Counter>("a", Command::DoNothing, &issued(), put(&foreign)).await.unwrap();
    assert_eq!(vault::get(database.pool(), row.id).await.unwrap().unwrap().value, "mine");
}

#[tokio::test]
async fn a_lease_has_one_holder_and_each_new_one_a_higher_generation() {
    let database = TestDatabase::new().await;
    let pool = database.pool();
    let (first, second) = (an_account(), an_account());
    let minute = Duration::from_secs(60);
    let lease = leases::take(&database, "training", first, minute).await.unwrap().unwrap();
    assert_eq!(leases::take(&database, "training", second, minute).await.unwrap(), None);
    assert!(leases::renew(pool, &lease, minute).await.unwrap());
    assert_eq!(leases::take(&database, "training", second, minute).await.unwrap(), None);
    // Whoever waits for nothing has waited long enough.
    let taken = leases::take(&database, "training", second, Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(taken.generation, lease.generation + 1);
    assert!(!leases::renew(pool, &lease, minute).await.unwrap(), "the old holder is fenced");
    leases::release(pool, &lease).await.unwrap();
    assert_eq!(
        leases::take(&database, "training", first, minute).await.unwrap(),
        None,
        "releasing it twice harms nobody"
    );
    leases::release(pool, &taken).await.unwrap();
    assert!(leases::take(&database, "training", first, minute).await.unwrap().is_some());
}
