//! What an endpoint's URL may be. An integrator chooses it, and this service calls it from inside its operator's
//! network: without a guard anybody could knock on the operator's databases and metadata services.
//!
//! The text is checked when an endpoint is registered ([`check_url`]), and every address its name has is checked
//! again at each connection ([`super::resolver`]), because a name may mean something else by then.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// How far the dispatcher may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Public addresses over https.
    #[default]
    PublicHttps,
    /// Any address over http or https: for development only.
    Anywhere,
}

/// Why an endpoint's URL is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// It cannot be read.
    #[error("this is not a URL: give one like https://example.com/hooks")]
    Unreadable,
    /// It is longer than 2048 bytes.
    #[error("a URL has at most 2048 characters")]
    TooLong,
    /// It is not https.
    #[error("only https URLs are called")]
    NotHttps,
    /// It carries a name or password.
    #[error("a URL with a user name or password is not called: check the signature instead")]
    Userinfo,
    /// Its host ends with a dot.
    #[error("a host that ends with a dot is not called")]
    TrailingDot,
    /// Its host is a number, or an IPv4 address written in another way than a.b.c.d.
    #[error("an IPv4 address is written as four decimal numbers")]
    ObscureAddress,
    /// Its host is a name without a public meaning, such as `localhost`.
    #[error("the host is a name inside a private network")]
    PrivateName,
    /// Its host is, or a name of it leads to, an address that is not public.
    #[error("the address {0} is not public")]
    PrivateAddress(IpAddr),
}

/// Reads `text` and says whether it may be called at all. It asks no name server.
///
/// # Errors
/// [`UrlRefused`] with what to change.
pub fn check_url(text: &str, reach: Reach) -> Result<Url, UrlRefused> {
    if text.len() > 2048 {
        return Err(UrlRefused::TooLong);
    }
    // The parser drops tabs and line breaks and turns backslashes: two readers would see two URLs.
    if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f || byte == b'\\') {
        return Err(UrlRefused::Unreadable);
    }
    let url = Url::parse(text).map_err(|_| UrlRefused::Unreadable)?;
    match (url.scheme(), reach) {
        ("https", _) | ("http", Reach::Anywhere) => {}
        _ => return Err(UrlRefused::NotHttps),
    }
    if !url.username().is_empty() || url.password().is_some() || written_authority(text).contains('@') {
        return Err(UrlRefused::Userinfo);
    }
    let written = written_host(text);
    if written.ends_with('.') {
        return Err(UrlRefused::TrailingDot);
    }
    match url.host().ok_or(UrlRefused::Unreadable)? {
        // 2130706433, 0x7f.1 and 0177.0.0.1 all parse as 127.0.0.1; what is not written plainly is not called.
        Host::Ipv4(address) if written != address.to_string() => return Err(UrlRefused::ObscureAddress),
        Host::Ipv4(address) => check_address(IpAddr::V4(address), reach)?,
        Host::Ipv6(address) => check_address(IpAddr::V6(address), reach)?,
        Host::Domain(name) => check_name(name, reach)?,
    }
    Ok(url)
}

/// Says whether `address` may be connected to.
///
/// # Errors
/// [`UrlRefused::PrivateAddress`] when it may not.
pub fn check_address(address: IpAddr, reach: Reach) -> Result<(), UrlRefused> {
    let public = match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    };
    if public || reach == Reach::Anywhere { Ok(()) } else { Err(UrlRefused::PrivateAddress(address)) }
}

fn check_name(name: &str, reach: Reach) -> Result<(), UrlRefused> {
    const PRIVATE: [&str; 7] =
        [".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".in-addr.arpa"];
    let private = !name.contains('.') || PRIVATE.iter().any(|suffix| name.ends_with(suffix));
    if private && reach == Reach::PublicHttps { Err(UrlRefused::PrivateName) } else { Ok(()) }
}

/// The part between `//` and the path, as it was typed.
fn written_authority(text: &str) -> &str {
    let after_scheme = text.split_once(':').map_or("", |(_, rest)| rest).trim_start_matches('/');
    after_scheme.split(['/', '?', '#']).next().unwrap_or_default()
}

fn written_host(text: &str) -> &str {
    let authority = written_authority(text);
    if authority.starts_with('[') {
        return authority;
    }
    authority.split_once(':').map_or(authority, |(host, _)| host)
}

/// IPv4 without the special-purpose registry of IANA (RFC 6890 and later), and without the address at which Azure
/// serves its metadata.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    !matches!(
        (a, b, c, d),
        (0 | 10 | 127 | 224.., ..)
            | (100, 64..=127, ..)
            | (169, 254, ..)
            | (172, 16..=31, ..)
            | (192, 0, 0 | 2, _)
            | (192, 88, 99, _)
            | (192, 168, ..)
            | (198, 18 | 19, ..)
            | (198, 51, 100, _)
            | (203, 0, 113, _)
            | (168, 63, 129, 16)
    )
}

/// Only global unicast (`2000::/3`), and of it nothing that is reserved or that carries an IPv4 address inside: so
/// mapped (`::ffff:`), translated (`64:ff9b::`), local (`fc00::`, `fe80::`) and multicast addresses fall away.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let global = s[0] & 0xe000 == 0x2000;
    let protocol_assignments = s[0] == 0x2001 && s[1] < 0x0200; // 2001::/23, with Teredo and ORCHID
    let documentation = (s[0] == 0x2001 && s[1] == 0x0db8) || (s[0] == 0x3fff && s[1] < 0x1000); // 2001:db8::/32, 3fff::/20
    let six_to_four = s[0] == 0x2002;
    let isatap = s[4] & 0xfdff == 0 && s[5] == 0x5efe;
    global && !protocol_assignments && !documentation && !six_to_four && !isatap
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    const REFUSED: [&str; 63] = [
        // not https, not a URL
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "example.com",
        "https://",
        "https:///",
        "javascript:alert(1)",
        "https://exa mple.com/",
        "https://example.com\\@127.0.0.1/",
        "https://exam\tple.com/",
        "https://example.com/\r\nX-Injected: 1",
        // loopback, this host, private, link-local, CGNAT, metadata, multicast, reserved
        "https://127.0.0.1/",
        "https://127.255.255.254:8443/",
        "https://0.0.0.0/",
        "https://0.1.2.3/",
        "https://10.0.0.1/",
        "https://172.16.0.1/",
        "https://172.31.255.255/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://100.64.0.1/",
        "https://100.127.255.255/",
        "https://168.63.129.16/",
        "https://192.0.0.192/",
        "https://192.0.2.1/",
        "https://198.18.0.1/",
        "https://203.0.113.9/",
        "https://224.0.0.1/",
        "https://239.255.255.250/",
        "https://240.0.0.1/",
        "https://255.255.255.255/",
        // IPv6: loopback, unspecified, mapped, translated, 6to4, Teredo, unique-local, link-local, multicast, metadata
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:8.8.8.8]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[64:ff9b:1::a00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[2001:0:4136:e378::]/",
        "https://[fc00::1]/",
        "https://[fd00:ec2::254]/",
        "https://[fe80::1]/",
        "https://[fec0::1]/",
        "https://[ff02::1]/",
        "https://[2001:db8::1]/",
        "https://[3fff:fff::1]/",
        "https://[::7f00:1]/",
        "https://[2a00:1450::200:5efe:7f00:1]/",
        // IPv4 in disguise: decimal, hexadecimal, octal, short, full-width
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://134744072/",
        "https://１２７.0.0.1/",
        // userinfo, trailing dots, private names
        "https://user@example.com/",
        "https://:@example.com/",
        "https://example.com./",
        "https://8.8.8.8./",
        "https://localhost/",
        "https://metadata.google.internal/",
        "https://db.local:5432/",
    ];

    #[test]
    fn fault_39_urls_that_lead_inside_are_refused() {
        for url in REFUSED {
            assert!(check_url(url, Reach::PublicHttps).is_err(), "{url} was let through");
        }
    }

    #[test]
    fn fault_39_each_disguise_is_called_by_its_name() {
        let refused = |url| check_url(url, Reach::PublicHttps).unwrap_err();
        assert_eq!(refused("https://134744072/"), UrlRefused::ObscureAddress);
        assert_eq!(refused("https://user@example.com/"), UrlRefused::Userinfo);
        assert_eq!(refused("https://8.8.8.8./"), UrlRefused::TrailingDot);
        assert_eq!(refused("https://localhost/"), UrlRefused::PrivateName);
        assert_eq!(refused("https://10.1.2.3/"), UrlRefused::PrivateAddress([10, 1, 2, 3].into()));
        assert_eq!(refused(&format!("https://example.com/{}", "a".repeat(2048))), UrlRefused::TooLong);
    }

    #[test]
    fn public_urls_are_called() {
        for url in [
            "https://example.com/hooks?key=1",
            "https://Example.com:8443/",
            "https://bücher.example/",
            "https://8.8.8.8/",
            "https://8.8.8.8:443/x",
            "https://172.32.0.1/",
            "https://100.128.0.1/",
            "https://[2606:4700::1111]/",
            "HTTPS://example.com",
        ] {
            assert!(check_url(url, Reach::PublicHttps).is_ok(), "{url} was refused");
        }
    }

    #[test]
    fn in_development_anything_reachable_is_called_but_disguises_are_not() {
        assert!(check_url("http://127.0.0.1:9000/hook", Reach::Anywhere).is_ok());
        assert!(check_url("http://localhost/", Reach::Anywhere).is_ok());
        assert_eq!(check_url("http://2130706433/", Reach::Anywhere), Err(UrlRefused::ObscureAddress));
        assert_eq!(check_url("http://a:b@localhost/", Reach::Anywhere), Err(UrlRefused::Userinfo));
    }
}
