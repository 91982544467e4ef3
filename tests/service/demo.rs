//! A market lived through: predictions are published, mailed, delivered, scored, and replayed.

use almanac_tests::{Almanac, Folder, Person, Receiver, SmtpServer, eventually};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// A small market, quickly lived through.
const SMALL: [&str; 8] = ["--instruments", "8", "--years", "3", "--hurry", "0", "--listen", "127.0.0.1:0"];

/// Seconds a session: as fast as a test can watch.
pub const QUICK: &str = "0.3";

/// Seconds a session: one round is published, and then time stands still.
pub const STILL: &str = "3600";

pub fn demo_in(folder: &Folder, speed: &str, environment: &[(&str, &str)]) -> Almanac {
    let path = folder.path().to_str().expect("a readable path");
    let arguments = [["demo", "--data-dir", path, "--speed", speed].as_slice(), SMALL.as_slice()].concat();
    Almanac::start(&arguments, environment)
}

fn number(value: &Value) -> f64 {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("not a decimal string: {value}"))
}

async fn first_symbol(person: &Person) -> String {
    let predictions = eventually("a published prediction", || async {
        let found = person.get("/predictions?limit=1").await;
        (!found["items"].as_array()?.is_empty()).then_some(found)
    })
    .await;
    predictions["items"][0]["instrument"]["symbol"].as_str().expect("a symbol").to_owned()
}

#[tokio::test]
async fn a_new_user_gets_one_mail_a_session_for_the_stock_they_watch() {
    let (folder, smtp) = (Folder::new("mail"), SmtpServer::start().await);
    let almanac = demo_in(&folder, QUICK, &[("ALMANAC_SMTP_URL", &smtp.url)]);
    let ann = Person::at(&almanac.address);
    ann.register("ann@example.org", "correct horse battery").await;
    let symbol = first_symbol(&ann).await;
    ann.watch(&symbol).await;

    let for_ann = || smtp.mails().into_iter().filter(|mail| mail.to == "ann@example.org").collect::<Vec<_>>();
    let mails = eventually("two mails", || async { Some(for_ann()).filter(|mails| mails.len() >= 2) }).await;

    let subjects: Vec<_> = mails.iter().filter_map(|mail| mail.header("subject")).collect();
    assert_ne!(subjects[0], subjects[1], "each session has a mail of its own");
    let mut ids: Vec<_> = mails.iter().filter_map(|mail| mail.header("message-id")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), mails.len(), "no mail came twice");
    for mail in &mails {
        assert!(mail.message.contains(&symbol), "the mail speaks of {symbol}");
        assert!(
            mail.message.to_lowercase().contains("simulated"),
            "the mail says that the market is simulated"
        );
        assert!(mail.header("list-unsubscribe").is_some_and(|link| link.contains("/unsubscribe?token=")));
        assert_eq!(mail.header("list-unsubscribe-post").as_deref(), Some("List-Unsubscribe=One-Click"));
    }
}

#[tokio::test]
async fn a_prediction_is_scored_with_the_prices_that_came() {
    let folder = Folder::new("scored");
    let almanac = demo_in(&folder, QUICK, &[]);
    let reader = Person::at(&almanac.address);
    let scored = eventually("a scored prediction", || async {
        let found = reader.get("/predictions?state=scored&horizon=1&limit=20").await;
        Some(found["items"].as_array()?.clone()).filter(|items| items.len() >= 8)
    })
    .await;

    for prediction in scored {
        let instrument = prediction["instrument"]["id"].as_str().expect("an id");
        let (from, to) =
            (prediction["as_of"].as_str().expect("a day"), prediction["target"].as_str().expect("a day"));
        let bars = reader.get(&format!("/instruments/{instrument}/bars?from={from}&to={to}")).await;
        let bars = bars["items"].as_array().expect("bars").clone();
        assert_eq!(bars.len(), 2, "horizon 1 spans two sessions: {bars:?}");
        let realised = (number(&bars[1]["close"]) / number(&bars[0]["close"])).ln();
        assert!((realised - number(&prediction["realised"])).abs() < 1e-9, "{prediction}");
        let expected = number(&prediction["forecast"]["expected"]);
        let error = number(&prediction["score"]["squared_error"]["model"]);
        assert!(((realised - expected).powi(2) - error).abs() < 1e-9, "{prediction}");
        assert_eq!(prediction["mode"], "simulated");
        assert!(prediction["published_at"].as_str() < prediction["target_closes_at"].as_str());
    }

    let record = reader.get("/track-record?horizon=1").await;
    let item = &record["items"][0];
    assert!(item["scored"].as_u64().is_some_and(|scored| scored >= 8));
    for measure in ["rmse", "rmse_zero", "rmse_drift", "coverage_80", "brier"] {
        assert!(number(&item[measure]).is_finite(), "{measure} stands in the record");
    }
    assert!(item["verdict_words"].as_str().is_some_and(|words| !words.is_empty()));
}

#[tokio::test]
async fn an_integrator_gets_signed_webhooks_and_can_have_one_again() {
    let (folder, receiver) = (Folder::new("webhooks"), Receiver::start().await);
    let almanac = demo_in(&folder, QUICK, &[("ALMANAC_WEBHOOKS_ALLOW_PRIVATE", "true")]);
    let integrator = Person::at(&almanac.address);
    integrator.register("ines@example.org", "correct horse battery").await;
    let wish = json!({ "url": receiver.url, "event_types": ["round.completed"] });
    let created = integrator.post("/webhook-endpoints", wish).await;
    let secret =
        created["secret"].as_str().expect("the secret, once").strip_prefix("whsec_").expect("a prefix");
    let key = STANDARD.decode(secret).expect("base64");

    let call = eventually("a webhook", || async { receiver.calls().into_iter().next() }).await;
    let (id, at) = (&call.headers["webhook-id"], &call.headers["webhook-timestamp"]);
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key");
    mac.update(format!("{id}.{at}.").as_bytes());
    mac.update(&call.body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert!(call.headers["webhook-signature"].split(' ').any(|signature| signature == expected));
    assert_eq!(call.json()["type"], "round.completed");

    let delivered = eventually("the delivery in the list", || async {
        let endpoint = created["id"].as_str()?;
        let list = integrator.get(&format!("/webhook-endpoints/{endpoint}/deliveries?limit=500")).await;
        list["items"]
            .as_array()?
            .iter()
            .find(|item| item["id"] == id.as_str() && item["state"] == "delivered")
            .cloned()
    })
    .await;
    let attempts = integrator.get(&format!("/webhook-deliveries/{id}/attempts")).await;
    assert_eq!(attempts["items"][0]["status"], 204, "{delivered}");
    integrator.post(&format!("/webhook-deliveries/{id}/resend"), json!({})).await;
    eventually("the same message again", || async {
        (receiver.calls().iter().filter(|call| call.headers["webhook-id"] == *id).count() >= 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_administrator_promotes_rolls_back_and_sees_what_was_known_before() {
    let folder = Folder::new("replay");
    let almanac = demo_in(&folder, "30", &[]);
    let admin = Person::at(&almanac.address);
    let (email, password) = almanac.administrator();
    admin.sign_in(email, password).await;
    first_symbol(&admin).await;

    let trained = admin.post("/training-runs", json!({})).await;
    let (run, asked) = (trained["id"].as_str().expect("an id"), trained["after"].as_str().expect("a key"));
    let version = eventually("the second version", || async {
        admin.get(&format!("/training-runs/{run}?after={asked}")).await["version"].as_u64()
    })
    .await;
    let before = admin.get("/admin/log").await["head"].as_u64().expect("an ordinal");
    let path = format!("/models/us-daily/versions/{version}/promote");
    let champion_before = admin.get("/models/us-daily").await["champion"].as_u64();
    if champion_before != Some(version) {
        let promoted = admin.post(&path, json!({ "reason": "a trial by the test" })).await;
        let after = promoted["after"].as_str().expect("the event's key");
        assert_eq!(admin.get(&format!("/models/us-daily?after={after}")).await["champion"], version);
        let then = admin.get(&format!("/models/us-daily?as_of={before}")).await;
        assert_eq!(then["champion"].as_u64(), champion_before, "replay shows the champion of that moment");
    }
    let back = admin.post("/models/us-daily/roll-back", json!({ "reason": "the trial is over" })).await;
    let after = back["after"].as_str().expect("the event's key");
    let model = admin.get(&format!("/models/us-daily?after={after}")).await;
    assert_ne!(model["champion"], version);
    let timeline = admin.get("/models/us-daily/timeline").await.to_string();
    assert!(timeline.contains("the trial is over"), "{timeline}");

    let at_first = admin.get("/models?as_of=1").await;
    assert_eq!(at_first["items"], json!([]), "at the first event there was no model");
    let (status, problem) = admin
        .refused(reqwest::Method::POST, "/models/us-daily/versions/99/promote", json!({ "reason": "x" }))
        .await;
    assert_eq!((status.as_u16(), problem["status"].as_u64()), (404, Some(404)), "{problem}");
}
