//! Who is let near the agents' interface in which part: proxies by their network, pages by their origin.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Deserialize;

use super::value::Rule;

/// A network of addresses, or one address.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// Whether `address` is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u32::from(own) ^ u32::from(other)).leading_zeros() >= self.prefix
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (u128::from(own) ^ u128::from(other)).leading_zeros() >= self.prefix
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = Rule;

    fn from_str(text: &str) -> Result<Self, Rule> {
        const RULE: Rule = Cow::Borrowed(
            "must be IP addresses or networks, such as 10.0.0.5, 10.0.0.0/8 or 2001:db8::/32",
        );
        const HOST: Rule = Cow::Borrowed(
            "must be networks without a host: no bit of the address is set behind the prefix",
        );
        const ALL: Rule = Cow::Borrowed("must not hold every address: then any client is believed");
        let (address, prefix) = text
            .split_once('/')
            .map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_error| RULE)?;
        // One that is mapped into IPv6 is seen as what it is.
        if address.to_canonical() != address {
            return Err(RULE);
        }
        let (bits, trailing_zeros) = match address {
            IpAddr::V4(address) => (32, u32::from(address).trailing_zeros()),
            IpAddr::V6(address) => (128, u128::from(address).trailing_zeros()),
        };
        let prefix: u32 = match prefix {
            None => bits,
            Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().map_err(|_error| RULE)?
            }
            Some(_) => return Err(RULE),
        };
        match prefix {
            0 => Err(ALL),
            _ if prefix > bits => Err(RULE),
            _ if trailing_zeros < bits - prefix => Err(HOST),
            _ => Ok(Self { address, prefix }),
        }
    }
}

impl TryFrom<String> for Network {
    type Error = Rule;

    fn try_from(text: String) -> Result<Self, Rule> {
        text.parse()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The header in which proxies name the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, what most proxies write.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ForwardedHeader {
    pub(super) fn parse(text: &str) -> Result<Self, Rule> {
        match text {
            "x-forwarded-for" => Ok(Self::XForwardedFor),
            "forwarded" => Ok(Self::Forwarded),
            _ => Err("must be x-forwarded-for or forwarded".into()),
        }
    }
}

/// Where a web page comes from, as browsers write it (RFC 6454, section 6.2).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(String);

impl Origin {
    /// The origin, as browsers write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Origin {
    type Error = Rule;

    fn try_from(text: String) -> Result<Self, Rule> {
        const RULE: Rule = Cow::Borrowed(
            "must be origins as browsers write them, such as https://app.example.com: scheme and host in \
             lower case, the port unless it is the scheme's own, and nothing after it",
        );
        let (rest, own_port) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (rest, ":443"),
            (None, Some(rest)) => (rest, ":80"),
            (None, None) => return Err(RULE),
        };
        // The authority alone parses as one; a path, a user or a capital letter does not belong to it.
        let is_plain =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._:[]".contains(&b);
        let is_authority = rest.bytes().all(is_plain)
            && !rest.starts_with(':')
            && !rest.ends_with(':')
            && rest.parse::<http::uri::Authority>().is_ok();
        if !is_authority || rest.ends_with(own_port) {
            return Err(RULE);
        }
        Ok(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_what_its_prefix_says() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.0.0.5", "10.0.0.5", "10.0.0.6"),
            ("192.0.2.128/25", "192.0.2.255", "192.0.2.127"),
            ("128.0.0.0/1", "255.0.0.1", "127.0.0.1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
            ("127.0.0.0/8", "::ffff:127.0.0.1", "::1"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{network:?}");
            assert!(!network.contains(outside.parse().unwrap()), "{network:?}");
        }
        for bad in [
            "",
            "proxy.example",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.1/8",
            "10.0.0.0/8/8",
            "0.0.0.0/0",
            "::/0",
            "::/129",
            "::ffff:10.0.0.0/104",
            "10.0.0.0/99999999999",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_origin_is_spelled_as_browsers_do() {
        let origin = |text: &str| Origin::try_from(text.to_owned());
        for good in [
            "https://app.example.com",
            "https://app.example.com:8443",
            "http://localhost:3000",
            "http://127.0.0.1:8080",
            "https://[2001:db8::1]:8443",
            "https://xn--bcher-kva.example",
        ] {
            assert!(origin(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "*",
            "null",
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://App.example.com",
            "HTTPS://app.example.com",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "https://app.example.com:",
            "https://:8443",
            "https://*.example.com",
            "https://u@app.example.com",
            "https://app.example.com?x",
            "ftp://app.example.com",
        ] {
            assert!(origin(bad).is_err(), "{bad:?}");
        }
    }
}
