//! Somebody who talks to the service over HTTP, in the words of what people do.

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::eventually;

/// Somebody with a browser's habits: keeps cookies and says where a request comes from.
pub struct Person {
    client: Client,
    address: String,
}

impl Person {
    /// Somebody at `address` who has not signed in.
    pub fn at(address: &str) -> Self {
        // reqwest is built without a provider of its own.
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().cookie_store(true).build().expect("a client");
        Self { client, address: address.to_owned() }
    }

    /// From now on talks to another node of the same service.
    pub fn turn_to(&mut self, address: &str) {
        address.clone_into(&mut self.address);
    }

    /// A request to `path` below `/api/v1`, with the origin a page of the service has.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/api/v1{path}", self.address)).header("origin", &self.address)
    }

    /// Reads `path` below `/api/v1`.
    pub async fn get(&self, path: &str) -> Value {
        body_of(self.request(Method::GET, path).send().await.expect("an answer"), StatusCode::OK).await
    }

    /// The status that reading `path` answers with.
    pub async fn status_of(&self, path: &str) -> StatusCode {
        self.request(Method::GET, path).send().await.expect("an answer").status()
    }

    /// The bytes behind `path`, which is not below `/api/v1`.
    pub async fn page(&self, path: &str) -> (StatusCode, String) {
        let answer = self.client.get(format!("{}{path}", self.address)).send().await.expect("an answer");
        (answer.status(), answer.text().await.expect("a body"))
    }

    /// Posts `body` to `path` and expects success.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.request(Method::POST, path).json(&body).send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert!(status.is_success(), "POST {path} answered {status}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Posts `body` to `path` and gives the problem it is refused with.
    pub async fn refused(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let answer = self.request(method, path).json(&body).send().await.expect("an answer");
        let status = answer.status();
        let media_type = answer.headers().get("content-type").and_then(|value| value.to_str().ok());
        assert_eq!(media_type, Some("application/problem+json"), "{path} answered {status}");
        (status, answer.json().await.expect("a problem"))
    }

    /// Opens an account.
    pub async fn register(&self, email: &str, password: &str) -> Value {
        self.post("/accounts", json!({ "email": email, "password": password })).await
    }

    /// Signs in.
    pub async fn sign_in(&self, email: &str, password: &str) -> Value {
        self.post("/session", json!({ "email": email, "password": password })).await
    }

    /// Signs out.
    pub async fn sign_out(&self) {
        let answer = self.request(Method::DELETE, "/session").send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }

    /// The instrument with this symbol.
    pub async fn instrument(&self, symbol: &str) -> Value {
        let found = self.get(&format!("/instruments?search={symbol}")).await;
        let items = found["items"].as_array().cloned().unwrap_or_default();
        items
            .into_iter()
            .find(|item| item["symbol"] == symbol)
            .unwrap_or_else(|| panic!("no instrument {symbol}: {found}"))
    }

    /// Puts a stock onto the first watchlist and waits until it is seen there.
    pub async fn watch(&self, symbol: &str) {
        let instrument = self.instrument(symbol).await["id"].as_str().expect("an id").to_owned();
        let list = eventually("a watchlist", || async {
            self.get("/watchlists").await["items"][0]["id"].as_str().map(str::to_owned)
        })
        .await;
        let answer = self
            .request(Method::PUT, &format!("/watchlists/{list}/instruments/{instrument}"))
            .send()
            .await
            .expect("an answer");
        let accepted = body_of(answer, StatusCode::OK).await;
        let after = accepted["after"].as_str().expect("the event's key");
        let lists = self.get(&format!("/watchlists?after={after}")).await;
        assert!(lists.to_string().contains(&instrument), "{symbol} is not on the list: {lists}");
    }
}

async fn body_of(answer: Response, expected: StatusCode) -> Value {
    let (status, url) = (answer.status(), answer.url().clone());
    let text = answer.text().await.expect("a body");
    assert_eq!(status, expected, "{url} answered: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{url} answered no JSON ({error}): {text}"))
}
