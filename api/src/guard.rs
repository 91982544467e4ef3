//! What holds for every request: security headers on the answer, and no change on behalf of a cookie from elsewhere.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CACHE_CONTROL, HOST, HeaderName, HeaderValue, ORIGIN};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError, web};
use url::Url;

use crate::caller::{COOKIE, bearer};
use crate::problem::{Kind, Problem};
use crate::state::State;

/// Pages run their own scripts and nothing else; mails are shown in a frame of their own without scripts.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

const HEADERS: [(&str, &str); 6] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=()"),
];

/// Puts the security headers on every answer; an answer of the API is not kept by anybody on the way.
pub async fn headers<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let of_the_api = request.path().starts_with("/api/") || request.path().starts_with("/health/");
    let mut response = next.call(request).await?;
    for (name, value) in HEADERS {
        let name = HeaderName::from_static(name);
        // A page that brings a policy of its own allows itself less.
        if !response.headers().contains_key(&name) {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }
    if of_the_api && !response.headers().contains_key(CACHE_CONTROL) {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

/// Refuses a request that changes something with a cookie unless it comes from our own pages: a browser sends the
/// cookie along whoever asks, and says in `Origin` who that is.
pub async fn origin<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let safe = request.method().is_safe();
    let by_cookie = request.cookie(COOKIE).is_some() && bearer(request.request()).is_none();
    if !safe && by_cookie && !from_our_pages(&request) {
        // As an answer and not as an error, so that the headers above are put on it too.
        let refusal = Problem::from(Kind::ForeignOrigin).error_response();
        return Ok(request.into_response(refusal).map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

fn from_our_pages(request: &ServiceRequest) -> bool {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text(ORIGIN).and_then(|origin| Url::parse(origin).ok()) else { return false };
    let public = request
        .app_data::<web::Data<State>>()
        .and_then(|state| state.config.public_url.as_ref().map(Url::origin));
    let at_host =
        text(HOST).is_some_and(|host| authority(&origin).is_some_and(|ours| ours.eq_ignore_ascii_case(host)));
    at_host || public.is_some_and(|public| public == origin.origin())
}

fn authority(origin: &Url) -> Option<String> {
    let host = origin.host_str()?;
    Some(origin.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, HttpResponse};

    use super::*;

    /// The status of a POST with these headers to a service at `almanac.example:8080`.
    async fn posted(headers: &[(&'static str, &'static str)]) -> (StatusCode, bool) {
        let app = App::new()
            .default_service(web::to(HttpResponse::Ok))
            .wrap(from_fn(origin))
            .wrap(from_fn(super::headers));
        let app = init_service(app).await;
        let mut request =
            TestRequest::post().uri("/api/v1/watchlists").insert_header((HOST, "almanac.example:8080"));
        for header in headers {
            request = request.insert_header(*header);
        }
        let response = call_service(&app, request.to_request()).await;
        (response.status(), response.headers().contains_key("content-security-policy"))
    }

    #[actix_web::test]
    async fn a_cookie_changes_nothing_unless_our_own_page_asks() {
        let cookie = ("cookie", "almanac_session=1");
        let ours = ("origin", "http://almanac.example:8080");
        assert_eq!(posted(&[cookie, ours]).await.0, StatusCode::OK);
        for foreign in [
            "http://evil.example",
            "http://almanac.example",
            "http://almanac.example:8080.evil.example",
            "http://evil.example/almanac.example:8080",
            "null",
        ] {
            assert_eq!(posted(&[cookie, ("origin", foreign)]).await.0, StatusCode::FORBIDDEN, "{foreign}");
        }
        assert_eq!(posted(&[cookie]).await.0, StatusCode::FORBIDDEN);
        // A proxy's own authorization says nothing about who asks.
        assert_eq!(posted(&[cookie, ("authorization", "Basic eDp5")]).await.0, StatusCode::FORBIDDEN);
    }

    #[actix_web::test]
    async fn a_token_that_a_program_sends_on_purpose_needs_no_origin() {
        assert_eq!(posted(&[("authorization", "Bearer 1")]).await.0, StatusCode::OK);
    }

    #[actix_web::test]
    async fn a_refusal_carries_the_security_headers_too() {
        assert_eq!(posted(&[("cookie", "almanac_session=1")]).await, (StatusCode::FORBIDDEN, true));
        assert_eq!(posted(&[]).await, (StatusCode::OK, true));
    }
}
