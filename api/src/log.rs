//! `/log`: the signed heads of the log, and proofs under them, for anybody who wants to hold the service to its word.
//!
//! Heads and proofs are sent as the store writes them; their shapes are only declared here.

use actix_web::{HttpRequest, HttpResponse, get, web};
use almanac_projections::paging::List;
use almanac_store::transparency::{self, ALGORITHM, LogTree, checkpoint};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::problem::{Kind, Problem};
use crate::reads::PageQuery;
use crate::state::State;
use crate::tagged::{self, ASK_EACH_TIME, FOR_GOOD};

/// Whose log it is, and the key its heads are signed with.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogIdentity {
    /// The name of the log: the first line of every checkpoint.
    #[schema(example = "almanac.example.org")]
    pub origin: String,
    /// The public key as C2SP `signed-note` writes it: `<origin>+<8 hexadecimal digits>+<base64>`.
    pub verifier_key: String,
    /// Always `Ed25519`.
    pub algorithm: &'static str,
}

/// A signed head of the log.
#[derive(Debug, ToSchema)]
pub struct Checkpoint {
    /// How many events it covers.
    pub size: i64,
    /// The root of the RFC 6962 tree over them, in hexadecimal.
    pub root: String,
    /// The signed note (C2SP `tlog-checkpoint`).
    pub note: String,
    /// When it was signed, in the service's time.
    pub made_at: DateTime<Utc>,
}

/// That a later log begins with all of an earlier one (RFC 9162 section 2.1.4).
#[derive(Debug, ToSchema)]
pub struct ConsistencyProof {
    /// How many events the earlier one has.
    pub from: i64,
    /// How many events the later one has.
    pub to: i64,
    /// The root of the earlier one, in hexadecimal.
    pub from_root: String,
    /// The root of the later one.
    pub to_root: String,
    /// The hashes that lead to both roots.
    pub hashes: Vec<String>,
}

/// That an event is in the log (RFC 9162 section 2.1.3).
#[derive(Debug, ToSchema)]
pub struct InclusionProof {
    /// The event's place in the log, from 1.
    pub ordinal: i64,
    /// How many events the log has.
    pub size: i64,
    /// The digest of the event, in hexadecimal. Its leaf is SHA-256 over a zero byte and the digest.
    pub leaf: String,
    /// What stands beside the way from the leaf to the root, from the bottom up.
    pub hashes: Vec<String>,
}

/// Two sizes of the log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ConsistencyQuery {
    /// The size of the earlier one.
    #[param(minimum = 1)]
    pub from: i64,
    /// The size of the later one.
    #[param(minimum = 1)]
    pub to: i64,
}

/// An event and a size of the log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct InclusionQuery {
    /// The event's place in the log, from 1.
    #[param(minimum = 1)]
    pub ordinal: i64,
    /// The size of the log.
    #[param(minimum = 1)]
    pub size: i64,
}

/// Whose log this is, and the key its heads are signed with.
#[utoipa::path(
    tag = "log",
    responses(
        (status = 200, description = "The name and the key", body = LogIdentity),
        (status = 304, description = "The caller has it"),
    )
)]
#[get("/.well-known/almanac-log")]
pub async fn get_log_identity(
    state: web::Data<State>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let key = checkpoint::key_of_log(state.parts.database.pool()).await?.ok_or_else(nothing_signed)?;
    let identity =
        LogIdentity { origin: key.name().to_owned(), verifier_key: key.to_string(), algorithm: ALGORITHM };
    tagged::json(&request, ASK_EACH_TIME, &identity)
}

/// The newest checkpoint: a signed note, as text.
#[utoipa::path(
    tag = "log",
    responses(
        (status = 200, description = "The signed note", body = String, content_type = "text/plain"),
        (status = 304, description = "The caller has it"),
    )
)]
#[get("/log/checkpoint")]
pub async fn get_checkpoint(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let newest = newest(&state).await?.ok_or_else(nothing_signed)?;
    Ok(tagged::text(&request, ASK_EACH_TIME, "text/plain; charset=utf-8", newest.note))
}

/// Every checkpoint, newest first.
#[utoipa::path(
    tag = "log",
    params(PageQuery),
    responses((status = 200, description = "One page of checkpoints", body = List<Checkpoint>))
)]
#[get("/log/checkpoints")]
pub async fn list_checkpoints(
    state: web::Data<State>,
    page: web::Query<PageQuery>,
) -> Result<web::Json<List<transparency::Checkpoint>>, Problem> {
    let (below, limit) = (page.cursor()?, page.limit()?);
    let found = checkpoint::page(state.parts.database.pool(), below, limit + 1).await?;
    Ok(web::Json(List::cut(found, limit, |last: &transparency::Checkpoint| last.size.to_string())))
}

/// Proves that the log of `to` events begins with all of the log of `from` events. Up to a signed head the answer never changes.
#[utoipa::path(
    tag = "log",
    params(ConsistencyQuery),
    responses(
        (status = 200, description = "The proof", body = ConsistencyProof),
        (status = 304, description = "The caller has it"),
    )
)]
#[get("/log/consistency")]
pub async fn get_consistency(
    state: web::Data<State>,
    request: HttpRequest,
    sizes: web::Query<ConsistencyQuery>,
) -> Result<HttpResponse, Problem> {
    if sizes.from < 1 || sizes.from > sizes.to {
        return Err(Problem::invalid("from", "it is 1 to `to`"));
    }
    let proof = LogTree::new(&state.parts.database).consistency(sizes.from, sizes.to).await?;
    let proof = proof.ok_or_else(|| not_as_long("to", sizes.to))?;
    tagged::json(&request, kept(&state, sizes.to).await?, &proof)
}

/// Proves that an event is in the log of `size` events. Up to a signed head the answer never changes.
#[utoipa::path(
    tag = "log",
    params(InclusionQuery),
    responses(
        (status = 200, description = "The proof", body = InclusionProof),
        (status = 304, description = "The caller has it"),
    )
)]
#[get("/log/inclusion")]
pub async fn get_inclusion(
    state: web::Data<State>,
    request: HttpRequest,
    place: web::Query<InclusionQuery>,
) -> Result<HttpResponse, Problem> {
    if place.ordinal < 1 || place.ordinal > place.size {
        return Err(Problem::invalid("ordinal", "it is 1 to `size`"));
    }
    let proof = LogTree::new(&state.parts.database).inclusion(place.ordinal, place.size).await?;
    let proof = proof.ok_or_else(|| not_as_long("size", place.size))?;
    tagged::json(&request, kept(&state, place.size).await?, &proof)
}

/// The checkpoint that covers most.
pub async fn newest(state: &State) -> Result<Option<transparency::Checkpoint>, Problem> {
    Ok(checkpoint::newest(state.parts.database.pool()).await.map_err(almanac_store::StoreError::from)?)
}

/// A proof under a head that is signed never changes; what is not signed yet may be replaced by restoring a backup.
async fn kept(state: &State, size: i64) -> Result<&'static str, Problem> {
    let signed = newest(state).await?.is_some_and(|checkpoint| checkpoint.size >= size);
    Ok(if signed { FOR_GOOD } else { ASK_EACH_TIME })
}

fn nothing_signed() -> Problem {
    Problem::with(Kind::NotCovered, "nothing has been signed yet; the first checkpoint comes within minutes")
}

fn not_as_long(field: &str, size: i64) -> Problem {
    Problem::invalid(field, format!("the log does not have {size} events yet"))
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use serde_json::Value;
    use utoipa::PartialSchema;
    use utoipa::openapi::RefOr;
    use utoipa::openapi::schema::Schema;

    use super::*;

    /// The members that a shape is declared with.
    pub(crate) fn declared<T: PartialSchema>() -> BTreeSet<String> {
        let RefOr::T(Schema::Object(object)) = T::schema() else { panic!("not the shape of an object") };
        object.properties.keys().cloned().collect()
    }

    /// The members that are sent.
    pub(crate) fn members(value: &Value) -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn what_is_sent_is_what_is_declared() {
        let made_at = DateTime::UNIX_EPOCH;
        let head = transparency::Checkpoint { size: 1, root: [1; 32], note: String::new(), made_at };
        let (from_root, to_root, hashes) = ([1; 32], [2; 32], vec![[3; 32]]);
        let consistency =
            transparency::ConsistencyProof { from: 1, to: 2, from_root, to_root, hashes: hashes.clone() };
        let inclusion = transparency::InclusionProof { ordinal: 1, size: 2, leaf: [1; 32], hashes };
        let sent = [
            serde_json::to_value(head).unwrap(),
            serde_json::to_value(consistency).unwrap(),
            serde_json::to_value(inclusion).unwrap(),
        ];
        let declared =
            [declared::<Checkpoint>(), declared::<ConsistencyProof>(), declared::<InclusionProof>()];
        assert_eq!(sent.each_ref().map(members), declared);
        assert_eq!(sent[2]["hashes"][0], "03".repeat(32), "digests are hexadecimal");
    }
}
