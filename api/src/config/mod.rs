//! What the service is told, in layers: defaults, then a TOML file, then the environment, then flags.
//!
//! [`settings`] lists every key with its default; a key that is not in the list is refused by name, wherever it
//! comes from. [`Config`] is the typed result. To add a setting, add a line to the list and a field here.

mod layers;
mod settings;

use std::path::PathBuf;
use std::str::FromStr;

use almanac_actors::dispatcher::Reach;
use almanac_actors::notifier::{self, SmtpUrl, mailable};
use almanac_actors::settings::{HttpSettings, Promotion, TrialSettings, WatchSettings};
use almanac_actors::supervisor::Role;
use almanac_domain::training_run::FeatureSet;
use almanac_domain::values::{Exchange, Mode, ModelName, Probability, Session, Symbol};
use almanac_ml::{Family, simulator};
use almanac_store::transparency::is_key_name;
use chrono::TimeDelta;
use url::Url;

pub use layers::{ConfigError, Effective, Flags, Origin};

/// Everything the service is told. [`Config::load`] reads it; tests and the demo change its fields.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything lies that the service keeps on this machine.
    pub data_dir: PathBuf,
    /// `HOST:PORT` to listen on; port 0 takes any free one.
    pub listen: String,
    /// The database; without one the service runs its own.
    pub database_url: Option<String>,
    /// Which work this process does.
    pub roles: Vec<Role>,
    /// The mode of the data and the clock.
    pub mode: Mode,
    /// The exchange whose sessions are followed.
    pub exchange: Exchange,
    /// The model whose champion publishes.
    pub model: ModelName,
    /// The address under which people reach the service; the one it listens on unless said otherwise.
    pub public_url: Option<Url>,
    /// Who becomes the first administrator.
    pub admin_email: String,
    /// The family of models that is trained.
    pub family: String,
    /// What a version looks at.
    pub feature_set: FeatureSet,
    /// A new version is trained after this many sessions.
    pub retrain_every: u32,
    /// How versions after the first become champion.
    pub promotion: Promotion,
    /// How trials are decided that open by themselves.
    pub trial: TrialSettings,
    /// What else makes a training due.
    pub watch: WatchSettings,
    /// A version publishes for this many sessions after the last one of its data.
    pub expire_after: u32,
    /// Where objects lie.
    pub objects: Objects,
    /// Where prices and headlines come from.
    pub sources: Sources,
    /// The mail server; without one mails go to a folder.
    pub smtp_url: Option<SmtpUrl>,
    /// Who the mails are from.
    pub smtp_from: String,
    /// Which addresses webhooks may be delivered to.
    pub webhooks: Reach,
    /// How heads of the log are signed.
    pub log: Log,
    /// Whether this is the demo; the command line says so, never a setting.
    pub demo: bool,
}

/// Where objects lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Objects {
    /// `file:`, `s3:`, `gs:` or `az:`; the folder `objects` below the data unless said otherwise.
    pub url: Option<String>,
    /// What the store is told beside its address, as `object_store` names it.
    pub options: Vec<(String, String)>,
}

/// Where prices and headlines come from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A folder or file of CSV and Parquet.
    pub folder: Option<PathBuf>,
    /// The same, given out session by session as the clock passes them; the command line says so.
    pub replay: Option<PathBuf>,
    /// A web service that gives CSV.
    pub http: Option<HttpSettings>,
    /// The market simulator; the command line says so.
    pub simulator: Option<simulator::Settings>,
}

/// How heads of the log are signed.
#[derive(Debug, Clone)]
pub struct Log {
    /// The file with the key; `log.key` below the data unless said otherwise.
    pub key: Option<PathBuf>,
    /// The name of the log; the host of the public address unless said otherwise.
    pub origin: Option<String>,
    /// A head is published this long after the last one.
    pub checkpoint_every: TimeDelta,
}

impl Config {
    /// The file with the key that signs heads of the log.
    pub fn key_file(&self) -> PathBuf {
        self.log.key.clone().unwrap_or_else(|| self.data_dir.join("log.key"))
    }

    /// Reads the file (the one named, or `almanac.toml` in the data folder), the environment and the flags.
    ///
    /// # Errors
    /// Names the key, where it stands, and what is wrong with it.
    pub fn load(
        flags: &Flags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Effective), ConfigError> {
        let effective = layers::read(flags, environment)?;
        let config = Self::from_effective(&effective)?;
        Ok((config, effective))
    }

    /// The defaults for a data folder, without a file, the environment or flags.
    ///
    /// # Errors
    /// Never, as a test shows.
    pub fn in_folder(data_dir: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        let mut config = Self::from_effective(&layers::defaults())?;
        config.data_dir = data_dir.into();
        Ok(config)
    }

    fn from_effective(from: &Effective) -> Result<Self, ConfigError> {
        Ok(Self {
            data_dir: from.required("data_dir")?,
            listen: from.checked("listen", |text: &String| listens(text))?.unwrap_or_default(),
            database_url: from.optional("database_url")?,
            roles: from.parsed("roles", |text| list(text, role))?.unwrap_or_default(),
            mode: from.parsed("mode", mode)?.unwrap_or(Mode::Live),
            exchange: from.required("exchange")?,
            model: from.required("model")?,
            public_url: from.optional("public_url")?,
            admin_email: from
                .parsed("admin_email", |text| {
                    mailable(text).map(|_| text.to_owned()).map_err(|e| e.to_string())
                })?
                .unwrap_or_default(),
            family: from.checked("family", |text: &String| family(text))?.unwrap_or_default(),
            feature_set: from.required("feature_set")?,
            retrain_every: from.required("retrain_every")?,
            promotion: from.parsed("promotion", promotion)?.unwrap_or(Promotion::Trial),
            trial: TrialSettings {
                decide_after: from.required("trial.decide_after")?,
                latest: from.required("trial.latest")?,
                significance: from
                    .parsed("trial.significance", significance)?
                    .unwrap_or(TrialSettings::default().significance),
            },
            watch: WatchSettings {
                age: from.required("watch.age")?,
                coverage: from.parsed("watch.coverage", share)?.unwrap_or_default(),
                skill: from.parsed("watch.skill", share)?.unwrap_or_default(),
                features: from.required("watch.features")?,
                window: from.checked("watch.window", at_least_one)?.unwrap_or(1),
                pause: from.required("watch.pause")?,
            },
            expire_after: from.checked("expire_after", at_least_one)?.unwrap_or(1),
            objects: Objects {
                url: from.optional("objects.url")?,
                options: [
                    ("aws_endpoint", "objects.endpoint"),
                    ("aws_region", "objects.region"),
                    ("aws_access_key_id", "objects.access_key_id"),
                    ("aws_secret_access_key", "objects.secret_access_key"),
                ]
                .into_iter()
                .filter_map(|(option, key)| Some((option.to_owned(), from.text(key)?.to_owned())))
                .chain(
                    // A service on the own network, such as MinIO, often speaks plain HTTP.
                    from.text("objects.endpoint")
                        .filter(|endpoint| endpoint.starts_with("http://"))
                        .map(|_| ("aws_allow_http".to_owned(), "true".to_owned())),
                )
                .collect(),
            },
            sources: Sources {
                folder: from.optional("sources.folder")?,
                replay: None,
                http: http_source(from)?,
                simulator: None,
            },
            smtp_url: from.optional("smtp.url")?,
            smtp_from: from
                .parsed("smtp.from", |text| {
                    notifier::sender(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
                })?
                .unwrap_or_default(),
            webhooks: if from.required("webhooks.allow_private")? {
                Reach::Anywhere
            } else {
                Reach::PublicHttps
            },
            log: Log {
                key: from.optional("log.key")?,
                origin: from.parsed("log.origin", origin)?,
                checkpoint_every: from.parsed("log.checkpoint_every", duration)?.unwrap_or_default(),
            },
            demo: false,
        })
    }
}

fn http_source(from: &Effective) -> Result<Option<HttpSettings>, ConfigError> {
    let template = from.parsed("sources.http_template", |text| {
        if text.contains("{symbol}") {
            Ok(text.to_owned())
        } else {
            Err("there is no `{symbol}` in it".to_owned())
        }
    })?;
    let symbols: Vec<Symbol> =
        from.parsed("sources.http_symbols", |text| list(text, parsed))?.unwrap_or_default();
    let first: Session = from.required("sources.http_from")?;
    Ok(template.map(|template| HttpSettings::new(template, symbols, first)))
}

fn listens(text: &str) -> Result<(), String> {
    let port = text.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then_some(port));
    match port.map(str::parse::<u16>) {
        Some(Ok(_)) => Ok(()),
        Some(Err(_)) | None => Err("this is not HOST:PORT".to_owned()),
    }
}

fn role(text: &str) -> Result<Role, String> {
    match text {
        "api" => Ok(Role::Api),
        "log" => Ok(Role::Log),
        "worker" => Ok(Role::Worker),
        _ => Err(format!("`{text}` is neither `api` nor `log` nor `worker`")),
    }
}

fn origin(text: &str) -> Result<String, String> {
    if is_key_name(text) { Ok(text.to_owned()) } else { Err("it holds white space or a `+`".to_owned()) }
}

/// Such as `90s`, `5m`, `1h`.
fn duration(text: &str) -> Result<TimeDelta, String> {
    let shaped = || "this is not a time such as `90s`, `5m` or `1h`".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(shaped)?;
    let number: i64 =
        number.parse().ok().filter(|number| (1..=1_000_000).contains(number)).ok_or_else(shaped)?;
    match unit {
        "s" => Ok(TimeDelta::seconds(number)),
        "m" => Ok(TimeDelta::minutes(number)),
        "h" => Ok(TimeDelta::hours(number)),
        _ => Err(shaped()),
    }
}

fn promotion(text: &str) -> Result<Promotion, String> {
    match text {
        "manual" => Ok(Promotion::Manual),
        "trial" => Ok(Promotion::Trial),
        _ => Err("it is `manual` or `trial`".to_owned()),
    }
}

fn significance(text: &str) -> Result<Probability, String> {
    let number = share(text)?;
    let level = Probability::from_f64(number).ok().filter(|_| number > 0.0 && number <= 0.5);
    level.ok_or_else(|| "it lies above 0 and is at most 0.5".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|number| (0.0..=1.0).contains(number)).ok_or_else(|| "it lies between 0 and 1".to_owned())
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "every check looks at what was read")]
fn at_least_one(number: &u32) -> Result<(), String> {
    if *number > 0 { Ok(()) } else { Err("it is at least 1".to_owned()) }
}

fn mode(text: &str) -> Result<Mode, String> {
    [Mode::Live, Mode::Replayed, Mode::Simulated]
        .into_iter()
        .find(|mode| mode.as_str() == text)
        .ok_or_else(|| "it is `live`, `replayed` or `simulated`".to_owned())
}

fn family(text: &str) -> Result<(), String> {
    Family::named(text).map(drop).ok_or_else(|| format!("it is one of: {}", Family::names().join(", ")))
}

fn parsed<T: FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn list<T>(text: &str, item: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(item).collect()
}

#[cfg(test)]
mod tests;
