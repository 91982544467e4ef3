//! Mails, from a completed round to a mail server on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod erasure;
mod server;
mod world;

use std::time::Duration;

use almanac_actors::notifier::{
    MailSettings, MailTransport, forget_mails, read_mails, verify_unsubscribe_token,
};
use almanac_actors::trade::{Progress, Trade};
use almanac_domain::clock::Clock;
use almanac_store::testing::ScratchFolder;
use almanac_store::transparency::{SigningKey, TreeHead, checkpoint};
use chrono::TimeDelta;

use server::{MailServer, Reaction};
use world::{READER, World, secret, smtp, work_off};

#[tokio::test]
async fn a_reader_gets_one_mail_for_a_session() {
    let world = World::with_reader(READER).await;
    let server = MailServer::start(&[]).await;
    let notifier = world.notifier(smtp(server.port, ""));
    work_off(&notifier).await;
    work_off(&notifier).await;

    let taken = server.taken();
    assert_eq!(taken.len(), 1);
    let mail = &taken[0];
    assert_eq!((mail.from.as_str(), mail.to.as_slice()), ("almanac@example.com", &[READER.to_owned()][..]));
    assert_eq!(mail.header("Subject").unwrap(), "AAA, BBB: forecasts after 4 March 2024 (simulated)");
    let words = mail.readable();
    for said in [
        "+1.00%",
        "−2.00%",
        "+4.00%",
        "98.00",
        "104.00",
        "57%",
        "volatility 2.4%",
        "17%, 19%, 20%, 21%, 23%",
        "Simulated.",
        "Anvils &amp; Arrows",
        "there are too few prices of this stock yet",
        "No forecast of this stock at this horizon has been scored yet.",
        "us-daily, version 3",
        "5 sessions ahead, to the close of Monday, 11 March 2024",
        "https://almanac.example/instruments/",
    ] {
        assert!(words.contains(said), "the mail lacks {said}:\n{words}");
    }
    assert_eq!(world.mail().await.state, "sent");
}

#[tokio::test]
async fn fault_42_a_crash_after_the_server_took_the_mail_repeats_it_once_under_the_same_message_id() {
    let world = World::with_reader(READER).await;
    let server = MailServer::start(&[]).await;
    server.will([Reaction::HoldAfterData]);
    let lease = Duration::from_secs(1);
    let settings = || MailSettings { lease, ..smtp(server.port, "") };

    let doomed = world.notifier(settings());
    let passing = tokio::spawn(async move { doomed.pass().await });
    server.held().await;
    passing.abort();
    assert!(passing.await.unwrap_err().is_cancelled());
    assert_eq!(world.mail().await.state, "due");

    let successor = world.notifier(settings());
    assert_eq!(successor.pass().await.unwrap(), Progress::Idle, "the lease of the dead sender holds");
    tokio::time::timeout(Duration::from_secs(15), async {
        while server.taken().len() < 2 {
            work_off(&successor).await;
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the mail is sent again when the lease has run out");
    work_off(&successor).await;

    let ids: Vec<_> = server.taken().iter().map(|mail| mail.header("Message-ID").unwrap()).collect();
    assert_eq!(ids.len(), 2, "one duplicate and no more");
    assert_eq!(ids[0], ids[1]);
    let mail = world.mail().await;
    assert_eq!((mail.state.as_str(), mail.attempts), ("sent", 2), "the repetition is counted");
}

#[tokio::test]
async fn fault_43_greylisting_delays_a_mail_and_a_lost_answer_repeats_it() {
    let world = World::with_reader(READER).await;
    let server = MailServer::start(&[]).await;
    server.will([
        Reaction::AnswerRecipient("451 4.7.1 greylisted, come back in five minutes"),
        Reaction::AnswerMail("452 4.3.1 the disk is full"),
        Reaction::DropAfterData,
    ]);
    let notifier = world.notifier(smtp(server.port, ""));
    for said in ["greylisted", "the disk is full", ""] {
        work_off(&notifier).await;
        let mail = world.mail().await;
        assert_eq!(mail.state, "due");
        assert!(mail.last_error.as_ref().unwrap().contains(said), "{mail:?}");
        assert_eq!(notifier.pass().await.unwrap(), Progress::Idle, "not before its time");
        world.advance(TimeDelta::minutes(11));
    }
    work_off(&notifier).await;
    let taken = server.taken();
    assert_eq!(taken.len(), 2, "the one without an answer, and its repetition");
    assert_eq!(taken[0].header("Message-ID"), taken[1].header("Message-ID"));
    assert_eq!(world.mail().await.state, "sent");
}

#[tokio::test]
async fn fault_43_a_mail_that_is_refused_for_good_is_not_sent_again() {
    let world = World::with_reader(READER).await;
    let server = MailServer::start(&[]).await;
    server.will([Reaction::AnswerRecipient("550 5.1.1 <Ada@example.com>: no such mailbox")]);
    let notifier = world.notifier(smtp(server.port, ""));
    work_off(&notifier).await;
    let mail = world.mail().await;
    assert_eq!(mail.state, "failed");
    let error = mail.last_error.unwrap();
    assert!(error.contains("no such mailbox"), "{error}");
    assert!(!error.to_lowercase().contains(READER), "the address stays in the vault: {error}");
    world.advance(TimeDelta::days(7));
    work_off(&notifier).await;
    assert!(server.taken().is_empty());
}

#[tokio::test]
async fn fault_43_a_wrong_password_of_ours_loses_no_mail() {
    let world = World::with_reader(READER).await;
    let server = MailServer::start(&["AUTH PLAIN LOGIN"]).await;
    let mut settings = smtp(server.port, "");
    let url = format!("smtp://almanac:wrong@127.0.0.1:{}?tls=none", server.port);
    settings.transport = MailTransport::Smtp(url.parse().unwrap());
    work_off(&world.notifier(settings)).await;
    let mail = world.mail().await;
    assert_eq!(mail.state, "due", "the operator mends it, the mail waits: {mail:?}");
    assert!(mail.last_error.unwrap().contains("535"), "the answer is named");
}

#[tokio::test]
async fn fault_43_without_the_encryption_that_is_required_no_mail_leaves() {
    for extensions in [&[][..], &["STARTTLS"][..]] {
        let world = World::with_reader(READER).await;
        let server = MailServer::start(extensions).await;
        work_off(&world.notifier(smtp(server.port, "?tls=required"))).await;
        assert_eq!(world.mail().await.state, "due");
        assert!(!server.commands().contains(&"MAIL".to_owned()), "{:?}", server.commands());
        assert!(server.taken().is_empty());
    }
}

#[tokio::test]
async fn fault_43_a_server_that_never_answers_holds_nothing_up() {
    let world = World::with_reader(READER).await;
    let server = MailServer::start(&[]).await;
    server.will([Reaction::HoldAfterData]);
    let patience = Duration::from_millis(300);
    let notifier = world.notifier(MailSettings { patience, ..smtp(server.port, "") });
    work_off(&notifier).await;
    let mail = world.mail().await;
    assert_eq!(mail.state, "due");
    assert!(mail.last_error.unwrap().contains("too long"));
}

#[tokio::test]
async fn an_erased_account_and_one_that_wants_no_mail_get_none() {
    let server = MailServer::start(&[]).await;
    let erased = World::with_reader(READER).await;
    erased.erase_reader().await;
    let content = World::with_reader(READER).await;
    content.stop_session_mails().await;
    for world in [erased, content] {
        work_off(&world.notifier(smtp(server.port, ""))).await;
        assert_eq!(world.mail().await.state, "failed");
    }
    assert!(server.taken().is_empty());
}

#[tokio::test]
async fn fault_44_the_link_in_a_mail_stops_that_kind_of_mail_for_that_account() {
    let world = World::with_reader(READER).await;
    let server = MailServer::start(&[]).await;
    work_off(&world.notifier(smtp(server.port, ""))).await;
    let mail = &server.taken()[0];
    assert_eq!(mail.header("List-Unsubscribe-Post").unwrap(), "List-Unsubscribe=One-Click");
    let header = mail.header("List-Unsubscribe").unwrap();
    let token = header
        .strip_prefix("<https://almanac.example/api/v1/unsubscribe?token=")
        .and_then(|rest| rest.strip_suffix('>'))
        .expect("a link to the one-click route");
    let stopped = verify_unsubscribe_token(&secret(), token, world.clock.now()).unwrap();
    assert_eq!((stopped.account, stopped.kind.as_str()), (world.reader, "session"));
    assert!(mail.readable().contains(&format!("https://almanac.example/unsubscribe?token={token}")));
}

#[tokio::test]
async fn fault_45_an_address_that_would_add_headers_gets_no_mail() {
    let world = World::with_reader("ada@example.com\r\nBcc: eve@example.com").await;
    let server = MailServer::start(&[]).await;
    work_off(&world.notifier(smtp(server.port, ""))).await;
    assert_eq!(world.mail().await.state, "failed");
    assert_eq!(server.commands(), Vec::<String>::new());
}

#[tokio::test]
async fn a_mail_waits_a_little_for_the_signed_head_that_covers_its_round_and_carries_it() {
    let world = World::with_reader(READER).await;
    let key = SigningKey::from_seed("almanac.example", [4; 32]).unwrap();
    checkpoint::adopt_key(&world.database, key.verifier()).await.unwrap();
    let server = MailServer::start(&[]).await;
    let notifier = world.notifier(smtp(server.port, ""));
    let publish = async {
        let (size, root) = checkpoint::sealed(&world.database).await.unwrap();
        let note = TreeHead { origin: "almanac.example".into(), size, root }.signed(&key).unwrap();
        checkpoint::record(&world.database, &note, world.clock.now()).await.unwrap();
        note
    };
    let (passed, note) = tokio::join!(notifier.pass(), publish);
    assert_eq!(passed.unwrap(), Progress::More);
    let words = server.taken()[0].readable().replace("\r\n", "\n");
    assert!(words.contains(&note), "the mail lacks the head:\n{words}");
}

#[tokio::test]
async fn without_a_mail_server_mails_lie_in_a_folder() {
    let world = World::with_reader(READER).await;
    let scratch = ScratchFolder::new();
    let folder = scratch.join("outbox");
    assert_eq!(read_mails(&folder, READER).await.unwrap(), []);
    let transport = MailTransport::Folder(folder.clone());
    work_off(&world.notifier(MailSettings { transport, ..smtp(1, "") })).await;

    let mails = read_mails(&folder, "ADA@example.com").await.unwrap();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].session.unwrap().to_string(), "2024-03-04");
    assert_eq!(mails[0].sent_at, world.clock.now());
    assert!(mails[0].text.contains("chance of a rise: 57%"), "{}", mails[0].text);
    assert!(mails[0].html.starts_with("<!doctype html>"));
    assert_eq!(read_mails(&folder, "eve@example.com").await.unwrap(), []);
    let eml = std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path());
    let eml =
        eml.filter(|path| path.extension().is_some_and(|extension| extension == "eml")).collect::<Vec<_>>();
    assert_eq!(eml.len(), 1);
    let message = std::fs::read_to_string(&eml[0]).unwrap();
    assert!(message.contains(&format!("Message-ID: {}", mails[0].message_id)), "{message}");
    assert_eq!(world.mail().await.state, "sent");

    assert_eq!(forget_mails(&folder, "eve@example.com").await.unwrap(), 0);
    assert_eq!(forget_mails(&folder, READER).await.unwrap(), 1);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}
