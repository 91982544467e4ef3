//! `/watchlists`: the stocks an account wants to hear of.

use actix_web::{HttpResponse, delete, get, patch, post, put, web};
use almanac_domain::account::vault::WATCHLIST_NAME;
use almanac_domain::watchlist::{Watchlist as Aggregate, WatchlistCommand};
use almanac_projections::instruments;
use almanac_projections::watchlists::{self, Watchlist};
use almanac_store::log::Extras;
use almanac_store::vault::VaultRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::Caller;
use crate::commands::{Accepted, Created, Order, after};
use crate::instruments::fill_in_prices;
use crate::problem::{Kind, Problem};
use crate::reads::Items;
use crate::state::State;

/// The name of a watchlist.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct WatchlistName {
    /// One to eighty characters.
    #[schema(min_length = 1, max_length = 80, example = "My watchlist")]
    pub name: String,
}

impl WatchlistName {
    fn checked(&self) -> Result<String, Problem> {
        let name = self.name.trim();
        let printable = !name.chars().any(char::is_control);
        if (1..=80).contains(&name.chars().count()) && printable {
            Ok(name.to_owned())
        } else {
            Err(Problem::invalid("name", "it has 1 to 80 printable characters"))
        }
    }
}

/// The signed-in account's watchlists.
#[utoipa::path(
    tag = "watchlists",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "The watchlists, by age", body = Items<Watchlist>))
)]
#[get("/watchlists")]
pub async fn list_watchlists(
    state: web::Data<State>,
    caller: Caller,
) -> Result<web::Json<Items<Watchlist>>, Problem> {
    let model = Some(&state.config.model);
    let mut lists = watchlists::of_account(state.parts.database.pool(), caller.id, model).await?;
    let watched = lists.iter_mut().flat_map(|list| &mut list.instruments);
    fill_in_prices(&state, watched.map(|watched| &mut watched.instrument)).await?;
    Ok(web::Json(lists.into()))
}

/// Makes a watchlist.
#[utoipa::path(
    tag = "watchlists",
    security(("session" = []), ("token" = [])),
    request_body = WatchlistName,
    responses((status = 201, description = "Made", body = Created))
)]
#[post("/watchlists")]
pub async fn create_watchlist(
    state: web::Data<State>,
    order: Order,
    name: web::Json<WatchlistName>,
) -> Result<HttpResponse, Problem> {
    let (id, owner) = (order.new_id("watchlist"), order.caller.id);
    let row = name_row(&order, &name)?;
    let create = WatchlistCommand::CreateWatchlist { by: owner, name: row.id };
    let (issued, extras) = (order.issued(&*name)?, Extras::none().put_vault(row));
    let made = state.parts.bus.execute_with::<Aggregate>(&id.to_string(), create, &issued, extras).await?;
    Ok(HttpResponse::Created().json(Created { id, after: after(&made) }))
}

/// The name goes into the vault; the log holds only where it lies.
fn name_row(order: &Order, name: &WatchlistName) -> Result<VaultRow, Problem> {
    let (id, owner) = (order.new_id(WATCHLIST_NAME), order.caller.id);
    Ok(VaultRow { id, owner, kind: WATCHLIST_NAME.to_owned(), value: name.checked()? })
}

/// Gives a watchlist another name.
#[utoipa::path(
    tag = "watchlists",
    security(("session" = []), ("token" = [])),
    request_body = WatchlistName,
    responses((status = 200, description = "Renamed", body = Accepted))
)]
#[patch("/watchlists/{id}")]
pub async fn rename_watchlist(
    state: web::Data<State>,
    order: Order,
    id: web::Path<Uuid>,
    name: web::Json<WatchlistName>,
) -> Result<web::Json<Accepted>, Problem> {
    let row = name_row(&order, &name)?;
    let rename = WatchlistCommand::RenameWatchlist { by: order.caller.id, name: row.id };
    carry_out(&state, &order, *id, rename, &*name, Extras::none().put_vault(row)).await
}

/// Deletes a watchlist.
#[utoipa::path(
    tag = "watchlists",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "Deleted", body = Accepted))
)]
#[delete("/watchlists/{id}")]
pub async fn delete_watchlist(
    state: web::Data<State>,
    order: Order,
    id: web::Path<Uuid>,
) -> Result<web::Json<Accepted>, Problem> {
    let delete = WatchlistCommand::DeleteWatchlist { by: order.caller.id };
    carry_out(&state, &order, *id, delete, &(), Extras::none()).await
}

/// Watches an instrument; watching it twice is harmless.
#[utoipa::path(
    tag = "watchlists",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "Watched", body = Accepted))
)]
#[put("/watchlists/{id}/instruments/{instrument}")]
pub async fn watch_instrument(
    state: web::Data<State>,
    order: Order,
    path: web::Path<(Uuid, Uuid)>,
) -> Result<web::Json<Accepted>, Problem> {
    let (id, instrument) = path.into_inner();
    if instruments::find(state.parts.database.pool(), instrument).await?.is_none() {
        return Err(Problem::with(Kind::Absent, "there is no such instrument"));
    }
    let add = WatchlistCommand::AddToWatchlist { by: order.caller.id, instrument };
    carry_out(&state, &order, id, add, &(), Extras::none()).await
}

/// Stops watching an instrument.
#[utoipa::path(
    tag = "watchlists",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "No longer watched", body = Accepted))
)]
#[delete("/watchlists/{id}/instruments/{instrument}")]
pub async fn unwatch_instrument(
    state: web::Data<State>,
    order: Order,
    path: web::Path<(Uuid, Uuid)>,
) -> Result<web::Json<Accepted>, Problem> {
    let (id, instrument) = path.into_inner();
    let remove = WatchlistCommand::RemoveFromWatchlist { by: order.caller.id, instrument };
    carry_out(&state, &order, id, remove, &(), Extras::none()).await
}

async fn carry_out(
    state: &State,
    order: &Order,
    id: Uuid,
    command: WatchlistCommand,
    asked: &impl Serialize,
    extras: Extras,
) -> Result<web::Json<Accepted>, Problem> {
    let issued = order.issued(asked)?;
    let done = state.parts.bus.execute_with::<Aggregate>(&id.to_string(), command, &issued, extras).await?;
    Ok(web::Json(Accepted::from(&done)))
}
