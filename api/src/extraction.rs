//! What happens when a body, a query or a path cannot be read: a problem, as everywhere.

use actix_web::error::{JsonPayloadError, PathError, QueryPayloadError};
use actix_web::web::{JsonConfig, PathConfig, QueryConfig, ServiceConfig};

use crate::problem::{Kind, Problem};

/// The largest body any operation takes, in bytes.
const LARGEST_BODY: usize = 64 * 1024;

/// Sets the limits and errors of bodies, queries and paths.
pub fn configure(config: &mut ServiceConfig) {
    config
        .app_data(JsonConfig::default().limit(LARGEST_BODY).error_handler(|error, _| body(&error).into()))
        .app_data(QueryConfig::default().error_handler(|error, _| query(&error).into()))
        .app_data(PathConfig::default().error_handler(|error, _| path(&error).into()));
}

fn body(error: &JsonPayloadError) -> Problem {
    match error {
        JsonPayloadError::OverflowKnownLength { .. } | JsonPayloadError::Overflow { .. } => {
            Problem::with(Kind::TooLarge, format!("a body has at most {LARGEST_BODY} bytes"))
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
        assert_eq!(body(&JsonPayloadError::ContentType).kind(), Kind::UnsupportedMediaType);
        assert_eq!(body(&JsonPayloadError::Overflow { limit: 1 }).kind(), Kind::TooLarge);
        let not_json = serde_json::from_str::<u8>("{").map_err(JsonPayloadError::Deserialize);
        assert!(not_json.is_err_and(|error| body(&error).kind() == Kind::Malformed));
    }
}
