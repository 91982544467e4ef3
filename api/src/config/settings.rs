//! Every setting: its key, its default, and whether it may be shown.

/// How much of a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// All of it.
    Open,
    /// A URL, without its password.
    UrlWithPassword,
    /// Nothing of it.
    Secret,
}

/// One setting. In the environment it is called `ALMANAC_` and its key in capitals, `.` written as `_`.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) default: Option<&'static str>,
    pub(super) shown: Shown,
}

const fn setting(key: &'static str, default: Option<&'static str>, shown: Shown) -> Setting {
    Setting { key, default, shown }
}

pub(super) const SETTINGS: &[Setting] = &[
    setting("data_dir", Some("./data"), Shown::Open),
    setting("listen", Some("127.0.0.1:8080"), Shown::Open),
    setting("database_url", None, Shown::UrlWithPassword),
    setting("roles", Some("api,worker"), Shown::Open),
    setting("mode", Some("live"), Shown::Open),
    setting("exchange", Some("XNYS"), Shown::Open),
    setting("model", Some("us-daily"), Shown::Open),
    setting("public_url", None, Shown::Open),
    setting("admin_email", Some("admin@example.com"), Shown::Open),
    setting("family", Some("ensemble"), Shown::Open),
    setting("feature_set", Some("wide"), Shown::Open),
    setting("retrain_every", Some("21"), Shown::Open),
    setting("promotion", Some("trial"), Shown::Open),
    setting("trial.decide_after", Some("60"), Shown::Open),
    setting("trial.latest", Some("100"), Shown::Open),
    setting("trial.significance", Some("0.05"), Shown::Open),
    setting("watch.age", Some("126"), Shown::Open),
    setting("watch.coverage", Some("0.1"), Shown::Open),
    setting("watch.skill", Some("0.02"), Shown::Open),
    setting("watch.features", Some("3"), Shown::Open),
    setting("watch.window", Some("40"), Shown::Open),
    setting("watch.pause", Some("10"), Shown::Open),
    setting("expire_after", Some("250"), Shown::Open),
    setting("objects.url", None, Shown::UrlWithPassword),
    setting("objects.endpoint", None, Shown::UrlWithPassword),
    setting("objects.region", None, Shown::Open),
    setting("objects.access_key_id", None, Shown::Open),
    setting("objects.secret_access_key", None, Shown::Secret),
    setting("sources.folder", None, Shown::Open),
    setting("sources.http_template", None, Shown::UrlWithPassword),
    setting("sources.http_symbols", None, Shown::Open),
    setting("sources.http_from", Some("2015-01-01"), Shown::Open),
    setting("smtp.url", None, Shown::UrlWithPassword),
    setting("smtp.from", Some("Almanac <almanac@example.com>"), Shown::Open),
    setting("webhooks.allow_private", Some("false"), Shown::Open),
    setting("log.key", None, Shown::Open),
    setting("log.origin", None, Shown::Open),
    setting("log.checkpoint_every", Some("5m"), Shown::Open),
];

/// Variables that begin with `ALMANAC_` and are no settings: the file's place, the log's filter, and what tests read.
pub(super) const NOT_SETTINGS: &[&str] =
    &["ALMANAC_CONFIG", "ALMANAC_FAILPOINTS", "ALMANAC_LOG", "ALMANAC_REAL_DATA", "ALMANAC_REFERENCE"];

/// Variables for tests begin with this and are no settings either.
pub(super) const FOR_TESTS: &str = "ALMANAC_TEST_";

impl Setting {
    pub(super) fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    pub(super) fn variable(&self) -> String {
        format!("ALMANAC_{}", self.key.replace('.', "_").to_uppercase())
    }
}
