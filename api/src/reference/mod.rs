//! `/reference`: the API reference, a page that reads `/openapi.json` and needs nothing from the network.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use crate::openapi::Served;

/// The routes of the page and of the document it reads.
pub fn configure(config: &mut ServiceConfig) {
    config
        .route("/openapi.json", web::get().to(document))
        .route(
            "/reference",
            web::get().to(|| async { file("text/html; charset=utf-8", include_str!("page.html")) }),
        )
        .route(
            "/reference/page.js",
            web::get().to(|| async { file("text/javascript; charset=utf-8", include_str!("page.js")) }),
        )
        .route(
            "/reference/page.css",
            web::get().to(|| async { file("text/css; charset=utf-8", include_str!("page.css")) }),
        );
}

async fn document(request: HttpRequest, document: web::Data<Served>) -> HttpResponse {
    document.answer(&request)
}

fn file(media_type: &'static str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-cache")).content_type(media_type).body(text)
}
