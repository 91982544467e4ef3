//! What happens when a body, a query or a path cannot be read: a problem, as everywhere.

use actix_web::HttpRequest;
use actix_web::dev::JsonBody;
use actix_web::error::{JsonPayloadError, PathError, QueryPayloadError};
use actix_web::web::{JsonConfig, PathConfig, Payload, QueryConfig, ServiceConfig};
use serde::de::DeserializeOwned;

use crate::problem::{Kind, Problem};

/// The largest body an operation takes that does not say otherwise, in bytes.
pub const LARGEST_BODY: usize = 64 * 1024;

/// Sets the limits and errors of bodies, queries and paths.
pub fn configure(config: &mut ServiceConfig) {
    config
        .app_data(
            JsonConfig::default()
                .limit(LARGEST_BODY)
                .error_handler(|error, _| body(&error, LARGEST_BODY).into()),
        )
        .app_data(QueryConfig::default().error_handler(|error, _| query(&error).into()))
        .app_data(PathConfig::default().error_handler(|error, _| path(&error).into()));
}

/// A body of at most `largest` bytes. The operation reads it itself, when it knows that whoever asks may send as much: an
/// argument of the handler would be read at the same time as who asks is found out.
pub async fn large_body<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: Payload,
    largest: usize,
) -> Result<T, Problem> {
    let read = JsonBody::new(request, &mut payload.into_inner(), None, true).limit(largest).await;
    read.map_err(|error| body(&error, largest))
}

fn body(error: &JsonPayloadError, largest: usize) -> Problem {
    match error {
        JsonPayloadError::OverflowKnownLength { .. } | JsonPayloadError::Overflow { .. } => {
            Problem::with(Kind::TooLarge, format!("a body has at most {largest} bytes"))
        }
        JsonPayloadError::ContentType => {
            Problem::with(Kind::UnsupportedMediaType, "a body is sent as application/json")
        }
        error => Problem::with(Kind::Malformed, format!("the body cannot be read: {error}")),
    }
}

fn query(error: &QueryPayloadError) -> Problem {
    Problem::with(Kind::Malformed, format!("the query cannot be read: {error}"))
}

/// What cannot be an identity is the identity of nothing.
fn path(_: &PathError) -> Problem {
    Kind::Absent.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_a_body_can_be_wrong_has_its_own_problem() {
        assert_eq!(body(&JsonPayloadError::ContentType, 1).kind(), Kind::UnsupportedMediaType);
        assert_eq!(body(&JsonPayloadError::Overflow { limit: 1 }, 1).kind(), Kind::TooLarge);
        let not_json = serde_json::from_str::<u8>("{").map_err(JsonPayloadError::Deserialize);
        assert!(not_json.is_err_and(|error| body(&error, 1).kind() == Kind::Malformed));
    }
}
