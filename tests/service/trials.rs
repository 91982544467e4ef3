//! A challenger beside the champion, over HTTP: from the rule fixed beforehand to what came of it.

use almanac_tests::{Almanac, Folder, Person, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::demo::{QUICK, demo_in};

const TRIALS: &str = "/admin/models/us-daily/trials";

async fn administrator(almanac: &Almanac) -> Person {
    let (email, password) = almanac.administrator();
    let person = Person::at(&almanac.address);
    person.sign_in(email, password).await;
    person
}

/// Waits until training has made a second version.
async fn challenger(reader: &Person) {
    eventually("a second version", || async {
        let models = reader.get("/models").await;
        (models["items"][0]["versions"].as_array()?.len() >= 2).then_some(())
    })
    .await;
}

fn decimal(value: &Value) -> f64 {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("not a decimal string: {value}"))
}

#[tokio::test]
async fn a_trial_is_decided_once_by_the_rule_it_was_opened_with_and_the_record_shows_each_session() {
    let folder = Folder::new("trial-decided");
    let almanac = demo_in(&folder, QUICK, &[("ALMANAC_PROMOTION", "manual")]);
    let admin = administrator(&almanac).await;
    challenger(&admin).await;

    // At one in two a win takes no luck: which of the two is better on these sessions decides.
    let wanted = json!({
        "version": 2, "reason": "is it better?", "horizons": [1], "decide_after": 20, "significance": "0.5"
    });
    let opened = admin.post(TRIALS, wanted.clone()).await;
    let (id, key) = (opened["id"].as_str().expect("an id"), opened["after"].as_str().expect("a key"));
    let open = admin.get(&format!("/models/us-daily/trials/{id}?after={key}")).await;
    assert_eq!((&open["state"], &open["rule"]["horizons"]), (&"open".into(), &json!([1])), "{open}");
    assert_eq!((&open["progress"]["needed"], &open["rule"]["latest"]), (&20.into(), &40.into()), "{open}");
    let (status, problem) = admin.refused(Method::POST, TRIALS, wanted).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &"/problems/trial-open".into()));

    let decided = eventually("a decision", || async {
        let trial = admin.get(&format!("/models/us-daily/trials/{id}")).await;
        (trial["state"] == "decided").then_some(trial)
    })
    .await;
    let counted: Vec<&Value> = decided["points"]
        .as_array()
        .expect("points")
        .iter()
        .filter(|point| point["counted"] == true)
        .collect();
    assert_eq!(counted.len(), 20, "{decided}");
    assert_eq!(
        decided["figures"]["pairs"].as_u64(),
        counted.iter().map(|point| point["pairs"].as_u64()).sum()
    );
    let mean = counted.iter().map(|point| decimal(&point["difference"])).sum::<f64>() / 20.0;
    let said = decimal(&decided["figures"]["mean_difference"]);
    assert!((mean - said).abs() < 1e-9, "{mean} is not {said}");
    let (outcome, champion) = if mean < 0.0 { ("promote", 2) } else { ("keep", 1) };
    assert_eq!(decided["outcome"], outcome, "{decided}");

    let ordinal = decided["decided_ordinal"].as_i64().expect("a place in the log");
    let models = eventually("the models so far", || async {
        let models = admin.get("/models").await;
        (models["ordinal"].as_i64()? > ordinal).then_some(models)
    })
    .await;
    assert_eq!(models["items"][0]["champion"], champion, "{models}");

    let before = admin.get(&format!("/models/us-daily/trials/{id}?as_of={}", ordinal - 1)).await;
    assert_eq!((&before["state"], &before["outcome"]), (&"open".into(), &Value::Null), "{before}");
    let opening = decided["ordinal"].as_i64().expect("a place in the log");
    let unknown = admin.status_of(&format!("/models/us-daily/trials/{id}?as_of={}", opening - 1)).await;
    assert_eq!(unknown, StatusCode::NOT_FOUND);
    let close = format!("{TRIALS}/{id}/close");
    let (status, _) = admin.refused(Method::POST, &close, json!({ "reason": "too late" })).await;
    assert_eq!(status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_trial_that_could_not_be_decided_is_not_opened_and_one_that_is_open_can_be_closed() {
    let folder = Folder::new("trial-closed");
    let almanac = demo_in(&folder, QUICK, &[("ALMANAC_PROMOTION", "manual")]);
    let admin = administrator(&almanac).await;
    challenger(&admin).await;

    for (field, wanted) in [
        ("decide_after", json!({ "version": 2, "reason": "too few", "horizons": [20], "decide_after": 79 })),
        (
            "latest",
            json!({ "version": 2, "reason": "too soon", "horizons": [1], "decide_after": 20, "latest": 20 }),
        ),
        ("horizons", json!({ "version": 2, "reason": "nobody forecasts it", "horizons": [7] })),
        ("significance", json!({ "version": 2, "reason": "no level", "significance": "0.6" })),
        ("significance", json!({ "version": 2, "reason": "no number", "significance": "half" })),
        ("reason", json!({ "version": 2, "reason": " " })),
    ] {
        let (status, problem) = admin.refused(Method::POST, TRIALS, wanted).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert!(problem["errors"][field].is_string(), "{field}: {problem}");
    }
    for wanted in [json!({ "version": 99, "reason": "unknown" }), json!({ "version": 1, "reason": "itself" })]
    {
        let (status, problem) = admin.refused(Method::POST, TRIALS, wanted).await;
        assert!([StatusCode::NOT_FOUND, StatusCode::CONFLICT].contains(&status), "{problem}");
    }
    let ann = Person::at(&almanac.address);
    let plain = json!({ "version": 2, "reason": "in the dark", "dry_run": true });
    assert_eq!(ann.refused(Method::POST, TRIALS, plain.clone()).await.0, StatusCode::UNAUTHORIZED);
    ann.register("ann@example.org", "correct horse battery").await;
    assert_eq!(ann.refused(Method::POST, TRIALS, plain.clone()).await.0, StatusCode::FORBIDDEN);

    let opened = admin.post(TRIALS, plain).await;
    let id = opened["id"].as_str().expect("an id");
    let closed = admin.post(&format!("{TRIALS}/{id}/close"), json!({ "reason": "seen enough" })).await;
    let after = closed["after"].as_str().expect("a key");
    // Everybody may read what came of it.
    let trials = ann.get(&format!("/models/us-daily/trials?after={after}")).await;
    let trial = &trials["items"][0];
    assert_eq!((&trial["id"], &trial["ended_by"]), (&id.into(), &"closed".into()), "{trials}");
    assert_eq!((&trial["outcome"], &trial["verdict"]), (&"keep".into(), &"seen enough".into()), "{trials}");
    assert_eq!(ann.status_of("/models/nobody/trials").await, StatusCode::NOT_FOUND);
}
