//! `/accounts` and `/account`: opening an account, what it is told, and ending it.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, delete, get, patch, post, web};
use almanac_actors::Parts;
use almanac_actors::erasure::{EraseError, Holdings};
use almanac_actors::notifier::{mailable, verify_unsubscribe_token};
use almanac_domain::account::vault::{self, EMAIL, PASSWORD, WATCHLIST_NAME};
use almanac_domain::account::{Account, AccountCommand, AccountRefusal, NotificationPreferences, Role};
use almanac_domain::watchlist::{Watchlist, WatchlistCommand};
use almanac_projections::{accounts, watchlists};
use almanac_store::StoreError;
use almanac_store::log::{Cause, CommandError, Committed, EventKey, Extras, Issued, Until, wait_for};
use almanac_store::vault::VaultRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::commands::{Accepted, Order};
use crate::passwords::Passwords;
use crate::problem::{Kind, Problem};
use crate::session::{self, Credentials, EMAIL_CLAIM, Session};
use crate::state::State;

/// The watchlist every account begins with.
const FIRST_WATCHLIST: &str = "My watchlist";

/// How long opening an account waits until the account can be read.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an account wants to be told.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct AccountChange {
    /// Whether it wants one mail for each session with the stocks it watches.
    pub session_mail: bool,
}

/// The password, asked for again before something that cannot be undone.
#[derive(Deserialize, ToSchema)]
pub struct PasswordAgain {
    /// The account's password.
    #[schema(format = Password)]
    pub password: String,
}

/// Whom to stop mailing.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UnsubscribeQuery {
    /// The token of the mail's unsubscribe link.
    pub token: String,
}

/// Opens an account with its first watchlist, and gives it `roles`.
pub async fn open(
    parts: &Parts,
    email: &str,
    password_hash: String,
    roles: &[Role],
) -> Result<Uuid, CommandError<AccountRefusal>> {
    let id = parts.entropy.uuid_v7(parts.clock.now());
    let story = Issued::new(id).by(id);
    let row = |kind: &str, value: String| VaultRow {
        id: vault::row(kind, id),
        owner: id,
        kind: kind.to_owned(),
        value,
    };
    let extras = Extras::none()
        .take_claim(EMAIL_CLAIM, &session::normalised(email), id)
        .put_vault(row(EMAIL, email.trim().to_owned()))
        .put_vault(row(PASSWORD, password_hash));
    let stream = id.to_string();
    let mut last =
        parts.bus.execute_with::<Account>(&stream, AccountCommand::OpenAccount, &story, extras).await?;
    for role in roles {
        let issued = part_of(&story, id, "role");
        last =
            parts.bus.execute::<Account>(&stream, AccountCommand::GrantRole { role: *role }, &issued).await?;
    }
    match open_watchlist(parts, id).await {
        Ok(made) => see(parts, made.as_ref(), watchlists::NAME).await?,
        Err(error) => tracing::warn!(%error, "an account was opened without its first watchlist"),
    }
    see(parts, last.last(), accounts::NAME).await?;
    Ok(id)
}

/// Gives an administrator another password, and signs them out everywhere.
pub async fn set_administrators_password(
    parts: &Parts,
    account: Uuid,
    password_hash: String,
) -> Result<(), Problem> {
    let row = VaultRow {
        id: vault::row(PASSWORD, account),
        owner: account,
        kind: PASSWORD.to_owned(),
        value: password_hash,
    };
    let issued = Issued::new(parts.entropy.uuid_v7(parts.clock.now())).by(account);
    let extras = Extras::none().put_vault(row).end_sign_ins_of(account);
    // The log knows nothing of passwords; the command changes nothing and only carries the rows.
    let command = AccountCommand::GrantRole { role: Role::Admin };
    parts.bus.execute_with::<Account>(&account.to_string(), command, &issued, extras).await?;
    Ok(())
}

fn part_of(story: &Issued, account: Uuid, part: &str) -> Issued {
    Issued::new(Uuid::new_v5(&story.command_id, part.as_bytes())).caused_by(opening(account)).by(account)
}

/// The event an account begins with; its story has the account's id.
fn opening(account: Uuid) -> Cause {
    let key = EventKey { aggregate_type: "account".into(), aggregate_id: account.to_string(), sequence: 1 };
    Cause { key, correlation_id: Some(account) }
}

/// The identity of the watchlist an account begins with.
pub fn first_watchlist(owner: Uuid) -> Uuid {
    vault::row("first_watchlist", owner)
}

/// Waits until a read model shows an event, so that whoever is told of it finds it.
async fn see(parts: &Parts, event: Option<&EventKey>, subscription: &str) -> Result<(), StoreError> {
    if let Some(key) = event {
        wait_for(&parts.database, Until::Event(key), subscription, PATIENCE).await?;
    }
    Ok(())
}

/// Makes the watchlist an account begins with; when it was made before, nothing happens.
pub async fn open_watchlist(parts: &Parts, owner: Uuid) -> Result<Option<EventKey>, Problem> {
    let id = first_watchlist(owner);
    let name = vault::row(WATCHLIST_NAME, id);
    let row =
        VaultRow { id: name, owner, kind: WATCHLIST_NAME.to_owned(), value: FIRST_WATCHLIST.to_owned() };
    let create = WatchlistCommand::CreateWatchlist { by: owner, name };
    let issued = Issued::new(id).caused_by(opening(owner)).by(owner);
    let extras = Extras::none().put_vault(row);
    match parts.bus.execute_with::<Watchlist>(&id.to_string(), create, &issued, extras).await {
        Ok(made) => Ok(made.last().cloned()),
        Err(CommandError::Refused(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens an account with one watchlist and signs it in.
#[utoipa::path(
    tag = "account",
    request_body = Credentials,
    responses((status = 201, description = "Opened and signed in; the cookie is set", body = Session))
)]
#[post("/accounts")]
pub async fn register(
    state: web::Data<State>,
    credentials: web::Json<Credentials>,
) -> Result<HttpResponse, Problem> {
    let Credentials { email, password } = credentials.into_inner();
    let mut errors = BTreeMap::new();
    if let Err(refused) = mailable(email.trim()) {
        errors.insert("email".to_owned(), refused.to_string());
    }
    if let Some(reason) = Passwords::refused(&password) {
        errors.insert("password".to_owned(), reason);
    }
    if !errors.is_empty() {
        return Err(Problem::invalid_fields(errors));
    }
    let hash = state.passwords.hash(&password).await?;
    let id = open(&state.parts, &email, hash, &[]).await?;
    let account = accounts::find(state.parts.database.pool(), id).await?.ok_or(Kind::NotYet)?;
    let (session, cookie) = session::start(&state, account).await?;
    Ok(HttpResponse::Created().cookie(cookie).json(session))
}

/// Changes what the signed-in account is told.
#[utoipa::path(
    tag = "account",
    security(("session" = []), ("token" = [])),
    request_body = AccountChange,
    responses((status = 200, description = "Changed", body = Accepted))
)]
#[patch("/account")]
pub async fn change_account(
    state: web::Data<State>,
    order: Order,
    change: web::Json<AccountChange>,
) -> Result<web::Json<Accepted>, Problem> {
    let issued = order.issued(&*change)?;
    let committed = set_session_mail(&state, order.caller.id, change.session_mail, &issued).await?;
    Ok(web::Json(Accepted::from(&committed)))
}

async fn set_session_mail(
    state: &State,
    account: Uuid,
    session_mail: bool,
    issued: &Issued,
) -> Result<Committed, Problem> {
    let preferences = NotificationPreferences { session_mail };
    let command = AccountCommand::SetNotificationPreferences { preferences };
    Ok(state.parts.bus.execute::<Account>(&account.to_string(), command, issued).await?)
}

/// Erases the signed-in account and everything personal about it, for good.
#[utoipa::path(
    tag = "account",
    security(("session" = []), ("token" = [])),
    request_body = PasswordAgain,
    responses((status = 204, description = "Erased"))
)]
#[delete("/account")]
pub async fn erase_account(
    state: web::Data<State>,
    order: Order,
    again: web::Json<PasswordAgain>,
) -> Result<HttpResponse, Problem> {
    let id = order.caller.id;
    if !session::is_password_of(&state, Some(id), &again.password).await? {
        return Err(Kind::WrongCredentials.into());
    }
    let (issued, mails) = (order.issued(&())?, state.outbox());
    let holdings = Holdings { database: &state.parts.database, mails: &mails };
    holdings.erase(&state.parts.bus, id, &issued).await?;
    Ok(HttpResponse::NoContent().cookie(session::no_cookie(&state)).finish())
}

impl From<EraseError> for Problem {
    fn from(error: EraseError) -> Self {
        match error {
            EraseError::Mails(error) => Self::broken(error),
            EraseError::Command(error) => error.into(),
            EraseError::Store(error) => error.into(),
        }
    }
}

/// Stops the session mail by the link of a mail, without a sign-in (RFC 8058).
#[utoipa::path(
    tag = "account",
    params(UnsubscribeQuery),
    responses((status = 200, description = "No more session mails", body = Accepted))
)]
#[post("/unsubscribe")]
pub async fn unsubscribe(
    state: web::Data<State>,
    query: web::Query<UnsubscribeQuery>,
) -> Result<web::Json<Accepted>, Problem> {
    let wish = verify_unsubscribe_token(&state.link_secret, &query.token, state.wall.now())
        .map_err(|refused| Problem::invalid("token", refused))?;
    let issued = Issued::new(state.parts.entropy.uuid_v7(state.wall.now())).by(wish.account);
    let committed = set_session_mail(&state, wish.account, false, &issued).await?;
    Ok(web::Json(Accepted::from(&committed)))
}

/// Sends a browser that follows the link of a mail to the page with the button; nothing changes by looking.
#[utoipa::path(
    tag = "account",
    params(UnsubscribeQuery),
    responses((status = 303, description = "To the page with the button"))
)]
#[get("/unsubscribe")]
pub async fn unsubscribe_page(query: web::Query<UnsubscribeQuery>) -> HttpResponse {
    let token: String = url::form_urlencoded::byte_serialize(query.token.as_bytes()).collect();
    HttpResponse::SeeOther().insert_header((LOCATION, format!("/unsubscribe?token={token}"))).finish()
}
