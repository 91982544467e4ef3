//! Which addresses are written to, and from.

use lettre::Address;
use lettre::message::Mailbox;

/// Why an address is not written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefused {
    /// It is no address.
    #[error("this is not an e-mail address: give one like name@example.com")]
    Unreadable,
    /// It is longer than a mail server takes (RFC 5321, section 4.5.3.1).
    #[error("an e-mail address has at most 254 characters")]
    TooLong,
    /// It holds letters that look like others, such as a Cyrillic `а`.
    #[error(
        "an e-mail address is written in plain Latin letters; write a domain of another script as xn--..."
    )]
    LookAlike,
    /// It holds a line break or another control character.
    #[error("an e-mail address holds no control characters")]
    ControlCharacter,
}

/// Reads an e-mail address that mail may be sent to.
///
/// Two addresses that look the same are the same: everything beyond ASCII is refused, and so are quoted names,
/// comments and addresses in brackets, which few people have and many attacks use.
///
/// # Errors
/// [`AddressRefused`] with what to change.
pub fn mailable(text: &str) -> Result<Address, AddressRefused> {
    if text.chars().any(char::is_control) {
        return Err(AddressRefused::ControlCharacter);
    }
    if !text.is_ascii() {
        return Err(AddressRefused::LookAlike);
    }
    if text.len() > 254 {
        return Err(AddressRefused::TooLong);
    }
    let address: Address = text.parse().map_err(|_| AddressRefused::Unreadable)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let domain = address.domain();
    let is_name = domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
        && !domain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if address.user().bytes().all(plain) && is_name { Ok(address) } else { Err(AddressRefused::Unreadable) }
}

/// Reads a sender such as `Almanac <almanac@example.com>`.
///
/// # Errors
/// [`AddressRefused`] with what to change.
pub fn sender(text: &str) -> Result<Mailbox, AddressRefused> {
    if text.chars().any(char::is_control) {
        return Err(AddressRefused::ControlCharacter);
    }
    let mailbox: Mailbox = text.parse().map_err(|_| AddressRefused::Unreadable)?;
    mailable(mailbox.email.as_ref())?;
    Ok(mailbox)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn ordinary_addresses_are_written_to() {
        for address in [
            "ada@example.com",
            "a.b+stocks@mail.example.co.uk",
            "o'neil@xn--bcher-kva.example",
            "root@localhost",
        ] {
            assert_eq!(mailable(address).map(|read| read.to_string()).as_deref(), Ok(address));
        }
    }

    #[test]
    fn fault_45_an_address_with_a_line_break_is_refused() {
        for address in [
            "ada@example.com\r\nBcc: eve@example.com",
            "ada\n@example.com",
            "ada@example.com\r",
            "\"a\r\nb\"@example.com",
            "ada@example.com\0",
        ] {
            assert_eq!(mailable(address), Err(AddressRefused::ControlCharacter), "{address:?}");
        }
        assert_eq!(
            sender("Ada\r\nBcc: eve@example.com <ada@example.com>"),
            Err(AddressRefused::ControlCharacter)
        );
    }

    #[test]
    fn fault_45_an_address_that_looks_like_another_is_refused() {
        for address in [
            "аda@example.com",
            "ada@exаmple.com",
            "ada＠example.com",
            "ada@example。com",
            "ada\u{200b}@example.com",
        ] {
            assert_eq!(mailable(address), Err(AddressRefused::LookAlike), "{address:?}");
        }
    }

    #[test]
    fn what_is_no_single_plain_address_is_refused() {
        for address in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@@example.com",
            "ada@example.com,eve@example.com",
            "Ada <ada@example.com>",
            "<ada@example.com>",
            "ada@[127.0.0.1]",
            "ada@127.0.0.1",
            "\"a b\"@example.com",
            "ada(comment)@example.com",
            "ada @example.com",
            "ada@example..com",
            "-oQ/tmp@-example.com",
        ] {
            assert_eq!(mailable(address), Err(AddressRefused::Unreadable), "{address:?}");
        }
        let long = format!("ada@{}example", "abcdefghi.".repeat(25));
        assert_eq!(mailable(&long), Err(AddressRefused::TooLong));
    }

    #[test]
    fn a_sender_has_a_name_or_not() {
        assert_eq!(sender("Almanac <almanac@example.com>").unwrap().name.as_deref(), Some("Almanac"));
        assert_eq!(sender("almanac@example.com").unwrap().name, None);
        assert_eq!(sender("Almanac <almanac>"), Err(AddressRefused::Unreadable));
    }
}
