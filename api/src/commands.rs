//! How a request becomes a command: who asks, what identifies it, and what it is answered with.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use almanac_domain::ids;
use almanac_store::log::{Committed, Issued};
use futures::future::LocalBoxFuture;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::Caller;
use crate::problem::{Kind, Problem};
use crate::state::State;

/// The longest `Idempotency-Key` that is taken.
const LONGEST_KEY: usize = 200;

/// A command was carried out.
#[derive(Debug, Serialize, ToSchema)]
pub struct Accepted {
    /// The last event it led to, as `type:id:sequence`; give it to a read as `after` to see its effect. Null when
    /// nothing had to change.
    #[schema(example = "watchlist:0195b3a1-7f6e-7c33-8d5e-2f4b6f1c9d11:3")]
    pub after: Option<String>,
}

/// Something was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct Created {
    /// Its identity.
    pub id: Uuid,
    /// The event that made it; give it to a read as `after`.
    pub after: Option<String>,
}

/// The last event of what was committed, as a caller gives it back.
pub fn after(committed: &Committed) -> Option<String> {
    committed.last().map(ToString::to_string)
}

impl From<&Committed> for Accepted {
    fn from(committed: &Committed) -> Self {
        Self { after: after(committed) }
    }
}

/// Somebody signed in asks for something to be done. Its identity is the caller's `Idempotency-Key`, or new.
pub struct Order {
    /// Who asks.
    pub caller: Caller,
    command: Uuid,
    /// What the command and all its consequences share: it follows from the caller's `X-Request-Id`, where one came.
    story: Uuid,
    route: String,
}

/// An administrator asks for something to be done.
pub struct AdminOrder(pub Order);

impl Order {
    /// The circumstances of the command, bound to what was asked: the same key with another request is refused.
    pub fn issued(&self, asked: &impl Serialize) -> Result<Issued, Problem> {
        Issued::new(self.command)
            .correlated(self.story)
            .by(self.caller.id)
            .for_request(&(&self.route, asked))
            .map_err(Problem::broken)
    }

    /// The identity of what the order makes: the same when the order is repeated.
    pub fn new_id(&self, what: &str) -> Uuid {
        Uuid::new_v5(&self.command, what.as_bytes())
    }
}

impl FromRequest for Order {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let caller = Caller::of(&request).await?;
            let command = match key(&request)? {
                Some(key) => ids::idempotent_command(caller.id, &key),
                None => new_command(&request)?,
            };
            let named = request.headers().get("X-Request-Id").and_then(|value| value.to_str().ok());
            let story = named.map_or(command, |id| ids::story(caller.id, id));
            Ok(Self { caller, command, story, route: format!("{} {}", request.method(), request.path()) })
        })
    }
}

impl FromRequest for AdminOrder {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let order = Order::from_request(request, payload);
        Box::pin(async move {
            let order = order.await?;
            if order.caller.admin { Ok(Self(order)) } else { Err(Kind::NotAdmin.into()) }
        })
    }
}

fn key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let Some(value) = request.headers().get("Idempotency-Key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=LONGEST_KEY).contains(&key.len()) => Ok(Some(key.to_owned())),
        Ok(_) | Err(_) => Err(Problem::invalid("Idempotency-Key", "it has 1 to 200 printable characters")),
    }
}

fn new_command(request: &HttpRequest) -> Result<Uuid, Problem> {
    let state = request.app_data::<web::Data<State>>().ok_or(Kind::Unavailable)?;
    Ok(state.parts.entropy.uuid_v7(state.wall.now()))
}
