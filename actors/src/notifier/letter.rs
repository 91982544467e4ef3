//! One mail as a message of the internet (RFC 5322): its headers and its two bodies.

use std::time::SystemTime;

use almanac_domain::values::Session;
use chrono::{DateTime, Utc};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, MultiPartKind, SinglePart};
use lettre::{Address, Message};
use url::Url;

/// A mail that is ready to go.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) message_id: String,
    pub(super) to: Address,
    pub(super) subject: String,
    pub(super) html: String,
    pub(super) text: String,
    pub(super) at: DateTime<Utc>,
    pub(super) session: Option<Session>,
    pub(super) unsubscribe: Option<Url>,
}

/// Why a mail cannot be written; trying again would not help.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritable {
    /// Somebody tries to add headers of their own.
    #[error("the header {0} would hold a line break")]
    LineBreak(&'static str),
    /// The message cannot be put together.
    #[error("the mail cannot be put together")]
    Message(#[from] lettre::error::Error),
}

impl Letter {
    /// The message as it goes out. The same letter is the same bytes, so that a repetition is recognised.
    pub(super) fn message(&self, from: &Mailbox) -> Result<Message, Unwritable> {
        let from_name = from.name.as_deref().unwrap_or_default();
        for (header, value) in
            [("From", from_name), ("Subject", &self.subject), ("Message-ID", &self.message_id)]
        {
            if value.chars().any(char::is_control) {
                return Err(Unwritable::LineBreak(header));
            }
        }
        let mut message = Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, self.to.clone()))
            .subject(&self.subject)
            .message_id(Some(bracketed(&self.message_id)))
            .date(SystemTime::from(self.at))
            .raw_header(verbatim(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated"));
        if let Some(url) = &self.unsubscribe {
            // A URL in its parsed form is ASCII without spaces and breaks; encoding it as words would spoil it.
            message = message
                .raw_header(verbatim(HeaderName::new_from_ascii_str("List-Unsubscribe"), &format!("<{url}>")))
                .raw_header(verbatim(
                    HeaderName::new_from_ascii_str("List-Unsubscribe-Post"),
                    "List-Unsubscribe=One-Click",
                ));
        }
        let parts = MultiPart::builder()
            .kind(MultiPartKind::Alternative)
            .boundary(self.boundary())
            .singlepart(SinglePart::plain(self.text.clone()))
            .singlepart(SinglePart::html(self.html.clone()));
        Ok(message.multipart(parts)?)
    }

    /// A boundary that follows from the message's id and stands in no body, which is encoded line by line.
    fn boundary(&self) -> String {
        let id: String = self.message_id.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
        format!("=_almanac_{id}")
    }
}

fn bracketed(message_id: &str) -> String {
    format!("<{}>", message_id.trim_start_matches('<').trim_end_matches('>'))
}

fn verbatim(name: HeaderName, value: &str) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(name, value.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::super::address::{mailable, sender};
    use super::*;

    fn letter() -> Letter {
        Letter {
            message_id: "abc@almanac".into(),
            to: mailable("ada@example.com").unwrap(),
            subject: "Forecasts for 4 March: Ünïcode & more".into(),
            html: "<p>ä</p>".into(),
            text: "ä\n".into(),
            at: DateTime::UNIX_EPOCH,
            session: None,
            unsubscribe: Some("https://almanac.example/api/v1/unsubscribe?token=abc.def".parse().unwrap()),
        }
    }

    fn from() -> Mailbox {
        sender("Almanac <almanac@example.com>").unwrap()
    }

    #[test]
    fn the_same_letter_is_the_same_bytes() {
        let bytes = || letter().message(&from()).unwrap().formatted();
        assert_eq!(bytes(), bytes());
        let text = String::from_utf8(bytes()).unwrap();
        assert!(text.contains("Message-ID: <abc@almanac>\r\n"), "{text}");
        assert!(text.contains("Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"), "{text}");
    }

    #[test]
    fn a_mail_client_finds_the_one_click_link() {
        let text = String::from_utf8(letter().message(&from()).unwrap().formatted()).unwrap();
        let link = "List-Unsubscribe: <https://almanac.example/api/v1/unsubscribe?token=abc.def>\r\n";
        assert!(text.contains(link), "{text}");
        assert!(text.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"), "{text}");
    }

    #[test]
    fn fault_45_a_line_break_in_any_header_is_refused() {
        let broken = "x\r\nBcc: eve@example.com";
        let mut subject = letter();
        subject.subject = broken.into();
        assert!(matches!(subject.message(&from()), Err(Unwritable::LineBreak("Subject"))));
        let mut id = letter();
        id.message_id = broken.into();
        assert!(matches!(id.message(&from()), Err(Unwritable::LineBreak("Message-ID"))));
        let mut named = from();
        named.name = Some(broken.into());
        assert!(matches!(letter().message(&named), Err(Unwritable::LineBreak("From"))));
    }
}
