//! Proofs made from the database.

use almanac_store::log::{Frontier, Hash, LogReader};
use almanac_store::testing::TestDatabase;
use almanac_store::transparency::LogTree;

use crate::world::{append, forge};

/// The roots of the trees over the first 0, 1, 2, ... events.
async fn roots(database: &TestDatabase) -> Vec<Hash> {
    let events = LogReader::new(database).after(0, 100_000).await.unwrap();
    let mut tree = Frontier::default();
    let mut roots = vec![tree.root()];
    for event in events {
        tree.push(&event.event_hash);
        roots.push(tree.root());
    }
    roots
}

/// Proofs of and between places around the borders of tiles.
async fn assert_proofs_hold(tree: &LogTree, roots: &[Hash]) {
    let last = roots.len() as i64 - 1;
    for size in [1, 2, 3, 255, 256, 257, 511, 512, 700, 1_024, last].into_iter().filter(|size| *size <= last)
    {
        let root = roots[size as usize];
        assert_eq!(tree.root(size).await.unwrap(), Some(root), "{size}");
        for place in [1, 2, 100, 255, 256, 257, 512, 513, size].into_iter().filter(|place| *place <= size) {
            let inclusion = tree.inclusion(place, size).await.unwrap().unwrap();
            assert_eq!(inclusion.verify(&root), Ok(()), "{place} in {size}");
            let consistency = tree.consistency(place, size).await.unwrap().unwrap();
            assert_eq!(consistency.verify(), Ok(()), "{place} to {size}");
            assert_eq!((consistency.from_root, consistency.to_root), (roots[place as usize], root));
        }
    }
}

#[tokio::test]
async fn proofs_hold_without_tiles_with_some_and_with_all_of_them() {
    let database = TestDatabase::new().await;
    append(&database, 1_300).await;
    database.seal().await;
    let (tree, roots) = (LogTree::new(&database), roots(&database).await);
    assert_proofs_hold(&tree, &roots).await;
    assert_eq!(tree.fill().await.unwrap(), 5);
    assert_eq!(tree.fill().await.unwrap(), 0);
    assert_proofs_hold(&tree, &roots).await;
    forge(&database, "delete from log_tiles where index > 2").await;
    assert_proofs_hold(&tree, &roots).await;
    assert_eq!(tree.fill().await.unwrap(), 2);
    assert_proofs_hold(&tree, &roots).await;
}

#[tokio::test]
async fn a_tile_of_tiles_is_made_when_there_are_enough() {
    let database = TestDatabase::new().await;
    append(&database, 66_000).await;
    database.seal().await;
    let (tree, roots) = (LogTree::new(&database), roots(&database).await);
    assert_eq!(tree.root(66_000).await.unwrap(), Some(roots[66_000]), "made from the leaves alone");
    while tree.fill().await.unwrap() > 0 {}
    let tiles: Vec<(i16, i64)> =
        sqlx::query_as("select level, count(*) from log_tiles group by level order by level")
            .fetch_all(database.pool())
            .await
            .unwrap();
    assert_eq!(tiles, [(0, 257), (1, 1)]);
    for (place, size) in [(1, 66_000), (65_536, 65_536), (65_537, 66_000), (40_000, 65_000)] {
        let root = roots[size as usize];
        let inclusion = tree.inclusion(place, size).await.unwrap().unwrap();
        assert_eq!(inclusion.verify(&root), Ok(()), "{place} in {size}");
        let consistency = tree.consistency(place, size).await.unwrap().unwrap();
        assert_eq!((consistency.verify(), consistency.to_root), (Ok(()), root), "{place} to {size}");
    }
}

#[tokio::test]
async fn there_is_no_proof_of_what_is_not_there() {
    let database = TestDatabase::new().await;
    let tree = LogTree::new(&database);
    assert_eq!(tree.root(0).await.unwrap(), None);
    append(&database, 5).await;
    database.seal().await;
    for (ordinal, size) in [(0, 5), (6, 5), (-1, 5), (1, 6), (1, 0), (1, -1)] {
        assert_eq!(tree.inclusion(ordinal, size).await.unwrap(), None, "{ordinal} in {size}");
        assert_eq!(tree.consistency(ordinal, size).await.unwrap(), None, "{ordinal} to {size}");
    }
}

#[tokio::test]
async fn tiles_are_never_changed() {
    let database = TestDatabase::new().await;
    append(&database, 256).await;
    database.seal().await;
    LogTree::new(&database).fill().await.unwrap();
    for table in ["log_tiles", "log_checkpoints", "log_keys"] {
        for statement in [format!("delete from {table}"), format!("truncate {table}")] {
            let refused = sqlx::query(&statement).execute(database.pool()).await.unwrap_err();
            assert!(refused.to_string().contains("append-only"), "{statement}: {refused}");
        }
    }
}
