//! A mail server, named by one URL, and what its answers mean.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::{Error as SmtpError, PoolConfig};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use url::Url;

use crate::trade::TradeError;

/// Codes that begin with a five and yet speak of our sign-in, not of the mail: the operator mends it, the mail waits
/// (RFC 4954, section 6).
const OUR_FAULT: [u16; 4] = [530, 534, 535, 538];

/// When the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    /// From the first byte.
    Wrapped,
    /// After STARTTLS, or no mail is sent.
    Required,
    /// After STARTTLS where the server offers it.
    Opportunistic,
    /// Never.
    None,
}

/// Why a text names no mail server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SmtpUrlRefused {
    /// It is no URL of a mail server.
    #[error("a mail server is written smtp://user:password@host:port or smtps://...")]
    Unreadable,
    /// Its `tls` is none of the three words.
    #[error("`tls` is `required`, `opportunistic` or `none`")]
    Tls,
}

/// Names a mail server: `smtp://user:password@host:port?tls=required|opportunistic|none` or `smtps://...`.
///
/// Without `tls` a connection that carries a password must be encrypted, another one is encrypted where possible.
/// `Debug` and `Display` hide the password.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpUrl {
    host: String,
    port: u16,
    encryption: Encryption,
    credentials: Option<Credentials>,
}

impl FromStr for SmtpUrl {
    type Err = SmtpUrlRefused;

    fn from_str(text: &str) -> Result<Self, SmtpUrlRefused> {
        let url = Url::parse(text).map_err(|_| SmtpUrlRefused::Unreadable)?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(SmtpUrlRefused::Unreadable)?;
        let decoded = |part: &str| {
            let query = format!("x={}", part.replace('+', "%2B").replace('&', "%26"));
            url::form_urlencoded::parse(query.as_bytes()).next().map(|(_, value)| value.into_owned())
        };
        let credentials = match url.password() {
            Some(password) => decoded(url.username()).zip(decoded(password)).map(Credentials::from),
            None => None,
        };
        let asked = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value.into_owned());
        let (encryption, usual_port) = match (url.scheme(), asked.as_deref()) {
            ("smtps", None | Some("required")) => (Encryption::Wrapped, 465),
            ("smtp", Some("required")) => (Encryption::Required, 587),
            ("smtp", None) if credentials.is_some() => (Encryption::Required, 587),
            ("smtp", None | Some("opportunistic")) => (Encryption::Opportunistic, 25),
            ("smtp", Some("none")) => (Encryption::None, 25),
            ("smtp" | "smtps", Some(_)) => return Err(SmtpUrlRefused::Tls),
            _ => return Err(SmtpUrlRefused::Unreadable),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: url.port().unwrap_or(usual_port), encryption, credentials })
    }
}

impl fmt::Display for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ({:?})", self.host, self.port, self.encryption)
    }
}

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmtpUrl({self})")
    }
}

/// What became of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// The server, or the folder, has it.
    Taken,
    /// Not now: try again.
    Later(String),
    /// The server will never take it.
    Refused(String),
}

impl Fate {
    /// The same without the reader's address, which servers like to repeat and which lies in the vault alone.
    pub(super) fn without(self, address: &str) -> Self {
        let redacted = |said: String| {
            let mut words: Vec<&str> = said.split_inclusive(' ').collect();
            let lowered = address.to_ascii_lowercase();
            for word in &mut words {
                if word.to_ascii_lowercase().contains(&lowered) {
                    *word = "(address) ";
                }
            }
            words.concat().trim_end().to_owned()
        };
        match self {
            Self::Taken => Self::Taken,
            Self::Later(said) => Self::Later(redacted(said)),
            Self::Refused(said) => Self::Refused(redacted(said)),
        }
    }
}

/// A connection to a mail server; connections are kept for the next mail.
#[derive(Debug)]
pub(super) struct MailServer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    patience: Duration,
}

impl MailServer {
    pub(super) fn at(url: &SmtpUrl, patience: Duration) -> Result<Self, SmtpError> {
        let parameters = || TlsParameters::new(url.host.clone());
        let tls = match url.encryption {
            Encryption::Wrapped => Tls::Wrapper(parameters()?),
            Encryption::Required => Tls::Required(parameters()?),
            Encryption::Opportunistic => Tls::Opportunistic(parameters()?),
            Encryption::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&url.host)
            .port(url.port)
            .tls(tls)
            .timeout(Some(patience))
            .pool_config(PoolConfig::new().max_size(8));
        if let Some(credentials) = &url.credentials {
            builder = builder.credentials(credentials.clone());
        }
        Ok(Self { transport: builder.build(), patience })
    }

    pub(super) async fn send(&self, message: Message) -> Fate {
        match tokio::time::timeout(self.patience, self.transport.send(message)).await {
            Ok(Ok(_)) => Fate::Taken,
            Ok(Err(error)) => fate_of(error),
            Err(_) => Fate::Later("the mail server took too long".to_owned()),
        }
    }
}

fn fate_of(error: SmtpError) -> Fate {
    let ours = error.status().is_some_and(|code| OUR_FAULT.contains(&u16::from(code)));
    let for_good = error.is_permanent() && !ours;
    let said = TradeError::broken("the mail server did not take the mail")(error).in_full();
    if for_good { Fate::Refused(said) } else { Fate::Later(said) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn read(text: &str) -> SmtpUrl {
        text.parse().unwrap()
    }

    #[test]
    fn a_url_names_host_port_credentials_and_encryption() {
        let url = read("smtp://ada:p%40ss+word@mail.example:2525?tls=required");
        assert_eq!(url.to_string(), "mail.example:2525 (Required)");
        assert_eq!(url.credentials, Some(Credentials::new("ada".into(), "p@ss+word".into())));
        assert_eq!(read("smtps://mail.example").to_string(), "mail.example:465 (Wrapped)");
        assert_eq!(read("smtp://mail.example").to_string(), "mail.example:25 (Opportunistic)");
        assert_eq!(read("smtp://mail.example?tls=none").to_string(), "mail.example:25 (None)");
        assert_eq!(read("smtp://[::1]:25").to_string(), "::1:25 (Opportunistic)");
    }

    #[test]
    fn a_password_is_not_sent_in_the_clear_unless_somebody_says_so() {
        assert_eq!(read("smtp://ada:secret@mail.example").encryption, Encryption::Required);
        assert_eq!(read("smtp://ada:secret@mail.example?tls=none").encryption, Encryption::None);
        assert!(!format!("{:?}", read("smtp://ada:secret@mail.example")).contains("secret"));
    }

    #[test]
    fn what_names_no_mail_server_is_refused() {
        assert_eq!("mail.example".parse::<SmtpUrl>(), Err(SmtpUrlRefused::Unreadable));
        assert_eq!("http://mail.example".parse::<SmtpUrl>(), Err(SmtpUrlRefused::Unreadable));
        assert_eq!("smtp://".parse::<SmtpUrl>(), Err(SmtpUrlRefused::Unreadable));
        assert_eq!("smtp://mail.example?tls=maybe".parse::<SmtpUrl>(), Err(SmtpUrlRefused::Tls));
        assert_eq!("smtps://mail.example?tls=none".parse::<SmtpUrl>(), Err(SmtpUrlRefused::Tls));
    }
}
