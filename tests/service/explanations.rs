//! Why a number is what it is, and the report of a version: what anybody may ask.

use almanac_tests::{Folder, Person, eventually};
use reqwest::Method;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::demo::{STILL, demo_in};

fn number(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("not a decimal: {value}"))
}

#[tokio::test]
async fn every_published_prediction_is_made_again_equal_and_its_parts_sum_up() {
    let folder = Folder::new("explained");
    let almanac = demo_in(&folder, STILL, &[]);
    let reader = Person::at(&almanac.address);
    let round = eventually("a round", || async {
        let found = reader.get("/predictions/latest").await;
        Some(found["items"].as_array()?.clone()).filter(|items| items.len() >= 8)
    })
    .await;
    for prediction in &round {
        let id = prediction["id"].as_str().expect("an id");
        let why = reader.get(&format!("/predictions/{id}/explanation")).await;
        assert_eq!(why["rebuilt"], "same", "{why}");
        assert_eq!(why["dataset"], prediction["dataset"]);
        if prediction["forecast"].is_null() {
            assert!(why["abstention"].is_string() && why["reasons"].is_null(), "{why}");
            continue;
        }
        let parts = why["reasons"]["contributions"].as_array().expect("contributions");
        let sum =
            number(&why["reasons"]["base"]) + parts.iter().map(|part| number(&part["amount"])).sum::<f64>();
        assert!((sum - number(&prediction["forecast"]["expected"])).abs() < 1e-8, "{why}");
        let cases = why["cases"]["nearest"].as_array().expect("cases");
        assert_eq!(cases.len(), 50);
        assert!(cases.iter().all(|case| case["ended"].as_str() <= prediction["as_of"].as_str()), "{why}");
        assert!(why["change"]["session"].as_str() < prediction["as_of"].as_str());
    }
    let nobody = "/predictions/00000000-0000-0000-0000-000000000000/explanation";
    assert_eq!(reader.status_of(nobody).await, 404);
}

#[tokio::test]
async fn a_versions_report_is_a_page_that_needs_nothing_and_may_do_nothing() {
    let folder = Folder::new("report");
    let almanac = demo_in(&folder, STILL, &[]);
    let reader = Person::at(&almanac.address);
    eventually("a version", || async {
        let found = reader.get("/models").await;
        (!found["items"].as_array()?.is_empty()).then_some(())
    })
    .await;
    let answer = reader.request(Method::GET, "/models/us-daily/versions/1/report").send().await;
    let answer = answer.expect("an answer");
    let header = |name: &str| answer.headers()[name].to_str().expect("a header").to_owned();
    assert!(header("content-type").starts_with("text/html"));
    let policy = header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-")
            && policy.ends_with("frame-ancestors 'none'"),
        "{policy}"
    );
    assert_eq!(header("x-content-type-options"), "nosniff");
    let page = answer.text().await.expect("a page");
    assert!(page.contains("<svg") && !page.contains("<script") && !page.contains("http"));

    let kept = reader.request(Method::GET, "/models/us-daily/versions/1/report?download=true").send().await;
    let kept = kept.expect("an answer");
    let file = kept.headers()["content-disposition"].to_str().expect("a header");
    assert_eq!(file, "attachment; filename=\"us-daily-v1-report.html\"");

    let whole = reader.request(Method::GET, "/models/us-daily/versions/1/evaluation").send().await;
    let whole = whole.expect("an answer").bytes().await.expect("bytes");
    let model = reader.get("/models/us-daily").await;
    let digest = hex::encode(Sha256::digest(&whole));
    assert_eq!(model["versions"][0]["evaluation_object"]["sha256"], digest.as_str());
    for absent in ["us-daily/versions/99", "nobody/versions/1", "No%20Name/versions/1"] {
        assert_eq!(reader.status_of(&format!("/models/{absent}/report")).await, 404, "{absent}");
    }
}
