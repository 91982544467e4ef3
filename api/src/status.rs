//! `/status`: what this service is, and how far it has come.

use actix_web::{get, web};
use almanac_domain::values::{Exchange, Mode, ModelName};
use almanac_projections::{ingestions, moment};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::state::State;

/// What this service is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Status {
    /// The mode of its data and clock.
    #[schema(value_type = String, example = "simulated")]
    pub mode: Mode,
    /// The service's time.
    pub now: DateTime<Utc>,
    /// The version of the program.
    pub version: &'static str,
    /// Where mail goes.
    pub mail: MailGoes,
    /// The model that publishes.
    #[schema(value_type = String, example = "us-daily")]
    pub model: ModelName,
    /// The exchange whose sessions it lives by.
    #[schema(value_type = String, example = "XNYS")]
    pub exchange: Exchange,
    /// The last session that was ingested.
    pub last_session: Option<NaiveDate>,
    /// The last place of the log.
    pub head: i64,
    /// Whether this is the demo.
    pub demo: bool,
}

/// Where mail goes.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MailGoes {
    /// To a mail server.
    Smtp,
    /// To a folder, where it can be read on a page.
    Folder,
}

/// What this service is, and how far it has come.
#[utoipa::path(tag = "status", responses((status = 200, description = "The status", body = Status)))]
#[get("/status")]
pub async fn get_status(state: web::Data<State>) -> Result<web::Json<Status>, Problem> {
    let (config, pool) = (&state.config, state.parts.database.pool());
    Ok(web::Json(Status {
        mode: config.mode,
        now: state.now(),
        version: env!("CARGO_PKG_VERSION"),
        mail: if config.smtp_url.is_some() { MailGoes::Smtp } else { MailGoes::Folder },
        model: config.model.clone(),
        exchange: config.exchange.clone(),
        last_session: ingestions::last_bars_session(pool, config.mode).await?,
        head: moment::now(pool).await?.ordinal,
        demo: config.demo,
    }))
}
