//! Nobody reads or changes what is not theirs, and every refusal is a clear problem.

use almanac_tests::{Almanac, Folder, Person};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::demo::{STILL, demo_in};

/// Parts of the edge are tried on one service, because each start costs seconds.
fn service(folder: &Folder) -> Almanac {
    demo_in(folder, STILL, &[])
}

#[tokio::test]
async fn what_is_not_yours_is_not_there_and_every_refusal_is_a_problem() {
    let folder = Folder::new("edge");
    let almanac = service(&folder);
    let (ann, bob) = (Person::at(&almanac.address), Person::at(&almanac.address));
    ann.register("ann@example.org", "correct horse battery").await;
    bob.register("bob@example.org", "another horse battery").await;
    let list = ann.post("/watchlists", json!({ "name": "Mine" })).await;
    let (id, after) = (list["id"].as_str().expect("an id"), list["after"].as_str().expect("a key"));
    assert!(ann.get(&format!("/watchlists?after={after}")).await.to_string().contains("Mine"));
    assert!(!bob.get("/watchlists").await.to_string().contains("Mine"));

    for (method, path, body) in [
        (Method::PATCH, format!("/watchlists/{id}"), json!({ "name": "Bob's" })),
        (Method::DELETE, format!("/watchlists/{id}"), json!({})),
        (Method::POST, "/training-runs".to_owned(), json!({})),
        (Method::POST, "/models/us-daily/roll-back".to_owned(), json!({ "reason": "mischief" })),
        (Method::POST, "/admin/projections/predictions/rebuild".to_owned(), json!({})),
        (Method::POST, "/admin/projections/predictions/drop".to_owned(), json!({})),
    ] {
        let (status, problem) = bob.refused(method, &path, body).await;
        assert!(matches!(status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN), "{path}: {problem}");
        assert_eq!(problem["status"].as_u64(), Some(u64::from(status.as_u16())));
        assert!(problem["type"].as_str().is_some_and(|kind| kind.starts_with("/problems/")), "{problem}");
    }
    for path in ["/admin/log", "/admin/events", "/admin/actors", "/admin/ingestions", "/admin/projections"] {
        assert_eq!(bob.status_of(path).await, StatusCode::FORBIDDEN, "{path}");
    }
    let stranger = Person::at(&almanac.address);
    for path in ["/watchlists", "/session", "/webhook-endpoints", "/mails", "/admin/log"] {
        assert_eq!(stranger.status_of(path).await, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn sign_in_sign_out_and_what_is_refused_on_the_way() {
    let folder = Folder::new("sign-in");
    let almanac = service(&folder);
    let ann = Person::at(&almanac.address);
    ann.register("ann@example.org", "correct horse battery").await;
    let (status, problem) = Person::at(&almanac.address)
        .refused(
            Method::POST,
            "/accounts",
            json!({ "email": "ANN@example.org", "password": "correct horse battery" }),
        )
        .await;
    assert_eq!((status, problem["type"].as_str()), (StatusCode::CONFLICT, Some("/problems/email-taken")));
    ann.sign_out().await;
    assert_eq!(ann.status_of("/session").await, StatusCode::UNAUTHORIZED);

    let wrong = json!({ "email": "ann@example.org", "password": "wrong horse battery" });
    let unknown = json!({ "email": "nobody@example.org", "password": "wrong horse battery" });
    let known_answer = ann.refused(Method::POST, "/session", wrong).await;
    let unknown_answer = ann.refused(Method::POST, "/session", unknown).await;
    assert_eq!(known_answer, unknown_answer, "an unknown address is answered like a wrong password");
    ann.sign_in("ann@example.org", "correct horse battery").await;
    assert_eq!(ann.get("/session").await["account"]["email"], "ann@example.org");

    let foreign = reqwest::Client::new()
        .post(format!("{}/api/v1/session", almanac.address))
        .header("origin", "http://evil.example")
        .header("cookie", "almanac_session=whatever")
        .json(&json!({}))
        .send()
        .await
        .expect("an answer");
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN, "a foreign origin is refused");

    let (status, problem) =
        ann.refused(Method::POST, "/accounts", json!({ "email": "no address", "password": "short" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["errors"]["email"].is_string() && problem["errors"]["password"].is_string(), "{problem}");

    let erase = ann.request(Method::DELETE, "/account").json(&json!({ "password": "correct horse battery" }));
    assert_eq!(erase.send().await.expect("an answer").status(), StatusCode::NO_CONTENT);
    let gone = json!({ "email": "ann@example.org", "password": "correct horse battery" });
    assert_eq!(ann.refused(Method::POST, "/session", gone).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_same_idempotency_key_has_one_effect_and_another_body_is_refused() {
    let folder = Folder::new("idempotent");
    let almanac = service(&folder);
    let ann = Person::at(&almanac.address);
    ann.register("ann@example.org", "correct horse battery").await;
    let create = |name: &str| {
        ann.request(Method::POST, "/watchlists")
            .header("idempotency-key", "k1")
            .json(&json!({ "name": name }))
            .send()
    };
    let first: serde_json::Value = create("Once").await.expect("an answer").json().await.expect("JSON");
    let second: serde_json::Value = create("Once").await.expect("an answer").json().await.expect("JSON");
    assert_eq!(first, second);
    assert_eq!(create("Twice").await.expect("an answer").status(), StatusCode::UNPROCESSABLE_ENTITY);
    let after = first["after"].as_str().expect("a key");
    let lists = ann.get(&format!("/watchlists?after={after}")).await.to_string();
    assert_eq!(lists.matches("Once").count(), 1, "{lists}");
}

#[tokio::test]
async fn pages_health_and_headers_are_there() {
    let folder = Folder::new("pages");
    let almanac = service(&folder);
    let reader = Person::at(&almanac.address);
    assert_eq!(reader.page("/health/live").await.0, StatusCode::OK);
    assert_eq!(reader.page("/health/ready").await.0, StatusCode::OK);
    for path in ["/", "/track-record", "/reference"] {
        let (status, html) = reader.page(path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(html.contains("<html"), "{path} is a page");
    }
    let (_, document) = reader.page("/openapi.json").await;
    assert!(serde_json::from_str::<serde_json::Value>(&document).expect("JSON")["paths"].is_object());
    for path in ["/", "/api/v1/status", "/api/v1/nowhere"] {
        let answer = reqwest::get(format!("{}{path}", almanac.address)).await.expect("an answer");
        for header in ["content-security-policy", "x-content-type-options", "referrer-policy"] {
            assert!(answer.headers().contains_key(header), "{path} lacks {header}");
        }
    }
    assert_eq!(reader.status_of("/nowhere").await, StatusCode::NOT_FOUND);
    for path in ["/instruments?search=%00", "/predictions?as_of_session=-9999-01-01", "/models?after=a:%00:1"]
    {
        let status = reader.status_of(path).await;
        assert!(status.is_client_error(), "{path} answered {status}");
    }
}
