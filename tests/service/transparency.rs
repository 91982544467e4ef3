//! The log held to its word from outside: heads that only grow, predictions proven under them.

use std::fs;
use std::process::Command;

use almanac_tests::{Almanac, Folder, Person, Server, binary, eventually, own_database_url};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};

use super::demo::{QUICK, demo_in};
use super::nodes::faults;
use super::verifier::{Head, continues, opened, proven, text, whole};

const IDENTITY: &str = "/.well-known/almanac-log";

async fn verifier_key(reader: &Person) -> String {
    let identity = eventually("the key of the log", || async {
        let (status, body) = reader.page(IDENTITY).await;
        status.is_success().then(|| serde_json::from_str::<Value>(&body).expect("JSON"))
    })
    .await;
    let key = text(&identity["verifier_key"]).to_owned();
    assert_eq!(identity["algorithm"], "Ed25519");
    assert_eq!(key.split('+').next(), identity["origin"].as_str());
    key
}

/// What the checker in `docs/proof.md` says of a proof, run as a reader would who copies it from there.
fn twenty_lines(folder: &Folder, evidence: &Value) -> bool {
    let document = include_str!("../../docs/proof.md");
    let script =
        document.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a script");
    let proof = folder.path().join("proof.json");
    fs::write(&proof, evidence.to_string()).expect("written");
    let done = Command::new("python3").args(["-c", script]).arg(&proof).output().expect("python3 is there");
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(!errors.contains("Traceback"), "{errors}");
    done.status.success()
}

/// The proof of a prediction in this state, once it has so many events under a signed head.
async fn evidence(reader: &Person, state: &str, events: usize) -> (Value, Value) {
    eventually("a proof", || async {
        let found = reader.get(&format!("/predictions?state={state}&limit=1")).await;
        let prediction = found["items"].as_array()?.first()?.clone();
        let path = format!("/predictions/{}/proof", text(&prediction["id"]));
        let answer = reader.request(Method::GET, &path).send().await.expect("an answer");
        if !answer.status().is_success() {
            return None;
        }
        let evidence: Value = answer.json().await.expect("JSON");
        (evidence["events"].as_array()?.len() == events).then_some((prediction, evidence))
    })
    .await
}

#[tokio::test]
async fn every_signed_head_continues_the_one_before() {
    let folder = Folder::new("heads");
    let almanac = demo_in(&folder, QUICK, &[]);
    let reader = Person::at(&almanac.address);
    let key = verifier_key(&reader).await;
    let listed = eventually("four checkpoints", || async {
        let list = reader.get("/log/checkpoints?limit=500").await["items"].as_array()?.clone();
        (list.len() >= 4).then_some(list)
    })
    .await;

    let heads: Vec<Head> =
        listed.iter().map(|one| opened(text(&one["note"]), &key).expect("a signed head")).collect();
    for (one, head) in listed.iter().zip(&heads) {
        assert_eq!(whole(&one["size"]), head.size, "{one}");
    }
    for pair in heads.windows(2) {
        let (later, earlier) = (pair[0], pair[1]);
        assert!(later.size > earlier.size, "newest first, and each longer than the one before");
        let path = format!("/log/consistency?from={}&to={}", earlier.size, later.size);
        let proof = reader.get(&path).await;
        assert!(continues(earlier, later, &proof), "{proof}");
        let forged = Head { root: [7; 32], ..earlier };
        assert!(!continues(forged, later, &proof), "another beginning is not taken");
    }

    let page = reader.get("/log/checkpoints?limit=1").await;
    let next = text(&page["next"]).to_owned();
    let second = reader.get(&format!("/log/checkpoints?limit=1&cursor={next}")).await;
    assert!(whole(&second["items"][0]["size"]) < whole(&page["items"][0]["size"]));
    let (_, newest) = reader.page("/api/v1/log/checkpoint").await;
    assert!(opened(&newest, &key).expect("a signed head").size >= heads[0].size);
}

#[tokio::test]
async fn a_proof_of_fixed_sizes_is_kept_for_good_and_one_that_cannot_be_is_refused() {
    let folder = Folder::new("kept-proofs");
    let almanac = demo_in(&folder, QUICK, &[]);
    let reader = Person::at(&almanac.address);
    verifier_key(&reader).await;
    // What is not signed yet may be replaced by restoring a backup.
    eventually("a head over nine events", || async {
        let page = reader.get("/log/checkpoints?limit=1").await;
        (page["items"][0]["size"].as_i64()? >= 9).then_some(())
    })
    .await;
    for path in ["/log/consistency?from=3&to=9", "/log/inclusion?ordinal=3&size=9"] {
        let answer = reader.request(Method::GET, path).send().await.expect("an answer");
        let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
        assert!(header("cache-control").contains("immutable"), "{path}");
        let again = reader.request(Method::GET, path).header("if-none-match", header("etag"));
        assert_eq!(again.send().await.expect("an answer").status(), StatusCode::NOT_MODIFIED);
    }
    for path in [
        "/log/consistency?from=0&to=9",
        "/log/consistency?from=9&to=3",
        "/log/consistency?from=1&to=1000000000",
        "/log/inclusion?ordinal=0&size=9",
        "/log/inclusion?ordinal=10&size=9",
        "/log/inclusion?ordinal=1&size=1000000000",
        "/log/inclusion?ordinal=1&size=-1",
    ] {
        assert_eq!(reader.status_of(path).await, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
    }
    assert_eq!(reader.status_of("/log/consistency?from=x&to=9").await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn fault_14_a_published_and_a_scored_prediction_are_proven_and_nothing_else_is() {
    let folder = Folder::new("proven");
    let almanac = demo_in(&folder, QUICK, &[]);
    let reader = Person::at(&almanac.address);
    let key = verifier_key(&reader).await;

    let (published, open) = evidence(&reader, "open", 1).await;
    proven(&open, &key).expect("the published prediction is proven");
    let (scored, closed) = evidence(&reader, "scored", 2).await;
    proven(&closed, &key).expect("the scored prediction is proven");
    for (prediction, evidence) in [(&published, &open), (&scored, &closed)] {
        let event = &evidence["events"][0];
        assert_eq!(event["aggregate_id"], prediction["id"]);
        assert_eq!(event["payload"]["PredictionPublished"]["forecast"], prediction["forecast"]);
    }
    assert_eq!(closed["events"][1]["payload"]["PredictionScored"]["realised"], scored["realised"]);

    let mut tampered = closed.clone();
    tampered["events"][0]["payload"]["PredictionPublished"]["forecast"]["expected"] = "0.05".into();
    assert_eq!(proven(&tampered, &key), Err("an event was changed"));
    let mut swapped = closed.clone();
    swapped["events"][0]["inclusion"] = closed["events"][1]["inclusion"].clone();
    assert_eq!(proven(&swapped, &key), Err("an event is not under the head"));

    for (evidence, holds) in [(&open, true), (&closed, true), (&tampered, false), (&swapped, false)] {
        assert_eq!(twenty_lines(&folder, evidence), holds, "the checker in the documentation");
    }

    // Whatever is written from now on has a time that ends in zeros. They were hashed, so they have to be served.
    let mut owner = PgConnection::connect(&own_database_url(folder.path())).await.expect("it answers");
    owner
        .execute("alter table events alter recorded_at set default date_trunc('second', clock_timestamp()) + interval '120 ms'")
        .await
        .expect("altered");
    let rounded = eventually("a proof of an event that was written at such a time", || async {
        let (_, proof) = evidence(&reader, "open", 1).await;
        text(&proof["events"][0]["recorded_at"]).contains(".120").then_some(proof)
    })
    .await;
    proven(&rounded, &key).expect("what is served is what was hashed");
    assert!(twenty_lines(&folder, &rounded), "the checker in the documentation");

    let unknown =
        reader.refused(Method::GET, "/predictions/00000000-0000-0000-0000-000000000000/proof", Value::Null);
    let (status, problem) = unknown.await;
    assert_eq!((status, text(&problem["type"])), (StatusCode::NOT_FOUND, "/problems/not-found"));
}

#[tokio::test]
async fn the_key_outlasts_a_restart_and_without_its_file_nothing_more_is_signed() {
    let folder = Folder::new("key");
    let almanac = demo_in(&folder, QUICK, &[]);
    let reader = Person::at(&almanac.address);
    let key = verifier_key(&reader).await;
    let (_, signed) = evidence(&reader, "open", 1).await;
    assert!(almanac.stop());

    let almanac = demo_in(&folder, QUICK, &[]);
    let reader = Person::at(&almanac.address);
    assert_eq!(verifier_key(&reader).await, key, "the address is another, the log is the same");
    let before = proven(&signed, &key).expect("what was signed before");
    let (_, newest) = reader.page("/api/v1/log/checkpoint").await;
    let newest = opened(&newest, &key).expect("signed with the same key");
    let path = format!("/log/consistency?from={}&to={}", before.size, newest.size);
    assert!(continues(before, newest, &reader.get(&path).await));
    assert!(almanac.stop());

    fs::remove_file(folder.path().join("log.key")).expect("the key was there");
    let almanac = demo_in(&folder, QUICK, &[]);
    let reader = Person::at(&almanac.address);
    let problem = eventually("a prediction that no signed head covers", || async {
        let found = reader.get("/predictions?limit=1").await;
        let path = format!("/predictions/{}/proof", text(&found["items"][0]["id"]));
        let answer = reader.request(Method::GET, &path).send().await.expect("an answer");
        (answer.status() == StatusCode::CONFLICT).then_some(answer)
    })
    .await;
    assert!(problem.headers().contains_key("retry-after"));
    let problem: Value = problem.json().await.expect("a problem");
    assert_eq!(problem["type"], "/problems/not-covered-yet");
    assert_eq!(verifier_key(&reader).await, key, "no new key was made in its place");
    assert!(!folder.path().join("log.key").exists());
}

#[tokio::test]
async fn fault_13_a_dump_restored_beside_newer_heads_is_not_signed_and_health_and_verify_say_what_is_missing()
{
    let (server, folder) = (Server::start("nightly").await, Folder::new("nightly"));
    let often = [("ALMANAC_LOG_CHECKPOINT_EVERY", "1s")];
    // The newest head, once it covers all there is.
    let covering = async |reader: &Person| {
        let head = reader.get("/status").await["head"].as_i64();
        let newest = reader.get("/log/checkpoints?limit=1").await["items"][0]["size"].as_i64();
        newest.filter(|_| newest == head)
    };
    let node = Almanac::node(&server.url(), &folder, "api,log", &often);
    let ann = Person::at(&node.address);
    ann.register("ann@example.org", "correct horse battery").await;
    let published = eventually("a head over all there is", || covering(&ann)).await;
    assert!(node.stop());
    server.copy("almanac", "dump").await;

    let node = Almanac::node(&server.url(), &folder, "api,log", &often);
    let bea = Person::at(&node.address);
    bea.register("bea@example.org", "correct horse battery").await;
    eventually("a head over what came after the dump", || async {
        covering(&bea).await.filter(|size| *size > published)
    })
    .await;
    assert!(node.stop());

    let restored = Almanac::node(&server.url_of("dump"), &folder, "api,log", &often);
    let fault = eventually("health to be red", || async {
        faults(&restored.address).await?["actor notary"].as_str().map(str::to_owned)
    })
    .await;
    assert!(fault.contains("restored to an earlier point"), "{fault}");
    let ann = Person::at(&restored.address);
    ann.sign_in("ann@example.org", "correct horse battery").await;
    let heads = ann.get("/log/checkpoints?limit=1").await;
    assert_eq!(heads["items"][0]["size"], published, "nothing more is signed");
    let verified = Command::new(binary())
        .args(["verify", "--json", "--data-dir"])
        .arg(folder.path())
        .env("DATABASE_URL", server.url_of("dump"))
        .output()
        .expect("it runs");
    assert_eq!(verified.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
    assert_eq!(report["first_bad"]["kind"], "tail-cut", "{report}");
}
