//! `/webhook-deliveries`: what was sent to an endpoint, how often it was tried, and sending it again.

use actix_web::{HttpResponse, get, post, web};
use almanac_projections::webhooks::{self, Attempt, Delivery};
use almanac_store::outbox::webhook::{self as outbox, NewDelivery};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::Caller;
use crate::commands::Order;
use crate::problem::{Kind, Problem};
use crate::reads::{Items, LimitQuery};
use crate::state::State;
use crate::webhook_endpoints::own;

/// The event type of a test.
const TESTED: &str = "endpoint.tested";

/// A delivery was queued.
#[derive(Debug, Serialize, ToSchema)]
pub struct Queued {
    /// The delivery.
    pub delivery: Uuid,
}

/// What was sent to an endpoint, newest first.
#[utoipa::path(
    tag = "webhooks",
    security(("session" = []), ("token" = [])),
    params(LimitQuery),
    responses((status = 200, description = "The deliveries", body = Items<Delivery>))
)]
#[get("/webhook-endpoints/{id}/deliveries")]
pub async fn list_deliveries(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
    limit: web::Query<LimitQuery>,
) -> Result<web::Json<Items<Delivery>>, Problem> {
    let endpoint = own(&state, &caller, *id).await?;
    let pool = state.parts.database.pool();
    Ok(web::Json(webhooks::deliveries(pool, caller.id, endpoint.id, limit.limit(50)?).await?.into()))
}

/// Sends `endpoint.tested` to an endpoint.
#[utoipa::path(
    tag = "webhooks",
    security(("session" = []), ("token" = [])),
    responses((status = 202, description = "Queued", body = Queued))
)]
#[post("/webhook-endpoints/{id}/test")]
pub async fn test_endpoint(
    state: web::Data<State>,
    order: Order,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let endpoint = own(&state, &order.caller, *id).await?;
    let (delivery, now) = (order.new_id(&format!("webhook_delivery {}", endpoint.id)), state.now());
    let message = NewDelivery {
        id: delivery,
        key: format!("test:{delivery}"),
        endpoint: endpoint.id,
        account: order.caller.id,
        ordinal: *state.parts.database.head().borrow(),
        event_type: TESTED.to_owned(),
        payload: webhooks::body(TESTED, delivery, now, json!({ "endpoint": endpoint.id })),
        due_at: now,
    };
    let mut connection = state.parts.database.pool().acquire().await.map_err(Problem::broken)?;
    outbox::put(&mut connection, &[message]).await.map_err(Problem::broken)?;
    state.actors.ring();
    Ok(HttpResponse::Accepted().json(Queued { delivery }))
}

/// Every attempt of a delivery, in order.
#[utoipa::path(
    tag = "webhooks",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "The attempts", body = Items<Attempt>))
)]
#[get("/webhook-deliveries/{id}/attempts")]
pub async fn list_attempts(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<web::Json<Items<Attempt>>, Problem> {
    let attempts = webhooks::attempts(state.parts.database.pool(), caller.id, *id).await?;
    Ok(web::Json(attempts.ok_or_else(no_such_delivery)?.into()))
}

/// Sends a delivery again, with the same id.
#[utoipa::path(
    tag = "webhooks",
    security(("session" = []), ("token" = [])),
    responses((status = 202, description = "Queued again", body = Queued))
)]
#[post("/webhook-deliveries/{id}/resend")]
pub async fn resend_delivery(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let pool = state.parts.database.pool();
    webhooks::delivery_endpoint(pool, caller.id, *id).await?.ok_or_else(no_such_delivery)?;
    outbox::resend(pool, *id, state.now()).await?;
    state.actors.ring();
    Ok(HttpResponse::Accepted().json(Queued { delivery: *id }))
}

fn no_such_delivery() -> Problem {
    Problem::with(Kind::Absent, "there is no such delivery")
}
