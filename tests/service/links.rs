//! Links in mails: whichever node signed one, any node takes it.

use almanac_tests::{Almanac, Folder, Person, Server};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Method, StatusCode};
use sha2::Sha256;

/// A token that stops the session mails of an account, as the service with this secret makes it.
fn unsubscribe_token(secret: &[u8], account: &str) -> String {
    let claim = URL_SAFE_NO_PAD.encode(format!("{account} {} session", i64::from(u32::MAX)));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any key");
    mac.update(b"almanac unsubscribe 1\n");
    mac.update(claim.as_bytes());
    format!("{claim}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn fault_44_every_node_takes_the_links_of_mails_whatever_its_data_folder_and_one_from_before_goes_on_working()
 {
    let server = Server::start("links").await;
    let folders = [Folder::new("links-a"), Folder::new("links-b"), Folder::new("links-c")];
    let secrets = [[7_u8; 32], [9; 32]];
    // Each node had a secret of its own in its folder; the third one is new.
    for (folder, secret) in folders.iter().zip(secrets) {
        std::fs::write(folder.path().join("link.secret"), hex::encode(secret)).expect("a file");
    }
    let url = server.url();
    let nodes = [
        Almanac::node(&url, &folders[0], "api,log", &[]),
        Almanac::node(&url, &folders[1], "api", &[]),
        Almanac::node(&url, &folders[2], "api", &[]),
    ];
    let ann = Person::at(&nodes[0].address).register("ann@example.org", "correct horse battery").await;
    let account = ann["account"]["id"].as_str().expect("an id");
    for node in &nodes {
        let stop = |secret: &[u8]| {
            let path = format!("/unsubscribe?token={}", unsubscribe_token(secret, account));
            async move {
                Person::at(&node.address)
                    .request(Method::POST, &path)
                    .send()
                    .await
                    .expect("an answer")
                    .status()
            }
        };
        assert_eq!(
            stop(&secrets[0]).await,
            StatusCode::OK,
            "that of the node that came first is everybody's"
        );
        assert_eq!(stop(&secrets[1]).await, StatusCode::UNPROCESSABLE_ENTITY, "another one is nobody's");
    }
    assert!(!folders[2].path().join("link.secret").exists());
}
