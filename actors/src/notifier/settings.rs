//! How mails leave.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lettre::Address;
use lettre::message::Mailbox;
use url::Url;

use super::smtp::SmtpUrl;
use super::unsubscribe::LinkSecret;

/// Where mails go.
#[derive(Debug, Clone)]
pub enum MailTransport {
    /// To a mail server.
    Smtp(SmtpUrl),
    /// Into a folder, as `.eml` files that go nowhere.
    Folder(PathBuf),
}

impl fmt::Display for MailTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Smtp(url) => write!(f, "smtp {url}"),
            Self::Folder(path) => write!(f, "folder {}", path.display()),
        }
    }
}

/// How mails leave.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// Where they go.
    pub transport: MailTransport,
    /// Whom they come from: see [`super::sender`].
    pub from: Mailbox,
    /// Where the pages of this service are reached from outside.
    pub public_url: Url,
    /// What signs the links that stop mails; without it mails carry none.
    pub link_secret: Option<LinkSecret>,
    /// How long handing over one mail may take.
    pub patience: Duration,
    /// How long a claimed mail is left to the sender that claimed it; longer than [`MailSettings::patience`].
    pub lease: Duration,
}

impl Default for MailSettings {
    #[allow(clippy::expect_used, reason = "the literals are tested below")]
    fn default() -> Self {
        Self {
            transport: MailTransport::Folder(PathBuf::from("data/outbox")),
            from: Mailbox::new(
                Some("Almanac".to_owned()),
                Address::new("almanac", "localhost").expect("an address"),
            ),
            public_url: Url::parse("http://127.0.0.1:8080/").expect("a URL"),
            link_secret: None,
            patience: Duration::from_secs(45),
            lease: Duration::from_secs(90),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_mails_lie_in_a_folder() {
        let settings = MailSettings::default();
        assert_eq!(settings.transport.to_string(), "folder data/outbox");
        assert_eq!(settings.from.to_string(), "Almanac <almanac@localhost>");
    }
}
