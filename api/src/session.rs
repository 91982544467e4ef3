//! `/session`: signing in and out.

use actix_web::cookie::{Cookie, SameSite, time};
use actix_web::{HttpRequest, HttpResponse, delete, get, post, web};
use almanac_domain::account::vault::PASSWORD;
use almanac_projections::accounts::{self, Account};
use almanac_store::{claims, vault};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::{COOKIE, Caller, token};
use crate::problem::{Kind, Problem};
use crate::state::State;

/// How long a sign-in lasts, in real time.
const LIFETIME: TimeDelta = TimeDelta::days(30);

/// The claim that keeps an e-mail address for one account.
pub const EMAIL_CLAIM: &str = "email";

/// A sign-in.
#[derive(Debug, Serialize, ToSchema)]
pub struct Session {
    /// Who is signed in.
    pub account: Account,
    /// The token of the sign-in, shown once, when it is made; the cookie `almanac_session` holds the same.
    pub token: Option<String>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// An e-mail address with its password.
#[derive(Deserialize, ToSchema)]
pub struct Credentials {
    /// The e-mail address.
    #[schema(example = "somebody@example.com")]
    pub email: String,
    /// The password; at least ten characters.
    #[schema(format = Password, min_length = 10)]
    pub password: String,
}

/// The form of an e-mail address in which two of them are compared.
pub fn normalised(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Whether `password` is the account's.
pub async fn is_password_of(state: &State, account: Option<Uuid>, password: &str) -> Result<bool, Problem> {
    let stored = match account {
        Some(account) => vault::of_owner(state.parts.database.pool(), account, PASSWORD).await?.pop(),
        None => None,
    };
    state.passwords.check(password, stored.as_ref().map(|row| row.value.as_str())).await
}

/// Starts a sign-in of `account`, and makes the cookie for it.
pub async fn start(state: &State, account: Account) -> Result<(Session, Cookie<'static>), Problem> {
    let now = state.wall.now();
    let token = state.sign_ins.start(account.id, now, LIFETIME).await?;
    let cookie = cookie(state, token.clone(), time::Duration::seconds(LIFETIME.num_seconds()));
    Ok((Session { account, token: Some(token), expires_at: now + LIFETIME }, cookie))
}

/// The cookie that takes the sign-in out of the browser.
pub fn no_cookie(state: &State) -> Cookie<'static> {
    cookie(state, String::new(), time::Duration::ZERO)
}

fn cookie(state: &State, token: String, lifetime: time::Duration) -> Cookie<'static> {
    let secure = state.config.public_url.as_ref().is_some_and(|url| url.scheme() == "https");
    Cookie::build(COOKIE, token)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(secure)
        .max_age(lifetime)
        .finish()
}

/// Signs in: makes a new sign-in and sets its cookie.
#[utoipa::path(
    tag = "account",
    request_body = Credentials,
    responses((status = 200, description = "Signed in; the cookie is set", body = Session))
)]
#[post("/session")]
pub async fn sign_in(
    state: web::Data<State>,
    request: HttpRequest,
    credentials: web::Json<Credentials>,
) -> Result<HttpResponse, Problem> {
    let pool = state.parts.database.pool();
    let owner = claims::owner_of(pool, EMAIL_CLAIM, &normalised(&credentials.email)).await?;
    if !is_password_of(&state, owner, &credentials.password).await? {
        return Err(Kind::WrongCredentials.into());
    }
    let account = match owner {
        Some(owner) => accounts::find(pool, owner).await?,
        None => None,
    };
    let account = account.ok_or(Kind::WrongCredentials)?;
    if account.suspended {
        return Err(Kind::Suspended.into());
    }
    if let Some(before) = token(&request) {
        state.sign_ins.end(&before).await?;
    }
    let (session, cookie) = start(&state, account).await?;
    Ok(HttpResponse::Ok().cookie(cookie).json(session))
}

/// Who is signed in.
#[utoipa::path(
    tag = "account",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "The present sign-in", body = Session))
)]
#[get("/session")]
pub async fn current_session(caller: Caller) -> web::Json<Session> {
    web::Json(Session { account: caller.account, token: None, expires_at: caller.expires_at })
}

/// Signs out: the sign-in ends and its cookie is cleared.
#[utoipa::path(
    tag = "account",
    security(("session" = []), ("token" = [])),
    responses((status = 204, description = "Signed out"))
)]
#[delete("/session")]
pub async fn sign_out(
    state: web::Data<State>,
    request: HttpRequest,
    _caller: Caller,
) -> Result<HttpResponse, Problem> {
    if let Some(token) = token(&request) {
        state.sign_ins.end(&token).await?;
    }
    Ok(HttpResponse::NoContent().cookie(no_cookie(&state)).finish())
}
