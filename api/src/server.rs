//! The whole service in one process: foundation, actors, HTTP. The command line and the tests start it here.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::{Compress, from_fn};
use actix_web::{App as WebApp, HttpServer, web};
use almanac_actors::Parts;
use almanac_actors::explanations::Explanations;
use almanac_actors::supervisor::{self, Service};
use almanac_domain::account::{Account, AccountCommand, Role};
use almanac_domain::clock::Clock;
use almanac_projections::accounts as shown;
use almanac_store::clock::{Entropy, SystemClock};
use almanac_store::log::Issued;
use almanac_store::sign_ins::SignIns;
use almanac_store::{claims, leases};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use url::Url;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::config::Config;
use crate::foundation::{Foundation, StartError};
use crate::health::Leaderless;
use crate::passwords::Passwords;
use crate::problem::Problem;
use crate::session::{EMAIL_CLAIM, normalised};
use crate::state::State;
use crate::{accounts, extraction, fallback, guard, openapi, own_writes, reference};

/// How long requests may take to end when the service stops.
const GRACE_SECONDS: u64 = 10;

/// A node that is killed while it makes the first administrator holds up the others for so long.
const ONE_TURN: Duration = Duration::from_secs(10);

/// What the service takes from the world around it.
pub struct Environment {
    /// The service's time: it stands in every event.
    pub clock: Arc<dyn Clock>,
    /// The real time, by which sign-ins end.
    pub wall: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Entropy,
    /// Where to listen, when somebody has found a place already; `listen` of the configuration otherwise.
    pub listener: Option<TcpListener>,
    /// The first administrator's password; a random one is made otherwise.
    pub first_password: Option<String>,
}

impl Environment {
    /// The machine's own clock and randomness.
    pub fn real() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// A clock that somebody sets; everything else is the machine's own.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            wall: Arc::new(SystemClock),
            entropy: Entropy::system(),
            listener: None,
            first_password: None,
        }
    }
}

/// The service.
pub struct App;

/// The service while it runs. Dropping it leaves the HTTP server running until the process ends: [`Running::stop`] it.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// The log, the objects, the prices and the news.
    pub parts: Parts,
    /// The actors; `run_until_idle` waits until everything due is done.
    pub actors: supervisor::Running,
    /// The first administrator, when this start has made one: e-mail address and one-time password.
    pub first_admin: Option<(String, String)>,
    foundation: Foundation,
    server: ServerHandle,
    serving: JoinHandle<io::Result<()>>,
}

impl App {
    /// Starts everything: database, actors, first administrator, HTTP. It must be called inside a Tokio runtime.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use almanac_api::{App, Config, Environment};
    /// use almanac_domain::clock::SetClock;
    ///
    /// let mut config = Config::in_folder("/tmp/almanac")?;
    /// config.listen = "127.0.0.1:0".to_owned();
    /// let clock = Arc::new(SetClock::at("2024-01-05T22:00:00Z".parse()?));
    /// let running = App::start(config, Environment::with_clock(clock.clone())).await?;
    /// clock.advance_to("2024-01-08T22:00:00Z".parse()?);
    /// running.actors.run_until_idle(Duration::from_secs(30)).await?;
    /// println!("{}", running.url());
    /// running.stop().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Says in one line what is missing and what to do.
    pub async fn start(config: Config, environment: Environment) -> Result<Running, StartError> {
        let foundation = Foundation::lay(&config).await?;
        Self::start_on(foundation, config, environment).await
    }

    /// The same on a foundation that is laid already.
    ///
    /// # Errors
    /// Says in one line what is missing and what to do.
    pub async fn start_on(
        foundation: Foundation,
        mut config: Config,
        environment: Environment,
    ) -> Result<Running, StartError> {
        let listener = match environment.listener {
            Some(listener) => listener,
            None => listen(&config.listen)?,
        };
        let address = listener.local_addr().map_err(|source| not_there(&config.listen, source))?;
        let public_url = config.public_url.get_or_insert_with(|| reached_at(address)).clone();
        let parts = foundation.parts(&config, &public_url, environment.clock, environment.entropy.clone())?;
        let actors = Service::start(&parts, &config.roles);
        let state = web::Data::new(State {
            sign_ins: SignIns::new(&parts.database, environment.entropy.clone()),
            passwords: Passwords::new(environment.entropy)?,
            link_secret: foundation.link_secret.clone(),
            parts: parts.clone(),
            explanations: Explanations::default(),
            actors: actors.clone(),
            waiting: Semaphore::new(own_writes::MOST_WAITING),
            leaderless: Leaderless::default(),
            wall: environment.wall,
            config,
        });
        match Self::open(state, environment.first_password, listener).await {
            Ok((first_admin, server)) => {
                let handle = server.handle();
                let serving = tokio::spawn(server);
                Ok(Running { address, parts, actors, first_admin, foundation, server: handle, serving })
            }
            Err(error) => {
                actors.stop().await;
                foundation.clear_away().await?;
                Err(error)
            }
        }
    }

    async fn open(
        state: web::Data<State>,
        first_password: Option<String>,
        listener: TcpListener,
    ) -> Result<(Option<(String, String)>, Server), StartError> {
        Ok((first_admin(&state, first_password).await?, serve(state, listener)?))
    }
}

impl Running {
    /// The address of the service as a URL without a path.
    pub fn url(&self) -> String {
        reached_at(self.address).as_str().trim_end_matches('/').to_owned()
    }

    /// Stops in order: no new requests, no new passes, connections, database server.
    ///
    /// # Errors
    /// When the database server does not end.
    pub async fn stop(self) -> Result<(), StartError> {
        self.actors.stop().await;
        self.server.stop(true).await;
        if let Err(error) = self.serving.await {
            tracing::warn!(%error, "the HTTP server ended with an error");
        }
        self.foundation.clear_away().await
    }
}

/// Listens on `HOST:PORT`.
///
/// # Errors
/// When it cannot, most often because somebody else does.
pub fn listen(address: &str) -> Result<TcpListener, StartError> {
    let listener = TcpListener::bind(address).map_err(|source| not_there(address, source))?;
    listener.set_nonblocking(true).map_err(|source| not_there(address, source))?;
    Ok(listener)
}

fn not_there(listen: &str, source: io::Error) -> StartError {
    StartError::Listen { listen: listen.to_owned(), source }
}

/// How people on this machine reach what listens there.
fn reached_at(address: SocketAddr) -> Url {
    let host = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    let text = format!("http://{}/", SocketAddr::new(host, address.port()));
    Url::parse(&text).unwrap_or_else(|_| unreachable_url())
}

#[allow(clippy::expect_used, reason = "the literal is tested below")]
fn unreachable_url() -> Url {
    Url::parse("http://127.0.0.1/").expect("a URL")
}

/// Makes the first administrator unless there is one, and returns their one-time password.
async fn first_admin(
    state: &State,
    password: Option<String>,
) -> Result<Option<(String, String)>, StartError> {
    let pool = state.parts.database.pool();
    if !shown::admins(pool).await?.is_empty() {
        return Ok(None);
    }
    // Nodes that start together on an empty database take turns: the first one makes the administrator.
    let holder = state.parts.entropy.uuid_v7(state.parts.clock.now());
    let lease = loop {
        match leases::take(&state.parts.database, "first administrator", holder, ONE_TURN).await? {
            Some(lease) => break lease,
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let made = make_first_admin(state, password).await;
    leases::release(pool, &lease).await?;
    made
}

async fn make_first_admin(
    state: &State,
    password: Option<String>,
) -> Result<Option<(String, String)>, StartError> {
    let parts = &state.parts;
    let pool = parts.database.pool();
    let email = state.config.admin_email.clone();
    let password = password.unwrap_or_else(|| hex::encode(parts.entropy.bytes::<12>()));
    match claims::owner_of(pool, EMAIL_CLAIM, &normalised(&email)).await? {
        None => {
            let hash = state.passwords.hash(&password).await?;
            accounts::open(parts, &email, hash, &[Role::Admin]).await.map_err(Problem::from)?;
        }
        Some(account) => {
            // Most likely the tables are behind the log, and nothing has to be done. Only where the process was killed
            // between opening the account and granting the role does the role come now, with a new password.
            let issued = Issued::new(parts.entropy.uuid_v7(parts.clock.now()));
            let grant = AccountCommand::GrantRole { role: Role::Admin };
            let granted = parts
                .bus
                .execute::<Account>(&account.to_string(), grant, &issued)
                .await
                .map_err(Problem::from)?;
            if granted.events.is_empty() {
                return Ok(None);
            }
            accounts::set_administrators_password(parts, account, state.passwords.hash(&password).await?)
                .await?;
        }
    }
    Ok(Some((email, password)))
}

fn serve(state: web::Data<State>, listener: TcpListener) -> Result<Server, StartError> {
    let document = openapi::document_text().map_err(Problem::broken)?;
    let document = web::Data::new(openapi::Served::new(document));
    let routes = web::Data::new(fallback::Routes::of(&openapi::document()));
    let server = HttpServer::new(move || {
        WebApp::new()
            .app_data(state.clone())
            .app_data(document.clone())
            .app_data(routes.clone())
            .configure(extraction::configure)
            .configure(|config| openapi::routes(&mut ServiceConfig::new(config)))
            .configure(reference::configure)
            .default_service(web::to(fallback::answer))
            .wrap(from_fn(own_writes::shown))
            .wrap(from_fn(guard::origin))
            .wrap(Compress::default())
            .wrap(from_fn(guard::headers))
    })
    .client_request_timeout(Duration::from_secs(15))
    .shutdown_timeout(GRACE_SECONDS)
    .disable_signals()
    .listen(listener)
    .map_err(|source| not_there("the address", source))?;
    Ok(server.run())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_listens_everywhere_is_reached_here() {
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080));
        assert_eq!(reached_at(everywhere).as_str(), "http://127.0.0.1:8080/");
        assert_eq!(unreachable_url().host_str(), Some("127.0.0.1"));
    }
}
