//! What may be recorded as a published head.

use almanac_store::testing::TestDatabase;
use almanac_store::transparency::{CheckpointRefused, NoteRefused, SigningKey, TreeHead, checkpoint};

use crate::counter::noon;
use crate::world::{append, forge, key, publish, rehash};

async fn refused(database: &TestDatabase, head: TreeHead, by: &SigningKey) -> CheckpointRefused {
    let note = head.signed(by).unwrap();
    let before = checkpoint::page(database.pool(), None, 100).await.unwrap();
    let refused = checkpoint::record(database, &note, noon()).await.unwrap_err();
    assert_eq!(checkpoint::page(database.pool(), None, 100).await.unwrap(), before, "nothing is recorded");
    refused
}

fn head(size: i64, root: [u8; 32]) -> TreeHead {
    TreeHead { origin: "example.org".into(), size, root }
}

#[tokio::test]
async fn fault_13_a_wrong_key_a_smaller_size_and_a_forked_root_are_refused() {
    let database = TestDatabase::new().await;
    append(&database, 3).await;
    database.seal().await;
    let first = publish(&database).await;
    append(&database, 4).await;
    database.seal().await;
    let second = publish(&database).await;
    assert_eq!((first.size, second.size), (3, 7));

    let stranger = SigningKey::from_seed("example.org", [1; 32]).unwrap();
    let error = refused(&database, head(7, second.root), &stranger).await;
    assert!(matches!(error, CheckpointRefused::Note(NoteRefused::NotSignedBy(_))), "{error}");
    let error = refused(&database, head(3, first.root), &key()).await;
    assert!(matches!(error, CheckpointRefused::Smaller { size: 3, published: 7 }), "{error}");
    let error = refused(&database, head(7, first.root), &key()).await;
    assert!(matches!(error, CheckpointRefused::Forked { size: 7 }), "{error}");
    let error = refused(&database, head(8, second.root), &key()).await;
    assert!(matches!(error, CheckpointRefused::BeyondLog { size: 8, head: 7 }), "{error}");
    append(&database, 1).await;
    database.seal().await;
    let error = refused(&database, head(8, second.root), &key()).await;
    assert!(matches!(error, CheckpointRefused::Forked { size: 8 }), "{error}");

    assert_eq!(checkpoint::record(&database, &second.note, noon()).await.unwrap(), second, "once is enough");
    assert_eq!(publish(&database).await.size, 8);
}

#[tokio::test]
async fn fault_13_a_log_that_was_rewritten_below_a_published_head_gets_no_further_head() {
    let database = TestDatabase::new().await;
    append(&database, 5).await;
    database.seal().await;
    publish(&database).await;
    forge(&database, "update events set payload = '{\"Said\": {\"text\": \"hit\"}}' where sequence = 1")
        .await;
    rehash(&database).await;
    append(&database, 1).await;
    database.seal().await;
    let (size, root) = checkpoint::sealed(&database).await.unwrap();
    let error = refused(&database, head(size, root), &key()).await;
    assert!(matches!(error, CheckpointRefused::Forked { size: 5 }), "{error}");
}

#[tokio::test]
async fn fault_13_a_log_that_has_no_key_records_nothing() {
    let database = TestDatabase::new().await;
    let error = refused(&database, head(1, [1; 32]), &key()).await;
    assert!(matches!(error, CheckpointRefused::NoKey), "{error}");
}

#[tokio::test]
async fn a_log_keeps_its_first_key() {
    let database = TestDatabase::new().await;
    let (first, second) = (key(), SigningKey::from_seed("example.org", [1; 32]).unwrap());
    for key in [&first, &second] {
        let known = checkpoint::adopt_key(&database, key.verifier()).await.unwrap();
        assert_eq!(&known, first.verifier());
    }
}

#[tokio::test]
async fn published_heads_are_listed_newest_first_in_pages() {
    let database = TestDatabase::new().await;
    for _ in 0..5 {
        append(&database, 2).await;
        database.seal().await;
        publish(&database).await;
    }
    let sizes = |page: Vec<checkpoint::Checkpoint>| page.iter().map(|head| head.size).collect::<Vec<_>>();
    assert_eq!(sizes(checkpoint::page(database.pool(), None, 3).await.unwrap()), [10, 8, 6]);
    assert_eq!(sizes(checkpoint::page(database.pool(), Some(6), 3).await.unwrap()), [4, 2]);
    assert_eq!(checkpoint::newest(database.pool()).await.unwrap().unwrap().size, 10);
}
