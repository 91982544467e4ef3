//! Projections: any can be dropped and rebuilt, and a new version takes the place of an old one unnoticed.

use std::sync::Arc;
use std::time::Duration;

use almanac_store::log::{Handler, HandlerError, Recorded, State, Step, Subscription};
use almanac_store::testing::TestDatabase;
use async_trait::async_trait;
use sqlx::{Executor, PgConnection};

use crate::counter::{count, shown, totals};
use crate::mailing::{Mailing, mails};

#[tokio::test]
async fn fault_23_a_projection_rebuilt_from_zero_equals_the_live_one() {
    let database = TestDatabase::new().await;
    let totals = totals(&database).await;
    count(&database, &["a", "b", "a", "c"]).await;
    let head = database.seal().await;
    totals.run_until(head).await.unwrap();
    let before = shown(&database).await;
    // Twice, because the second one must find room beside the first one's tables.
    for _ in 0..2 {
        let rebuilt = totals.rebuild().await.unwrap();
        assert_eq!((rebuilt.ordinal, rebuilt.differences), (head, vec![]));
        assert_eq!(shown(&database).await, before);
    }
    count(&database, &["c"]).await;
    totals.run_until(database.seal().await).await.unwrap();
    assert_eq!(shown(&database).await.last(), Some(&("c".to_owned(), 2)), "it goes on in the fresh tables");
    let schemas: i64 =
        sqlx::query_scalar("select count(*) from pg_namespace where nspname like 'p\\_totals%'")
            .fetch_one(database.pool())
            .await
            .unwrap();
    assert_eq!(schemas, 1, "the old tables are gone");
    assert_eq!(Subscription::all(&database).await.unwrap().len(), 1);
}

#[tokio::test]
async fn fault_23_a_projection_that_was_tampered_with_is_told_and_repaired() {
    let database = TestDatabase::new().await;
    let totals = totals(&database).await;
    count(&database, &["a", "b"]).await;
    totals.run_until(database.seal().await).await.unwrap();
    database.pool().execute("update p_totals_v1.totals set total = 99 where id = 'a'").await.unwrap();
    assert_eq!(totals.compare_with_fresh().await.unwrap().differences, ["totals"]);
    assert_eq!(shown(&database).await[0].1, 99, "comparing changes nothing");
    assert_eq!(totals.rebuild().await.unwrap().differences, ["totals"]);
    assert_eq!(shown(&database).await[0].1, 1);
    assert_eq!(totals.compare_with_fresh().await.unwrap().differences, Vec::<String>::new());
}

#[tokio::test]
async fn fault_19_a_new_version_warms_up_without_a_mail_and_then_takes_over() {
    let database = TestDatabase::new().await;
    let old = Subscription::install(&database, Arc::new(Mailing(1))).await.unwrap();
    count(&database, &["a", "b"]).await;
    old.run_until(database.seal().await).await.unwrap();
    let new = Subscription::install(&database, Arc::new(Mailing(2))).await.unwrap();
    assert_eq!(new.status().await.unwrap().state, State::Warming);
    count(&database, &["a"]).await;
    let head = database.seal().await;

    assert_eq!(new.step().await.unwrap(), Step::Moved { from: 0, to: 2 }, "not ahead of what readers see");
    let version_shown = "select distinct version from totals";
    assert_eq!(sqlx::query_scalar::<_, i32>(version_shown).fetch_all(database.pool()).await.unwrap(), [1]);
    assert_eq!(new.step().await.unwrap(), Step::Switched);
    assert_eq!(sqlx::query_scalar::<_, i32>(version_shown).fetch_all(database.pool()).await.unwrap(), [2]);
    assert_eq!(old.step().await.unwrap(), Step::Retired);
    new.run_until(head).await.unwrap();
    assert_eq!(mails(&database).await, ["v1:1", "v1:2", "v2:3"]);
    new.rebuild().await.unwrap();
    assert_eq!(mails(&database).await, ["v1:1", "v1:2", "v2:3"], "a rebuild mails nobody");
    let back = Subscription::install(&database, Arc::new(Mailing(1))).await.unwrap();
    assert_eq!(
        back.step().await.unwrap(),
        Step::Retired,
        "an old binary that starts again takes nothing back"
    );
    assert_eq!(Subscription::all(&database).await.unwrap().len(), 1, "nor does it leave anything behind");
}

#[tokio::test]
async fn readers_see_one_version_or_the_other_and_never_a_mixture() {
    let database = TestDatabase::new().await;
    let old = Subscription::install(&database, Arc::new(Mailing(1))).await.unwrap();
    count(&database, &["a", "b", "c"]).await;
    old.run_until(database.seal().await).await.unwrap();
    let reading = database.database().clone();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let reader = tokio::spawn(async move {
        let mut looks = 0;
        while !*stopped.borrow() || looks < 20 {
            let seen: Vec<(i32, i64)> =
                sqlx::query_as("select version, count(*) from totals group by version")
                    .fetch_all(reading.pool())
                    .await
                    .unwrap();
            assert_eq!(seen.iter().map(|(_, rows)| *rows).collect::<Vec<_>>(), [3], "{seen:?}");
            looks += 1;
        }
    });
    for version in 2..=5 {
        let new = Subscription::install(&database, Arc::new(Mailing(version))).await.unwrap();
        while new.step().await.unwrap() != Step::Switched {}
        new.rebuild().await.unwrap();
    }
    stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(20), reader).await.unwrap().unwrap();
}

struct Named(&'static str, &'static str);

#[async_trait]
impl Handler for Named {
    fn name(&self) -> &'static str {
        self.0
    }

    fn version(&self) -> i32 {
        1
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Some(self.1)
    }

    async fn apply(&self, _: &mut PgConnection, _: &Recorded) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_table_that_would_hide_another_one_is_refused_at_installation() {
    let database = TestDatabase::new().await;
    totals(&database).await;
    for (name, sql) in [
        ("other", "create table totals (id text)"),
        ("other", "create table events (id text)"),
        ("Other; drop schema public", "create table x (id text)"),
    ] {
        let refused = Subscription::install(&database, Arc::new(Named(name, sql))).await;
        assert!(refused.is_err(), "{name}: {sql}");
    }
    assert_eq!(Subscription::all(&database).await.unwrap().len(), 1, "nothing of them is left");
    Subscription::install(&database, Arc::new(Named("other", "create table others (id text)")))
        .await
        .unwrap();
}
