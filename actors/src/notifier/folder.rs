//! Mails that go nowhere: without a mail server each is written to a folder, where the demo shows it.
//!
//! The `.eml` is what would have been sent; the `.json` beside it holds the same in pieces, so that showing it needs
//! no parser of mail.

use std::cmp::Reverse;
use std::io::{self, ErrorKind};
use std::path::Path;

use almanac_domain::values::Session;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::fs;
use uuid::Uuid;

use super::letter::Letter;

/// A mail that lies in the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMail {
    /// Its identity, which follows from its Message-ID.
    pub id: Uuid,
    /// Its Message-ID.
    pub message_id: String,
    /// Its subject.
    pub subject: String,
    /// The address it was written to.
    pub to: String,
    /// When it was written, in the service's time.
    pub sent_at: DateTime<Utc>,
    /// The session it speaks of.
    pub session: Option<Session>,
    /// Its body as HTML.
    pub html: String,
    /// Its body as text.
    pub text: String,
}

/// The mails in `folder` to `address`, newest first; none when there is no such folder.
///
/// # Errors
/// When the folder or a mail in it cannot be read.
pub async fn read_mails(folder: &Path, address: &str) -> io::Result<Vec<StoredMail>> {
    let mut entries = match fs::read_dir(folder).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut mails = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let mail: StoredMail = match serde_json::from_slice(&fs::read(&path).await?) {
                Ok(mail) => mail,
                Err(error) => {
                    tracing::warn!(%error, path = %path.display(), "this mail cannot be read");
                    continue;
                }
            };
            if mail.to.eq_ignore_ascii_case(address) {
                mails.push(mail);
            }
        }
    }
    mails.sort_by_key(|mail| Reverse((mail.sent_at, mail.id)));
    Ok(mails)
}

/// Deletes the mails in `folder` to `address`, for an account that is erased. Returns how many there were.
///
/// # Errors
/// When the folder cannot be read or a mail in it cannot be deleted.
pub async fn forget_mails(folder: &Path, address: &str) -> io::Result<usize> {
    let mails = read_mails(folder, address).await?;
    for mail in &mails {
        let name = file_name(&mail.message_id);
        for extension in ["eml", "json"] {
            match fs::remove_file(folder.join(format!("{name}.{extension}"))).await {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(mails.len())
}

/// Writes `letter` and its bytes; a repetition replaces itself.
pub(super) async fn write(folder: &Path, letter: &Letter, message: &[u8]) -> io::Result<()> {
    let stored = StoredMail {
        id: Uuid::new_v5(&Uuid::NAMESPACE_OID, letter.message_id.as_bytes()),
        message_id: letter.message_id.clone(),
        subject: letter.subject.clone(),
        to: letter.to.to_string(),
        sent_at: letter.at,
        session: letter.session,
        html: letter.html.clone(),
        text: letter.text.clone(),
    };
    fs::create_dir_all(folder).await?;
    let name = file_name(&letter.message_id);
    replace(&folder.join(format!("{name}.eml")), message).await?;
    replace(&folder.join(format!("{name}.json")), &serde_json::to_vec_pretty(&stored)?).await
}

/// Writes beside the place and renames, so that a reader sees the whole file or none.
async fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("part");
    fs::write(&beside, bytes).await?;
    fs::rename(&beside, path).await
}

/// The Message-ID without what a file's name may not hold.
fn file_name(message_id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "@-_".contains(c) { c } else { '_' };
    message_id.trim_matches(['<', '>']).chars().take(150).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_leads_nowhere_else() {
        assert_eq!(file_name("<abc-1@almanac>"), "abc-1@almanac");
        assert_eq!(file_name("../../etc/passwd"), "______etc_passwd");
    }
}
