#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn load(
    file: &str,
    environment: &[(&str, &str)],
    flags: Vec<(&'static str, &str)>,
) -> Result<Effective, ConfigError> {
    let path = std::env::temp_dir()
        .join(format!("almanac-config-{}.toml", hex::encode(file_name(file, environment))));
    std::fs::write(&path, file).unwrap();
    let flags = Flags {
        config: Some(path.clone()),
        values: flags.into_iter().map(|(k, v)| (k, v.to_owned())).collect(),
    };
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let loaded = Config::load(&flags, environment).map(|(_, effective)| effective);
    std::fs::remove_file(path).unwrap();
    loaded
}

fn file_name(file: &str, environment: &[(&str, &str)]) -> [u8; 8] {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("{file}{environment:?}{}", std::process::id()));
    let mut name = [0; 8];
    name.copy_from_slice(&digest[..8]);
    name
}

#[test]
fn a_later_layer_covers_an_earlier_one() {
    let file = "retrain_every = 5\nlisten = \"127.0.0.1:1\"\nmodel = \"file\"\n";
    let environment = [("ALMANAC_LISTEN", "127.0.0.1:2"), ("ALMANAC_MODEL", "environment")];
    let effective = load(file, &environment, vec![("listen", "127.0.0.1:3")]).unwrap();
    assert_eq!(effective.text("retrain_every"), Some("5"));
    assert_eq!(effective.text("model"), Some("environment"));
    assert_eq!(effective.text("listen"), Some("127.0.0.1:3"));
    assert_eq!(effective.text("exchange"), Some("XNYS"));
}

#[test]
fn an_unknown_key_is_refused_by_name_in_the_file_and_in_the_environment() {
    let error = load("[smtp]\nurll = \"smtp://localhost\"\n", &[], vec![]).unwrap_err();
    let ConfigError::UnknownKey { key, meant, .. } = error else { panic!("{error}") };
    assert_eq!(key, "smtp.urll");
    assert!(meant.is_some());

    let error = load("", &[("ALMANAC_LISTENS", "127.0.0.1:1")], vec![]).unwrap_err();
    assert!(error.to_string().starts_with("there is no setting `ALMANAC_LISTENS`"), "{error}");
    assert!(error.to_string().ends_with("is `listen` meant?"), "{error}");
}

#[test]
fn a_value_that_cannot_be_is_refused_with_its_key_and_origin() {
    for (file, key) in [
        ("listen = \"8080\"", "listen"),
        ("mode = \"real\"", "mode"),
        ("exchange = \"nyse\"", "exchange"),
        ("retrain_every = \"often\"", "retrain_every"),
        ("family = \"prophet\"", "family"),
        ("feature_set = \"all\"", "feature_set"),
        ("promotion = \"always\"", "promotion"),
        ("[trial]\nsignificance = 0.6", "trial.significance"),
        ("[watch]\ncoverage = 80", "watch.coverage"),
        ("[watch]\nwindow = 0", "watch.window"),
        ("expire_after = 0", "expire_after"),
        ("[log]\norigin = \"a b\"", "log.origin"),
        ("[log]\ncheckpoint_every = \"5\"", "log.checkpoint_every"),
        ("[log]\ncheckpoint_every = \"0m\"", "log.checkpoint_every"),
        ("roles = [\"api\", \"king\"]", "roles"),
        ("admin_email = \"nobody\"", "admin_email"),
        ("[sources]\nhttp_template = \"https://example.com/daily.csv\"", "sources.http_template"),
    ] {
        let error = load(file, &[], vec![]).unwrap_err();
        let ConfigError::Invalid { key: named, origin, .. } = &error else { panic!("{error}") };
        assert_eq!(*named, key);
        assert!(matches!(origin, layers::Origin::File(_)), "{error}");
    }
}

#[test]
fn secrets_are_masked_where_the_configuration_is_shown() {
    let file = "database_url = \"postgres://almanac:hunter2@db/almanac\"\n[objects]\nsecret_access_key = \"hunter2\"\n\
                [smtp]\nurl = \"smtp://user:hunter2@mail:25\"\n\
                [sources]\nhttp_template = \"https://token-hunter2@prices/{symbol}?from={from}&key=hunter2\"\n";
    let effective = load(file, &[], vec![]).unwrap();
    let shown: Vec<String> = effective.shown().filter_map(|(_, value, _)| value).collect();
    assert!(shown.iter().any(|value| value.contains("almanac:***@db")));
    assert!(
        shown.iter().any(|value| value == "https://***@prices/{symbol}?from={from}&key=***"),
        "{shown:?}"
    );
    assert!(!shown.iter().any(|value| value.contains("hunter2")), "{shown:?}");
}

#[test]
fn the_defaults_are_a_configuration() {
    let config = Config::in_folder("somewhere").unwrap();
    assert_eq!(config.data_dir, PathBuf::from("somewhere"));
    assert_eq!(config.roles.len(), 2);
    assert!(config.smtp_url.is_none());
}

#[test]
fn the_database_of_the_usual_variable_is_used_unless_our_own_names_another() {
    let usual = load("", &[("DATABASE_URL", "postgres://a/b")], vec![]).unwrap();
    assert_eq!(usual.text("database_url"), Some("postgres://a/b"));
    let both = [("DATABASE_URL", "postgres://a/b"), ("ALMANAC_DATABASE_URL", "postgres://c/d")];
    assert_eq!(load("", &both, vec![]).unwrap().text("database_url"), Some("postgres://c/d"));
}
