//! `/webhook-endpoints`: where an integrator wants to be called, and about what.

use actix_web::{HttpResponse, delete, get, patch, post, web};
use almanac_actors::dispatcher::{EndpointSecrets, check_url};
use almanac_domain::account::vault::{ENDPOINT_SECRET, ENDPOINT_URL};
use almanac_domain::webhook_endpoint::{
    WebhookEndpoint as Aggregate, WebhookEndpointCommand as Command, WebhookEndpointRefusal,
};
use almanac_projections::webhook_endpoints::{self as endpoints, WebhookEndpoint};
use almanac_store::log::{CommandError, Committed, Extras};
use almanac_store::vault::{self, VaultRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::Caller;
use crate::commands::{Accepted, Order, after};
use crate::problem::{Kind, Problem};
use crate::reads::Items;
use crate::state::State;

/// So often a secret is made anew because another one was made meanwhile.
const ROTATION_TRIES: u32 = 5;

/// An endpoint to register.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct NewEndpoint {
    /// Where to deliver to: `https`, and no address of a private network unless the service is configured for it.
    #[schema(format = "uri", example = "https://example.com/almanac")]
    pub url: String,
    /// What it asks for; `*` asks for everything.
    #[schema(example = json!(["prediction.published", "prediction.scored"]))]
    pub event_types: Vec<String>,
}

/// What to change of an endpoint; what is left out stays.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub struct EndpointChange {
    /// Where to deliver to from now on.
    #[schema(format = "uri")]
    pub url: Option<String>,
    /// What it asks for from now on.
    pub event_types: Option<Vec<String>>,
}

/// An endpoint was registered.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedEndpoint {
    /// Its identity.
    pub id: Uuid,
    /// The secret its deliveries are signed with (Standard Webhooks 1.0), shown this once.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    pub secret: String,
    /// The event that registered it; give it to a read as `after`.
    pub after: Option<String>,
}

/// An endpoint has a new secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewSecret {
    /// The secret its deliveries are signed with from now on, shown this once.
    pub secret: String,
    /// The event that replaced it; give it to a read as `after`.
    pub after: Option<String>,
}

/// The endpoint, if it is the caller's.
pub async fn own(state: &State, caller: &Caller, id: Uuid) -> Result<WebhookEndpoint, Problem> {
    let found = endpoints::find(state.parts.database.pool(), caller.id, id).await?;
    found.ok_or_else(absent)
}

fn absent() -> Problem {
    Problem::with(Kind::Absent, "there is no such webhook endpoint")
}

/// The URL as it goes into the vault, if it may be called at all.
fn url_row(state: &State, owner: Uuid, endpoint: Uuid, url: &str) -> Result<VaultRow, Problem> {
    let url = check_url(url, state.config.webhooks).map_err(|refused| Problem::invalid("url", refused))?;
    Ok(VaultRow {
        id: endpoints::url_row(endpoint),
        owner,
        kind: ENDPOINT_URL.to_owned(),
        value: url.to_string(),
    })
}

fn secret_row(owner: Uuid, endpoint: Uuid, secrets: &EndpointSecrets) -> VaultRow {
    VaultRow {
        id: endpoints::secret_row(endpoint),
        owner,
        kind: ENDPOINT_SECRET.to_owned(),
        value: secrets.stored(),
    }
}

async fn secrets_of(state: &State, endpoint: Uuid) -> Result<EndpointSecrets, Problem> {
    let row = vault::get(state.parts.database.pool(), endpoints::secret_row(endpoint)).await?;
    EndpointSecrets::parse(&row.ok_or(Kind::Absent)?.value).map_err(Problem::broken)
}

/// The signed-in account's endpoints.
#[utoipa::path(
    tag = "webhooks",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "The endpoints, by age", body = Items<WebhookEndpoint>))
)]
#[get("/webhook-endpoints")]
pub async fn list_endpoints(
    state: web::Data<State>,
    caller: Caller,
) -> Result<web::Json<Items<WebhookEndpoint>>, Problem> {
    Ok(web::Json(endpoints::of_account(state.parts.database.pool(), caller.id).await?.into()))
}

/// Registers an endpoint; the answer holds its secret, this once.
#[utoipa::path(
    tag = "webhooks",
    security(("session" = []), ("token" = [])),
    request_body = NewEndpoint,
    responses((status = 201, description = "Registered", body = CreatedEndpoint))
)]
#[post("/webhook-endpoints")]
pub async fn register_endpoint(
    state: web::Data<State>,
    order: Order,
    endpoint: web::Json<NewEndpoint>,
) -> Result<HttpResponse, Problem> {
    let (id, by) = (order.new_id("webhook_endpoint"), order.caller.id);
    let secrets = EndpointSecrets::generate(&state.parts.entropy);
    let extras = Extras::none()
        .put_vault(url_row(&state, by, id, &endpoint.url)?)
        .put_vault(secret_row(by, id, &secrets));
    let register = Command::RegisterEndpoint { by, event_types: endpoint.event_types.clone() };
    let registered = carry_out(&state, &order, id, register, &*endpoint, extras).await?;
    // A repeated order has made no new secret: the one that holds is in the vault.
    let secrets = if registered.repeated { secrets_of(&state, id).await? } else { secrets };
    let secret = secrets.current().to_string();
    Ok(HttpResponse::Created().json(CreatedEndpoint { id, secret, after: after(&registered) }))
}

/// One endpoint.
#[utoipa::path(
    tag = "webhooks",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "The endpoint", body = WebhookEndpoint))
)]
#[get("/webhook-endpoints/{id}")]
pub async fn get_endpoint(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<web::Json<WebhookEndpoint>, Problem> {
    Ok(web::Json(own(&state, &caller, *id).await?))
}

/// Changes where an endpoint is, or what it asks for.
#[utoipa::path(
    tag = "webhooks",
    security(("session" = []), ("token" = [])),
    request_body = EndpointChange,
    responses((status = 200, description = "Changed", body = Accepted))
)]
#[patch("/webhook-endpoints/{id}")]
pub async fn change_endpoint(
    state: web::Data<State>,
    order: Order,
    id: web::Path<Uuid>,
    change: web::Json<EndpointChange>,
) -> Result<web::Json<Accepted>, Problem> {
    let by = order.caller.id;
    let extras = match &change.url {
        Some(url) => Extras::none().put_vault(url_row(&state, by, *id, url)?),
        None => Extras::none(),
    };
    let command = Command::ChangeEndpoint { by, event_types: change.event_types.clone() };
    let changed = carry_out(&state, &order, *id, command, &*change, extras).await?;
    Ok(web::Json(Accepted::from(&changed)))
}

/// Removes an endpoint.
#[utoipa::path(
    tag = "webhooks",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "Removed", body = Accepted))
)]
#[delete("/webhook-endpoints/{id}")]
pub async fn remove_endpoint(
    state: web::Data<State>,
    order: Order,
    id: web::Path<Uuid>,
) -> Result<web::Json<Accepted>, Problem> {
    let extras =
        Extras::none().forget_vault(endpoints::url_row(*id)).forget_vault(endpoints::secret_row(*id));
    let command = Command::RemoveEndpoint { by: order.caller.id };
    let removed = carry_out(&state, &order, *id, command, &(), extras).await?;
    Ok(web::Json(Accepted::from(&removed)))
}

/// Replaces an endpoint's secret; the answer holds the new one, this once. The old one signs too for a day.
#[utoipa::path(
    tag = "webhooks",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "Replaced", body = NewSecret))
)]
#[post("/webhook-endpoints/{id}/rotate-secret")]
pub async fn rotate_secret(
    state: web::Data<State>,
    order: Order,
    id: web::Path<Uuid>,
) -> Result<web::Json<NewSecret>, Problem> {
    let (by, issued) = (order.caller.id, order.issued(&())?);
    let mut tries = 0;
    let (done, rotated) = loop {
        tries += 1;
        // Counted before the secret is read: one that is replaced in between is refused, and made anew beside that.
        let endpoint = state.parts.bus.load::<Aggregate>(&id.to_string()).await?;
        let Aggregate::Registered { owner, rotations: seen, .. } = endpoint else { return Err(absent()) };
        if owner != by {
            return Err(absent());
        }
        let rotated = secrets_of(&state, *id).await?.rotated(&state.parts.entropy, state.now());
        let extras = Extras::none().put_vault(secret_row(by, *id, &rotated));
        let command = Command::RotateSecret { by, seen };
        let done = state.parts.bus.execute_with::<Aggregate>(&id.to_string(), command, &issued, extras).await;
        match done {
            Err(CommandError::Refused(WebhookEndpointRefusal::SecretReplaced)) if tries < ROTATION_TRIES => {}
            done => break (done?, rotated),
        }
    };
    let secrets = if done.repeated { secrets_of(&state, *id).await? } else { rotated };
    Ok(web::Json(NewSecret { secret: secrets.current().to_string(), after: after(&done) }))
}

/// Calls an endpoint again.
#[utoipa::path(
    tag = "webhooks",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "Enabled", body = Accepted))
)]
#[post("/webhook-endpoints/{id}/enable")]
pub async fn enable_endpoint(
    state: web::Data<State>,
    order: Order,
    id: web::Path<Uuid>,
) -> Result<web::Json<Accepted>, Problem> {
    let command = Command::EnableEndpoint { by: order.caller.id };
    let enabled = carry_out(&state, &order, *id, command, &(), Extras::none()).await?;
    Ok(web::Json(Accepted::from(&enabled)))
}

/// Stops calling an endpoint.
#[utoipa::path(
    tag = "webhooks",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "Disabled", body = Accepted))
)]
#[post("/webhook-endpoints/{id}/disable")]
pub async fn disable_endpoint(
    state: web::Data<State>,
    order: Order,
    id: web::Path<Uuid>,
) -> Result<web::Json<Accepted>, Problem> {
    let command = Command::DisableEndpoint { by: Some(order.caller.id), reason: "owner".to_owned() };
    let disabled = carry_out(&state, &order, *id, command, &(), Extras::none()).await?;
    Ok(web::Json(Accepted::from(&disabled)))
}

async fn carry_out(
    state: &State,
    order: &Order,
    id: Uuid,
    command: Command,
    asked: &impl Serialize,
    extras: Extras,
) -> Result<Committed, Problem> {
    let issued = order.issued(asked)?;
    Ok(state.parts.bus.execute_with::<Aggregate>(&id.to_string(), command, &issued, extras).await?)
}
