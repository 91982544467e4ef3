//! Somebody who is erased, with the mails in a folder; and what a backup brings back of them.

use std::collections::BTreeMap;
use std::path::Path;

use almanac_actors::erasure::{EraseError, Holdings};
use almanac_actors::notifier::{MailSettings, MailTransport, read_mails};
use almanac_domain::account::AccountRefusal;
use almanac_domain::account::vault::EMAIL;
use almanac_domain::clock::Clock;
use almanac_store::log::{CommandError, Issued};
use almanac_store::testing::ScratchFolder;
use almanac_store::vault;

use crate::world::{READER, World, smtp, work_off};

fn files(folder: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// A stored mail to somebody else, beside those to the reader.
fn write_to_eve(folder: &Path) {
    let mail = files(folder).into_iter().find(|(path, _)| path.extension().unwrap() == "json").unwrap().1;
    let mail = String::from_utf8(mail).unwrap().replace(READER, "eve@example.com");
    std::fs::write(folder.join("eve.json"), mail).unwrap();
}

#[tokio::test]
async fn fault_53_an_erased_reader_is_nowhere_also_when_a_backup_brings_vault_and_mails_back() {
    let world = World::with_reader(READER).await;
    let scratch = ScratchFolder::new();
    let folder = scratch.join("outbox");
    let transport = MailTransport::Folder(folder.clone());
    work_off(&world.notifier(MailSettings { transport, ..smtp(1, "") })).await;
    write_to_eve(&folder);
    let backup = files(&folder);
    let holdings = Holdings { database: &world.database, mails: &folder };
    let issued = || Issued::new(world.bus.entropy().uuid_v7(world.clock.now()));
    let address = async || vault::of_owner(world.database.pool(), world.reader, EMAIL).await.unwrap();
    assert_eq!((address().await.len(), read_mails(&folder, READER).await.unwrap().len()), (1, 1));

    holdings.erase(&world.bus, world.reader, &issued()).await.unwrap();
    assert_eq!((address().await, read_mails(&folder, READER).await.unwrap()), (vec![], vec![]));
    assert_eq!(holdings.forget_again().await.unwrap(), 0, "there is nothing left");

    // What a restored dump holds, as it comes back; and the restored folder.
    for back in [
        "insert into vault (id, owner, kind, value) values (gen_random_uuid(), $1, $2, $3)",
        "insert into claims (owner, kind, value) values ($1, $2, $3)",
    ] {
        let put = sqlx::query(back).bind(world.reader).bind(EMAIL).bind(READER);
        put.execute(world.database.pool()).await.unwrap();
    }
    for (path, bytes) in &backup {
        std::fs::write(path, bytes).unwrap();
    }
    assert_eq!((address().await.len(), read_mails(&folder, READER).await.unwrap().len()), (1, 1));
    let again = holdings.erase(&world.bus, world.reader, &issued()).await;
    assert!(
        matches!(again, Err(EraseError::Command(CommandError::Refused(AccountRefusal::Absent)))),
        "{again:?}"
    );
    for (path, bytes) in &backup {
        std::fs::write(path, bytes).unwrap();
    }
    assert_eq!(holdings.forget_again().await.unwrap(), 1);
    assert_eq!((address().await, read_mails(&folder, READER).await.unwrap()), (vec![], vec![]));
    assert_eq!(read_mails(&folder, "eve@example.com").await.unwrap().len(), 1, "others keep theirs");
}
