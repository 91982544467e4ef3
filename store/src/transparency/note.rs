//! Signed notes: a short text with Ed25519 signatures under it (C2SP `signed-note`).
//!
//! The text ends with a line break, then comes an empty line, then one line for each signature: an em dash, the name
//! of the key, and in base64 the four bytes that identify the key before the signature itself. What is signed is the
//! text with its last line break.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::key::{KeyId, SigningKey, VerifierKey, is_key_name};

/// A note is short: a text beyond this is not read.
const MOST_BYTES: usize = 1_000_000;

/// More signatures than this are not read.
const MOST_SIGNATURES: usize = 100;

/// Between the text and the signatures: the line break that ends the text is counted to the text.
const SEPARATOR: &str = "\n\n";

const DASH: &str = "\u{2014} ";

/// Why a note is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteRefused {
    /// The text does not have the form of a signed note.
    #[error("this is not a signed note: {0}")]
    Malformed(&'static str),
    /// None of its signatures is by the key that counts.
    #[error("the note is not signed by {0}")]
    NotSignedBy(String),
    /// The signature names the key that counts but is not by it, or the text is not the one that was signed.
    #[error("the signature by {0} does not fit the text")]
    BadSignature(String),
}

/// A note as it was read; nothing of it is believed before [`Note::signed_by`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    name: String,
    key: KeyId,
    bytes: Vec<u8>,
}

/// Signs `text`, which must end with a line break.
///
/// # Errors
/// When the text could not be read back as it is.
pub fn sign(text: &str, key: &SigningKey) -> Result<String, NoteRefused> {
    check_text(text)?;
    let verifier = key.verifier();
    let signature = [&verifier.id()[..], &key.sign(text.as_bytes())].concat();
    Ok(format!("{text}\n{DASH}{} {}\n", verifier.name(), STANDARD.encode(signature)))
}

impl Note {
    /// Reads a note strictly.
    ///
    /// # Errors
    /// [`NoteRefused::Malformed`] when it deviates from the format.
    pub fn parse(note: &str) -> Result<Self, NoteRefused> {
        let refuse = |why| Err(NoteRefused::Malformed(why));
        if note.len() > MOST_BYTES {
            return refuse("it is too long");
        }
        // The last empty line: the text itself may hold others.
        let Some(end) = note.rfind(SEPARATOR) else { return refuse("there is no empty line in it") };
        let (text, lines) = (&note[..=end], &note[end + SEPARATOR.len()..]);
        check_text(text)?;
        let Some(lines) = lines.strip_suffix('\n') else {
            return refuse("the last signature has no line break");
        };
        let signatures = lines.split('\n').map(signature).collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > MOST_SIGNATURES {
            return refuse("it has too many signatures");
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text, if `key` has signed it. Signatures of others are passed over.
    ///
    /// # Errors
    /// When there is no signature by `key`, or a wrong one in its name.
    pub fn signed_by(&self, key: &VerifierKey) -> Result<&str, NoteRefused> {
        let mut by_key =
            self.signatures.iter().filter(|by| by.name == key.name() && by.key == key.id()).peekable();
        if by_key.peek().is_none() {
            return Err(NoteRefused::NotSignedBy(key.to_string()));
        }
        if by_key.all(|by| key.verifies(self.text.as_bytes(), &by.bytes)) {
            Ok(&self.text)
        } else {
            Err(NoteRefused::BadSignature(key.to_string()))
        }
    }

    /// The text, whoever has signed it: to look at, never to believe.
    pub fn unverified_text(&self) -> &str {
        &self.text
    }
}

fn check_text(text: &str) -> Result<(), NoteRefused> {
    if !text.ends_with('\n') {
        return Err(NoteRefused::Malformed("the text does not end with a line break"));
    }
    if text.chars().any(|c| c < ' ' && c != '\n') {
        return Err(NoteRefused::Malformed("there is a control character in the text"));
    }
    Ok(())
}

fn signature(line: &str) -> Result<Signature, NoteRefused> {
    let refuse = NoteRefused::Malformed;
    let rest = line.strip_prefix(DASH).ok_or(refuse("a signature does not begin with an em dash"))?;
    let (name, encoded) = rest.split_once(' ').ok_or(refuse("a signature has no name"))?;
    if !is_key_name(name) {
        return Err(refuse("the name of a signature cannot be one"));
    }
    let bytes = STANDARD.decode(encoded).map_err(|_| refuse("a signature is not base64"))?;
    match bytes.split_first_chunk::<4>() {
        Some((key, bytes)) if !bytes.is_empty() => {
            Ok(Signature { name: name.to_owned(), key: *key, bytes: bytes.to_vec() })
        }
        Some(_) | None => Err(refuse("a signature is too short")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The example of golang.org/x/mod/sumdb/note.
    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                        then you don't know what your problem is.\n";
    const SIGNED: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn example() -> String {
        format!("{TEXT}\n{SIGNED}")
    }

    #[test]
    fn the_example_of_the_go_package_verifies() {
        let note = Note::parse(&example()).unwrap();
        assert_eq!(note.signed_by(&PETER.parse().unwrap()), Ok(TEXT));
    }

    #[test]
    fn a_changed_text_or_signature_or_another_key_of_that_name_is_refused() {
        let key: VerifierKey = PETER.parse().unwrap();
        let changed = example().replace("the answer", "an answer");
        let refused = Err(NoteRefused::BadSignature(PETER.to_owned()));
        assert_eq!(Note::parse(&changed).unwrap().signed_by(&key), refused);
        let changed = example().replace("ZJkuBS9", "ZJkuBT9");
        assert_eq!(Note::parse(&changed).unwrap().signed_by(&key), refused);
        let other = SigningKey::from_seed("PeterNeumann", [7; 32]).unwrap().verifier().clone();
        let refused = Err(NoteRefused::NotSignedBy(other.to_string()));
        assert_eq!(Note::parse(&example()).unwrap().signed_by(&other), refused);
    }

    #[test]
    fn what_is_signed_here_reads_back_and_signatures_of_others_are_passed_over() {
        let [ours, theirs] = ["ours", "example.org/log"].map(made);
        let note = sign("a\n\nb\n", &ours).unwrap();
        assert_eq!(Note::parse(&note).unwrap().signed_by(ours.verifier()), Ok("a\n\nb\n"));
        let second = sign("a\n\nb\n", &theirs).unwrap();
        let both = format!("{note}{}", second.rsplit_once("\n\n").unwrap().1);
        assert_eq!(Note::parse(&both).unwrap().signed_by(ours.verifier()), Ok("a\n\nb\n"));
        assert_eq!(Note::parse(&both).unwrap().signed_by(theirs.verifier()), Ok("a\n\nb\n"));
    }

    fn made(name: &str) -> SigningKey {
        SigningKey::from_seed(name, [1; 32]).unwrap()
    }

    #[test]
    fn what_deviates_from_the_format_is_refused() {
        let good = example();
        for bad in [
            String::new(),
            TEXT.to_owned(),
            format!("{TEXT}\n"),
            good.trim_end().to_owned(),
            good.replace(DASH, "- "),
            good.replace(DASH, "\u{2014}"),
            good.replace("PeterNeumann x08", "Peter+Neumann x08"),
            good.replace("PeterNeumann x08", " x08"),
            good.replace("JnAM=", "JnAM"),
            good.replace("you think", "you\tthink"),
            format!("{TEXT}\n\u{2014} PeterNeumann AAAA\n"),
            format!("{good}\n"),
            format!("{good}x"),
            format!("\n{SIGNED}"),
            format!("{TEXT}\n{}", SIGNED.repeat(MOST_SIGNATURES + 1)),
        ] {
            assert!(matches!(Note::parse(&bad), Err(NoteRefused::Malformed(_))), "{bad:?}");
        }
        assert!(sign("no line break", &made("a")).is_err());
    }
}
