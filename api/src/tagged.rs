//! Answers that a client which has them does not get again.

use actix_web::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// It may be kept, but is asked for each time.
pub const ASK_EACH_TIME: &str = "no-cache";

/// It never changes: anybody may keep it for good.
pub const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// The tag of a body with this SHA-256 digest.
pub fn tag(digest: &[u8]) -> String {
    format!("\"{}\"", hex::encode(&digest[..digest.len().min(16)]))
}

/// The body under its tag, or that the client has it.
pub fn answer(
    request: &HttpRequest,
    tag: String,
    kept: &'static str,
    media_type: &str,
    body: impl Into<Bytes>,
) -> HttpResponse {
    let known = request.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    // A proxy that compresses on the way weakens a tag.
    let has_it =
        known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    let mut response = if has_it { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((ETAG, tag)).insert_header((CACHE_CONTROL, kept));
    if has_it { response.finish() } else { response.content_type(media_type).body(body.into()) }
}

/// A text under the digest of itself.
pub fn text(request: &HttpRequest, kept: &'static str, media_type: &str, text: String) -> HttpResponse {
    answer(request, tag(&Sha256::digest(&text)), kept, media_type, text)
}

/// The same for JSON.
pub fn json(
    request: &HttpRequest,
    kept: &'static str,
    value: &impl Serialize,
) -> Result<HttpResponse, Problem> {
    let written = serde_json::to_string(value).map_err(Problem::broken)?;
    Ok(text(request, kept, "application/json", written))
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn what_a_client_has_is_not_sent_again_and_anything_else_is() {
        let asked = |known: &str| {
            let request = TestRequest::get().insert_header((IF_NONE_MATCH, known)).to_http_request();
            answer(&request, "\"1\"".to_owned(), FOR_GOOD, "text/plain", "x")
        };
        for known in ["\"1\"", "W/\"1\"", "\"0\", W/\"1\""] {
            let response = asked(known);
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert!(response.headers().contains_key(ETAG) && response.headers().contains_key(CACHE_CONTROL));
        }
        for known in ["\"2\"", "1", ""] {
            assert_eq!(asked(known).status(), StatusCode::OK, "{known}");
        }
    }
}
