//! Every address of the document answers as the document says.

use almanac_tests::{Folder, Person};
use reqwest::Method;
use serde_json::Value;

use super::demo::{STILL, demo_in};

#[tokio::test]
async fn every_public_read_answers_with_a_status_its_document_names() {
    let folder = Folder::new("interface");
    let almanac = demo_in(&folder, STILL, &[]);
    let reader = Person::at(&almanac.address);
    let (_, document) = reader.page("/openapi.json").await;
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let instrument =
        reader.get("/instruments?limit=1").await["items"][0]["id"].as_str().expect("an id").to_owned();
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let Some(read) = operations.get("get") else { continue };
        let Some(path) = path.strip_prefix("/api/v1") else { continue };
        let path = if path.starts_with("/instruments/") {
            path.replace("{id}", &instrument)
        } else {
            path.to_owned()
        };
        let path =
            path.replace("{name}", "us-daily").replace("{model}", "us-daily").replace("{version}", "1");
        let nobody = "00000000-0000-0000-0000-000000000000";
        let path = path.replace("{id}", nobody).replace("{event_id}", nobody);
        assert!(!path.contains('{'), "the test does not know how to fill {path}");
        let answer = reader.request(Method::GET, &path).send().await.expect("an answer");
        let status = answer.status();
        assert!(status.as_u16() < 500, "{path} answered {status}");
        let named = read["responses"].get(status.as_str()).or_else(|| read["responses"].get("default"));
        assert!(named.is_some(), "{path} answered {status}, which the document does not name");
        asked += 1;
    }
    assert!(asked > 15, "the document names {asked} reads only");
}
