//! The layers, put on top of each other, and the origin of every value.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::Url;

use super::settings::{FOR_TESTS, NOT_SETTINGS, SETTINGS, Setting, Shown};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key that is no setting.
    #[error("there is no setting `{key}` ({origin}){}", .meant.map(|meant| format!("; is `{meant}` meant?")).unwrap_or_default())]
    UnknownKey {
        /// The key as it stands there.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// The setting whose name is nearest.
        meant: Option<&'static str>,
    },
    /// A value that cannot be.
    #[error("`{key}` cannot be `{value}` ({origin}): {reason}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// The value, or `***`.
        value: String,
        /// Where it stands.
        origin: Origin,
        /// What is wrong with it.
        reason: String,
    },
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not TOML: {reason}")]
    NotToml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// A flag of the command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Environment(variable) => write!(f, "environment: {variable}"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The file to read.
    pub config: Option<PathBuf>,
    /// Settings by key.
    pub values: Vec<(&'static str, String)>,
}

/// Every setting with its value and where it comes from.
#[derive(Debug, Clone, Default)]
pub struct Effective(BTreeMap<&'static str, (String, Origin)>);

pub(super) fn defaults() -> Effective {
    let defaults = SETTINGS.iter().filter_map(|setting| Some((setting.key, setting.default?)));
    Effective(defaults.map(|(key, value)| (key, (value.to_owned(), Origin::Default))).collect())
}

pub(super) fn read(
    flags: &Flags,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Effective, ConfigError> {
    let environment: BTreeMap<String, String> = environment
        .into_iter()
        .filter(|(name, _)| name.starts_with("ALMANAC_") || name == "DATABASE_URL")
        .collect();
    let mut above = defaults();
    above.put_environment(&environment)?;
    above.put_flags(flags);

    let mut effective = defaults();
    let named = flags.config.clone().or_else(|| environment.get("ALMANAC_CONFIG").map(PathBuf::from));
    let in_data_dir = above.text("data_dir").map(|folder| Path::new(folder).join("almanac.toml"));
    if let Some(path) = named.or_else(|| in_data_dir.filter(|path| path.exists())) {
        effective.put_file(&path)?;
    }
    effective.put_environment(&environment)?;
    effective.put_flags(flags);
    Ok(effective)
}

impl Effective {
    fn put_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let not_toml = |reason: String| ConfigError::NotToml { path: path.to_owned(), reason };
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| not_toml(error.to_string()))?;
        let origin = Origin::File(path.to_owned());
        for (key, value) in flattened(&table) {
            let setting = Setting::find(&key).ok_or_else(|| unknown(&key, origin.clone()))?;
            let text = written(&value)
                .ok_or_else(|| not_toml(format!("`{key}` is not a value or a list of values")))?;
            self.0.insert(setting.key, (text, origin.clone()));
        }
        Ok(())
    }

    fn put_environment(&mut self, environment: &BTreeMap<String, String>) -> Result<(), ConfigError> {
        if let Some(url) = environment.get("DATABASE_URL") {
            self.0.insert("database_url", (url.clone(), Origin::Environment("DATABASE_URL".to_owned())));
        }
        for (variable, value) in environment {
            if variable == "DATABASE_URL"
                || NOT_SETTINGS.contains(&variable.as_str())
                || variable.starts_with(FOR_TESTS)
            {
                continue;
            }
            let origin = Origin::Environment(variable.clone());
            let setting = SETTINGS.iter().find(|setting| setting.variable() == *variable);
            let setting = setting.ok_or_else(|| unknown(variable, origin.clone()))?;
            self.0.insert(setting.key, (value.clone(), origin));
        }
        Ok(())
    }

    fn put_flags(&mut self, flags: &Flags) {
        for (key, value) in &flags.values {
            self.0.insert(key, (value.clone(), Origin::Flag));
        }
    }

    /// The value of `key` as it was written; an empty one counts as none.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|(value, _)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(super) fn optional<T: FromStr<Err: ToString>>(
        &self,
        key: &'static str,
    ) -> Result<Option<T>, ConfigError> {
        self.parsed(key, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    pub(super) fn required<T: FromStr<Err: ToString>>(&self, key: &'static str) -> Result<T, ConfigError> {
        self.optional(key)?.ok_or_else(|| self.invalid(key, "it must be set".to_owned()))
    }

    pub(super) fn checked<T: FromStr<Err: ToString>>(
        &self,
        key: &'static str,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> Result<Option<T>, ConfigError> {
        let value = self.optional(key)?;
        value.as_ref().map_or(Ok(()), check).map_err(|reason| self.invalid(key, reason))?;
        Ok(value)
    }

    pub(super) fn parsed<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        self.text(key).map(parse).transpose().map_err(|reason| self.invalid(key, reason))
    }

    fn invalid(&self, key: &'static str, reason: String) -> ConfigError {
        let (value, origin) = self.0.get(key).cloned().unwrap_or((String::new(), Origin::Default));
        let shown = Setting::find(key).map_or(Shown::Secret, |setting| setting.shown);
        ConfigError::Invalid { key, value: masked(&value, shown), origin, reason }
    }

    /// Where the value of `key` comes from.
    pub fn origin(&self, key: &str) -> Origin {
        self.0.get(key).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// Every setting as it may be shown: key, value with secrets masked, origin.
    pub fn shown(&self) -> impl Iterator<Item = (&'static str, Option<String>, Origin)> {
        SETTINGS.iter().map(|setting| match self.0.get(setting.key) {
            Some((value, origin)) => (setting.key, Some(masked(value, setting.shown)), origin.clone()),
            None => (setting.key, None, Origin::Default),
        })
    }
}

fn unknown(key: &str, origin: Origin) -> ConfigError {
    let bare = key.trim_start_matches("ALMANAC_").to_lowercase();
    let last = bare.rsplit('.').next().unwrap_or_default();
    let alike = |known: &str| {
        let known_last = known.rsplit('.').next().unwrap_or_default();
        strsim::jaro_winkler(known, &bare).max(strsim::jaro_winkler(known_last, last))
    };
    let nearest = SETTINGS.iter().map(|setting| setting.key).max_by(|a, b| alike(a).total_cmp(&alike(b)));
    let meant = nearest.filter(|known| alike(known) > 0.8);
    ConfigError::UnknownKey { key: key.to_owned(), origin, meant }
}

fn flattened(table: &toml::Table) -> Vec<(String, toml::Value)> {
    let mut flat = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) if !inner.is_empty() => {
                let below = flattened(inner).into_iter();
                flat.extend(below.map(|(rest, value)| (format!("{key}.{rest}"), value)));
            }
            value => flat.push((key.clone(), value.clone())),
        }
    }
    flat
}

fn written(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Datetime(moment) => Some(moment.to_string()),
        toml::Value::Array(items) => {
            items.iter().map(written).collect::<Option<Vec<_>>>().map(|all| all.join(","))
        }
        toml::Value::Table(_) => None,
    }
}

/// Names in a URL's query whose values are no secrets.
const HARMLESS: [&str; 8] = ["symbol", "s", "from", "to", "tls", "sslmode", "host", "interval"];

fn masked(value: &str, shown: Shown) -> String {
    match shown {
        Shown::Open => value.to_owned(),
        Shown::Secret => "***".to_owned(),
        Shown::UrlWithPassword => match Url::parse(value) {
            Ok(url) => without_secrets(value, &url),
            Err(_) => "***".to_owned(),
        },
    }
}

/// The URL as it was written, without whatever may be a password: in the authority or in the query.
fn without_secrets(written: &str, url: &Url) -> String {
    let (before, query) =
        written.split_once('?').map_or((written, None), |(before, query)| (before, Some(query)));
    let before = match (before.split_once("://"), url.password(), url.username()) {
        (Some((scheme, rest)), password, user) if password.is_some() || !user.is_empty() => {
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            let user = if password.is_some() { user } else { "***" };
            let password = if password.is_some() { ":***" } else { "" };
            format!("{scheme}://{user}{password}@{host}")
        }
        _ => before.to_owned(),
    };
    let Some(query) = query else { return before };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) if !HARMLESS.contains(&name) && !value.starts_with('{') => format!("{name}=***"),
        _ => pair.to_owned(),
    });
    format!("{before}?{}", pairs.collect::<Vec<_>>().join("&"))
}
