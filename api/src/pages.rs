//! The web application, built into the binary.

use actix_web::{HttpRequest, HttpResponse, ResponseError};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::problem::{Kind, Problem};
use crate::tagged::{self, ASK_EACH_TIME, FOR_GOOD};

/// What `npm run build` has left in `web/dist`.
#[derive(RustEmbed)]
#[folder = "../web/dist"]
struct Files;

/// The file of this path, or the application itself, which then shows the page of that path.
pub fn page(request: &HttpRequest) -> HttpResponse {
    let path = request.path().trim_start_matches('/');
    if let Some(file) = Files::get(path) {
        return sent(request, path, &file);
    }
    let is_file = path.rsplit('/').next().is_some_and(|name| name.contains('.'));
    match Files::get("index.html") {
        Some(index) if !is_file => sent(request, "index.html", &index),
        Some(_) | None => Problem::from(Kind::Absent).error_response(),
    }
}

fn sent(request: &HttpRequest, path: &str, file: &EmbeddedFile) -> HttpResponse {
    // Vite puts a digest into the names below assets/; everything else keeps its name when it changes.
    let kept = if path.starts_with("assets/") { FOR_GOOD } else { ASK_EACH_TIME };
    let tag = tagged::tag(&file.metadata.sha256_hash());
    tagged::answer(request, tag, kept, media_type(path), file.data.to_vec())
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use actix_web::http::header::{ETAG, IF_NONE_MATCH};
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_page_that_is_no_file_is_the_application_and_a_missing_file_is_missing() {
        let request = TestRequest::with_uri("/instruments/7").to_http_request();
        assert_eq!(page(&request).status(), StatusCode::OK);
        let request = TestRequest::with_uri("/assets/missing.js").to_http_request();
        assert_eq!(page(&request).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn what_the_browser_has_is_not_sent_again() {
        let first = page(&TestRequest::with_uri("/").to_http_request());
        let etag = first.headers().get(ETAG).cloned();
        let request = TestRequest::with_uri("/")
            .insert_header((IF_NONE_MATCH, etag.clone().unwrap_or_else(|| unreachable!())));
        assert_eq!(page(&request.to_http_request()).status(), StatusCode::NOT_MODIFIED);
        assert!(etag.is_some());
    }
}
