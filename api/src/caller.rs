//! Who asks: the account of the cookie or the bearer token of a request.

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest, web};
use almanac_projections::accounts;
use chrono::{DateTime, Utc};
use futures::future::LocalBoxFuture;
use uuid::Uuid;

use crate::problem::{Kind, Problem};
use crate::state::State;

/// The cookie of a sign-in.
pub const COOKIE: &str = "almanac_session";

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The account.
    pub id: Uuid,
    /// Whether it is an administrator's.
    pub admin: bool,
    /// The account as it is shown to its owner.
    pub account: accounts::Account,
    /// When the sign-in ends.
    pub expires_at: DateTime<Utc>,
}

/// An administrator who is signed in.
#[derive(Debug, Clone)]
pub struct Admin(pub Caller);

impl Caller {
    /// Who makes `request`.
    pub async fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let state = request.app_data::<web::Data<State>>().ok_or(Kind::Unavailable)?;
        let token = token(request).ok_or(Kind::NotSignedIn)?;
        let sign_in = state.sign_ins.find(&token, state.wall.now()).await?.ok_or(Kind::NotSignedIn)?;
        let account =
            accounts::find(state.parts.database.pool(), sign_in.account).await?.ok_or(Kind::NotSignedIn)?;
        if account.suspended {
            return Err(Kind::Suspended.into());
        }
        Ok(Self { id: account.id, admin: account.admin, account, expires_at: sign_in.expires_at })
    }
}

/// The token of a request: the bearer's, which a program sends on purpose, before the cookie's.
pub fn token(request: &HttpRequest) -> Option<String> {
    bearer(request).or_else(|| request.cookie(COOKIE).map(|cookie| cookie.value().to_owned()))
}

/// The token after `Bearer`; other kinds of authorization are not ours.
pub(crate) fn bearer(request: &HttpRequest) -> Option<String> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Self::of(&request).await })
    }
}

impl FromRequest for Admin {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let caller = Caller::of(&request).await?;
            if caller.admin { Ok(Self(caller)) } else { Err(Kind::NotAdmin.into()) }
        })
    }
}
