//! Takes a letter to where the settings say: a mail server or a folder.

use std::path::PathBuf;

use lettre::message::Mailbox;

use super::folder;
use super::letter::Letter;
use super::smtp::{Fate, MailServer};
use super::{MailSettings, MailTransport};
use crate::trade::TradeError;

pub(super) struct PostOffice {
    from: Mailbox,
    counter: Counter,
}

enum Counter {
    Server(MailServer),
    Folder(PathBuf),
}

impl PostOffice {
    pub(super) fn open(settings: &MailSettings) -> Result<Self, lettre::transport::smtp::Error> {
        let counter = match &settings.transport {
            MailTransport::Smtp(url) => Counter::Server(MailServer::at(url, settings.patience)?),
            MailTransport::Folder(path) => Counter::Folder(path.clone()),
        };
        Ok(Self { from: settings.from.clone(), counter })
    }

    pub(super) async fn send(&self, letter: &Letter) -> Fate {
        let message = match letter.message(&self.from) {
            Ok(message) => message,
            Err(error) => {
                return Fate::Refused(TradeError::broken("the mail cannot be written")(error).in_full());
            }
        };
        match &self.counter {
            Counter::Server(server) => server.send(message).await.without(letter.to.as_ref()),
            Counter::Folder(path) => match folder::write(path, letter, &message.formatted()).await {
                Ok(()) => Fate::Taken,
                Err(error) => {
                    Fate::Later(TradeError::broken("the folder did not take the mail")(error).in_full())
                }
            },
        }
    }
}
