//! What no route answers: the pages of the web application, and for everything else a problem.

use actix_web::http::Method;
use actix_web::http::header::ALLOW;
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use utoipa::openapi::OpenApi;

use crate::pages;
use crate::problem::{Kind, Problem};

/// The paths of the API with the methods they have, to tell "no such thing" from "not like this".
pub struct Routes(Vec<(Vec<String>, Vec<&'static str>)>);

impl Routes {
    /// The routes of `document`.
    pub fn of(document: &OpenApi) -> Self {
        let routes = document.paths.paths.iter().map(|(path, item)| {
            let methods = [
                ("GET", item.get.is_some()),
                ("PUT", item.put.is_some()),
                ("POST", item.post.is_some()),
                ("DELETE", item.delete.is_some()),
                ("PATCH", item.patch.is_some()),
            ];
            let methods = methods.into_iter().filter_map(|(method, there)| there.then_some(method));
            (path.split('/').map(str::to_owned).collect(), methods.collect())
        });
        Self(routes.collect())
    }

    /// The methods that `path` has; none when there is no such path.
    fn methods(&self, path: &str) -> Vec<&'static str> {
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |pattern: &[String]| {
            pattern.len() == parts.len()
                && pattern
                    .iter()
                    .zip(&parts)
                    .all(|(pattern, part)| pattern.starts_with('{') || pattern == part)
        };
        self.0.iter().filter(|(pattern, _)| fits(pattern)).flat_map(|(_, methods)| methods.clone()).collect()
    }
}

/// Answers what no route answers.
pub async fn answer(request: HttpRequest, routes: web::Data<Routes>) -> HttpResponse {
    let path = request.path();
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    if ["/api/", "/health/", "/.well-known/"].iter().any(|served| path.starts_with(served)) {
        let methods = routes.methods(path);
        if methods.is_empty() || methods.contains(&request.method().as_str()) {
            return Problem::from(Kind::Absent).error_response();
        }
        return not_allowed(&methods.join(", "));
    }
    if !looks {
        return not_allowed("GET, HEAD");
    }
    pages::page(&request)
}

fn not_allowed(methods: &str) -> HttpResponse {
    let mut response = Problem::from(Kind::MethodNotAllowed).error_response();
    if let Ok(methods) = methods.parse() {
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_path_is_told_from_an_unknown_one() {
        let routes = Routes::of(&crate::openapi::document());
        assert_eq!(routes.methods("/api/v1/session"), ["GET", "POST", "DELETE"]);
        assert_eq!(routes.methods("/api/v1/instruments/7/bars"), ["GET"]);
        assert!(routes.methods("/api/v1/instruments/7/prices").is_empty());
    }
}
