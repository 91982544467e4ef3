//! An administrator brings in a model over HTTP, from the files to the version; and who and what is refused.

use std::path::Path;

use almanac_tests::{Almanac, Folder, Person, eventually};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::demo::{STILL, demo_in};

const IMPORTS: &str = "/models/us-daily/imports";

fn base64_of(fixture: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ml/tests/fixtures/onnx");
    STANDARD.encode(std::fs::read(folder.join(fixture)).expect("a fixture"))
}

fn file(horizon: u32, fixture: &str) -> Value {
    json!({ "horizon": horizon, "onnx": base64_of(fixture) })
}

async fn administrator(almanac: &Almanac) -> (Person, String) {
    let (email, password) = almanac.administrator();
    let person = Person::at(&almanac.address);
    let session = person.sign_in(email, password).await;
    (person, session["token"].as_str().expect("a token").to_owned())
}

/// Waits until there is a first version and the session after it has come, with which time stands still; gives a day of the
/// year before.
async fn a_year_before_the_end(admin: &Person) -> String {
    let last = eventually("a first version", || async {
        let models = admin.get("/models").await;
        Some(models["items"][0]["versions"][0]["trained_through"].as_str()?.to_owned())
    })
    .await;
    eventually("the session after it", || async {
        (admin.get("/status").await["last_session"].as_str()? > last.as_str()).then_some(())
    })
    .await;
    let (year, _) = last.split_once('-').expect("a date");
    format!("{}-06-03", year.parse::<i32>().expect("a year") - 1)
}

/// Asks under an idempotency key.
async fn keyed(admin: &Person, key: &str, wanted: &Value) -> (StatusCode, Value) {
    let asked = admin.request(Method::POST, IMPORTS).header("idempotency-key", key).json(wanted);
    let answer = asked.send().await.expect("an answer");
    (answer.status(), answer.json().await.expect("JSON"))
}

async fn ended(admin: &Person, asked: &Value) -> Value {
    let (id, after) = (asked["id"].as_str().expect("an id"), asked["after"].as_str().expect("a key"));
    admin.get(&format!("/training-runs/{id}?after={after}")).await;
    eventually("the end of the run", || async {
        let run = admin.get(&format!("/training-runs/{id}")).await;
        run["ended_at"].is_string().then_some(run)
    })
    .await
}

#[tokio::test]
async fn a_model_comes_in_over_http_once_and_is_a_version_that_only_a_person_promotes() {
    let folder = Folder::new("imported");
    let almanac = demo_in(&folder, STILL, &[]);
    let (admin, _) = administrator(&almanac).await;
    let through = a_year_before_the_end(&admin).await;
    let wanted = json!({
        "files": [file(5, "scaled_elastic_net.onnx"), file(1, "lightgbm.onnx")], "trained_through": through
    });
    let (status, asked) = keyed(&admin, "one", &wanted).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{asked}");
    assert_eq!(keyed(&admin, "one", &wanted).await, (status, asked.clone()), "a repeated order is the same");
    let other = json!({ "files": [file(1, "ridge.onnx")] });
    let (status, problem) = keyed(&admin, "one", &other).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["type"], "/problems/idempotency-key-reused");

    let run = ended(&admin, &asked).await;
    assert_eq!((&run["state"], &run["family"]), (&"completed".into(), &"onnx".into()), "{run}");
    assert_eq!(
        (&run["horizons"], &run["import"]["learnt_through"]),
        (&json!([1, 5]), &through.as_str().into())
    );
    let bytes = STANDARD.decode(base64_of("lightgbm.onnx")).expect("base64").len();
    assert_eq!(run["import"]["files"][0]["bytes"], bytes, "{run}");
    let version = run["version"].as_u64().expect("a version");
    let model = admin.get("/models/us-daily").await;
    assert_ne!(model["champion"], version, "nobody has promoted it");
    let versions = model["versions"].as_array().expect("versions");
    let imported = versions.iter().find(|one| one["version"] == version).expect("it is there");
    assert_eq!(imported["origin"]["kind"], "imported", "{imported}");
    assert_eq!(imported["origin"]["learnt_through"], through, "{imported}");

    let (_, again) = keyed(&admin, "two", &wanted).await;
    assert_ne!(again["id"], asked["id"], "another order is another run");
    assert_eq!(ended(&admin, &again).await["version"], version, "the same files are the same version");

    let promote = format!("/models/us-daily/versions/{version}/promote");
    let promoted = admin.post(&promote, json!({ "reason": "a test" })).await;
    let after = promoted["after"].as_str().expect("a key");
    assert_eq!(admin.get(&format!("/models/us-daily?after={after}")).await["champion"], version);

    for (fixture, words) in [
        ("refused_custom_operator.onnx", "the operation com.example.Forecast is not known here"),
        ("expected.json", "the file is no ONNX model"),
    ] {
        let asked = admin.post(IMPORTS, json!({ "files": [file(1, fixture)] })).await;
        let run = ended(&admin, &asked).await;
        assert_eq!((&run["state"], &run["version"]), (&"failed".into(), &Value::Null), "{run}");
        let failure = run["failure"].as_str().expect("a reason");
        assert!(failure.starts_with("file_refused: horizon 1: ") && failure.contains(words), "{run}");
    }
}

#[tokio::test]
async fn who_may_not_import_and_what_cannot_be_imported_is_refused_before_anything_is_asked_for() {
    let folder = Folder::new("not-imported");
    let almanac = demo_in(&folder, STILL, &[]);
    let (admin, token) = administrator(&almanac).await;
    let wanted = json!({ "files": [file(1, "ridge.onnx")] });
    let ann = Person::at(&almanac.address);
    assert_eq!(ann.refused(Method::POST, IMPORTS, wanted.clone()).await.0, StatusCode::UNAUTHORIZED);
    ann.register("ann@example.org", "correct horse battery").await;
    let (status, problem) = ann.refused(Method::POST, IMPORTS, wanted.clone()).await;
    assert_eq!((status, &problem["type"]), (StatusCode::FORBIDDEN, &"/problems/not-admin".into()));
    let (status, _) = admin.refused(Method::POST, "/models/us-dialy/imports", wanted).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let ridge = || file(1, "ridge.onnx");
    for (field, wanted) in [
        ("files", json!({ "files": [] })),
        ("files[1].horizon", json!({ "files": [ridge(), ridge()] })),
        ("files[0].horizon", json!({ "files": [file(61, "ridge.onnx")] })),
        ("files[0].onnx", json!({ "files": [{ "horizon": 1, "onnx": "%%%" }] })),
        ("files[0].onnx", json!({ "files": [{ "horizon": 1, "onnx": "" }] })),
        ("trained_through", json!({ "files": [ridge()], "trained_through": "9999-01-01" })),
    ] {
        let (status, problem) = admin.refused(Method::POST, IMPORTS, wanted).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{field}: {problem}");
        assert!(problem["errors"][field].is_string(), "{field}: {problem}");
    }
    for wanted in [json!({}), json!({ "files": [ridge()], "trained_through": "in summer" })] {
        assert_eq!(admin.refused(Method::POST, IMPORTS, wanted).await.0, StatusCode::BAD_REQUEST);
    }

    // More than other operations take, and less than this one does.
    let large = json!({ "files": [{ "horizon": 1, "onnx": STANDARD.encode(vec![0; 200_000]) }] });
    assert_eq!(
        admin.refused(Method::POST, "/training-runs", large.clone()).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let asked = admin.post(IMPORTS, large).await;
    assert!(
        ended(&admin, &asked).await["failure"].as_str().is_some_and(|why| why.starts_with("file_refused"))
    );

    // A body that is announced as too large is refused before a byte of it is sent; whoever may not send it hears that.
    let address = almanac.address.trim_start_matches("http://");
    for (authorization, status) in [(format!("Bearer {token}"), "413"), ("Bearer nobody".to_owned(), "401")] {
        let head = format!(
            "POST /api/v1{IMPORTS} HTTP/1.1\r\nhost: {address}\r\nauthorization: {authorization}\r\n\
             content-type: application/json\r\ncontent-length: 400000000\r\n\r\n"
        );
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(std::str::from_utf8(&answer).expect("text"), format!("HTTP/1.1 {status}"));
    }
    let runs = admin.get("/training-runs").await;
    let imports =
        runs["items"].as_array().expect("runs").iter().filter(|run| run["import"].is_object()).count();
    assert_eq!(imports, 1, "{runs}");
}
