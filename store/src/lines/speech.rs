//! What a server says, as far as a relay has to follow it: which session it is, and whether it has said all.
//!
//! A message is one byte for its kind, four for its length (they count themselves, not the kind) and the rest.
//! PostgreSQL 15 documentation, "Frontend/Backend Protocol", 55.7 Message Formats.

/// The bytes of a header, and of that of the message that holds the number of the session.
const HEADER: usize = 5;
const WITH_SESSION: usize = HEADER + 4;

/// Who speaks on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    /// Nobody has been given the line yet.
    NotYet,
    /// The process of the server with this number.
    Session(i32),
    /// What is said cannot be read.
    Unknown,
}

/// Follows one server from its first byte on.
#[derive(Debug, Default)]
pub(super) struct Speech {
    begun: bool,
    encrypted: bool,
    header: Vec<u8>,
    /// How much of the present message is still to come.
    rest: usize,
    session: Option<i32>,
    over: bool,
}

impl Speech {
    /// Follows the next bytes.
    pub fn hear(&mut self, mut bytes: &[u8]) {
        if !self.begun {
            self.begun = true;
            // The answer to whoever asks for encryption is a single byte, `S` or `N`. Otherwise `R` or `E` comes first.
            self.encrypted = bytes.first() == Some(&b'S');
            bytes = bytes.strip_prefix(b"N").unwrap_or(bytes);
        }
        while !bytes.is_empty() && !self.encrypted {
            let skipped = self.rest.min(bytes.len());
            self.rest -= skipped;
            bytes = &bytes[skipped..];
            let wanted = if self.header.first() == Some(&b'K') { WITH_SESSION } else { HEADER };
            let taken = (wanted - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            self.understand();
        }
    }

    fn understand(&mut self) {
        let number = |at: usize| -> Option<[u8; 4]> { self.header.get(at..at + 4)?.try_into().ok() };
        let (Some(&kind), Some(length)) = (self.header.first(), number(1)) else { return };
        let mut follows = (u32::from_be_bytes(length) as usize).saturating_sub(4);
        match kind {
            // The key of the session: its number, and a secret.
            b'K' => {
                let Some(session) = number(HEADER) else { return };
                self.session = Some(i32::from_be_bytes(session));
                follows = follows.saturating_sub(4);
            }
            // Ready for the next question.
            b'Z' => self.over = true,
            // A notification, a notice, a changed setting: they come at any time and answer nothing.
            b'A' | b'N' | b'S' => {}
            _ => self.over = false,
        }
        self.rest = follows;
        self.header.clear();
    }

    /// Who serves this line.
    pub fn speaker(&self) -> Speaker {
        match self.session {
            Some(session) => Speaker::Session(session),
            None if self.encrypted => Speaker::Unknown,
            None => Speaker::NotYet,
        }
    }

    /// Whether the last answer is whole.
    pub fn is_over(&self) -> bool {
        self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server says to whoever signs in: accepted, a setting, session 4711, ready.
    const WELCOME: &[u8] =
        b"R\0\0\0\x08\0\0\0\0S\0\0\0\x0ca\0b\0c\0d\0K\0\0\0\x0c\0\0\x12\x67\0\0\0\x01Z\0\0\0\x05I";

    fn heard(pieces: &[&[u8]]) -> Speech {
        let mut speech = Speech::default();
        for piece in pieces {
            speech.hear(piece);
        }
        speech
    }

    #[test]
    fn a_session_is_known_however_its_words_are_cut_into_pieces() {
        for size in 1..=WELCOME.len() {
            let pieces: Vec<&[u8]> = WELCOME.chunks(size).collect();
            let speech = heard(&pieces);
            assert_eq!(
                (speech.speaker(), speech.is_over()),
                (Speaker::Session(4711), true),
                "in pieces of {size}"
            );
        }
    }

    #[test]
    fn whoever_is_refused_encryption_is_followed_and_whoever_is_granted_it_is_not() {
        assert_eq!(heard(&[b"N"]).speaker(), Speaker::NotYet);
        assert_eq!(heard(&[b"N", WELCOME]).speaker(), Speaker::Session(4711));
        let speech = heard(&[b"S", WELCOME]);
        assert_eq!((speech.speaker(), speech.is_over()), (Speaker::Unknown, false));
    }

    #[test]
    fn an_answer_is_over_when_the_server_is_ready_and_not_before() {
        let mut speech = heard(&[WELCOME]);
        speech.hear(b"A\0\0\0\x0c\0\0\0\x01a\0b\0");
        assert!(speech.is_over(), "a notification begins no answer");
        speech.hear(b"D\0\0\0\x06\0\0");
        assert!(!speech.is_over(), "rows do");
        speech.hear(b"Z\0\0\0");
        assert!(!speech.is_over());
        speech.hear(b"\x05I");
        assert!(speech.is_over());
    }
}
