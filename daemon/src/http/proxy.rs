//! Where a request comes from: the peer, or whom a proxy that the configuration lists names.
//!
//! Every proxy writes at the right end of the header whom it heard, so the header is read from the
//! right: as long as the speaker is a listed proxy, its word counts. What stands further left was
//! written by someone unknown and is not looked at, however it looks. An entry that is no address ends
//! it too; then the request comes from the last proxy that is known.
//!
//! One header counts, the configured one. A proxy that writes one of the two mostly passes the other on
//! as it came, so whoever believed both would believe the client.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

use crate::config::{ForwardedHeader, Network};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who is behind which proxies.
#[derive(Debug, Clone)]
pub(super) struct Proxies {
    trusted: Vec<Network>,
    header: ForwardedHeader,
}

impl Proxies {
    /// Believes the proxies in `trusted` what they write into `header`.
    pub(super) const fn new(trusted: Vec<Network>, header: ForwardedHeader) -> Self {
        Self { trusted, header }
    }

    /// Where a request comes from that `peer` sent.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return client;
        }
        let name = match self.header {
            ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardedHeader::Forwarded => http::header::FORWARDED,
        };
        for line in headers.get_all(name).iter().rev() {
            for hop in hops(line.as_bytes()) {
                let Some(address) = self.address(hop) else {
                    return client;
                };
                client = address;
                if !self.trusts(client) {
                    return client;
                }
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// The address that an entry of the header names.
    fn address(&self, hop: &[u8]) -> Option<IpAddr> {
        let hop = str::from_utf8(hop).ok()?.trim();
        match self.header {
            ForwardedHeader::XForwardedFor => node(hop),
            ForwardedHeader::Forwarded => {
                let mut named = hop.split(';').filter_map(|pair| {
                    let (name, value) = pair.split_once('=')?;
                    name.trim()
                        .eq_ignore_ascii_case("for")
                        .then(|| value.trim())
                });
                let value = named.next().filter(|_| named.next().is_none())?;
                // An IPv6 address, or one with a port, has to be quoted (RFC 7239, section 6).
                let quoted = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
                node(quoted.unwrap_or(value))
            }
        }
    }
}

/// The entries of a header line, the last one first. A comma in quotation marks divides nothing.
///
/// From the right, so that a quotation mark which a client has left open does not swallow what the
/// proxies wrote after it. What they write has an even number of them.
fn hops(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    line.rsplit(move |byte| {
        is_quoted ^= *byte == b'"';
        *byte == b',' && !is_quoted
    })
}

/// An address as proxies write it: with a port or without, IPv6 in brackets or without.
fn node(text: &str) -> Option<IpAddr> {
    let address = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            is_port(port).then_some(())?;
            return Some(address.parse::<std::net::Ipv6Addr>().ok()?.to_canonical());
        }
        None => match text.split_once(':') {
            // More colons are those of an IPv6 address.
            Some((address, port)) if !port.contains(':') => {
                is_port(text.get(address.len()..)?).then_some(address)?
            }
            _ => text,
        },
    };
    Some(address.parse::<IpAddr>().ok()?.to_canonical())
}

/// Nothing, or a colon and a port; obfuscated ports (RFC 7239, section 6.3) begin with `_`.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|port| {
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
            !port.is_empty() && port.bytes().all(is_plain)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "10.0.0.1";

    fn client(header: ForwardedHeader, peer: &str, lines: &[(&'static str, &str)]) -> String {
        let trusted = ["10.0.0.0/8", "192.0.2.1", "fd00::/8"];
        let trusted = trusted.map(|it| it.parse().unwrap()).to_vec();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let proxies = Proxies::new(trusted, header);
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn x_forwarded_for_is_read_from_the_right_as_far_as_proxies_are_listed() {
        for (line, expected) in [
            ("198.51.100.7", "198.51.100.7"),
            ("198.51.100.7:4711", "198.51.100.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            // What a client writes itself stands left of what a proxy saw.
            ("10.9.9.9, 198.51.100.7", "198.51.100.7"),
            ("203.0.113.9, 198.51.100.7", "198.51.100.7"),
            ("nonsense, 198.51.100.7", "198.51.100.7"),
            ("\", 198.51.100.7", "198.51.100.7"),
            // Proxies behind proxies.
            ("198.51.100.7, 192.0.2.1, 10.2.3.4", "198.51.100.7"),
            ("203.0.113.9, 198.51.100.7, fd00::1", "198.51.100.7"),
            ("10.2.3.4, 192.0.2.1", "10.2.3.4"),
            // What is no address ends it at the last proxy that is known.
            ("198.51.100.7, unknown", PEER),
            ("198.51.100.7, unknown, 192.0.2.1", "192.0.2.1"),
            ("198.51.100.7,", PEER),
            ("", PEER),
            (",", PEER),
            ("198.51.100.700", PEER),
            ("198.51.100.7:", PEER),
            ("198.51.100.7 203.0.113.9", PEER),
            ("[198.51.100.7]", PEER),
            ("[2001:db8::7", PEER),
            ("[2001:db8::7]4711", PEER),
            ("host.example", PEER),
        ] {
            let lines = [("x-forwarded-for", line)];
            let client = client(ForwardedHeader::XForwardedFor, PEER, &lines);
            assert_eq!(client, expected, "{line:?}");
        }
    }

    #[test]
    fn forwarded_is_read_from_the_right_as_far_as_proxies_are_listed() {
        for (line, expected) in [
            ("for=198.51.100.7", "198.51.100.7"),
            ("For=\"198.51.100.7:4711\";proto=https", "198.51.100.7"),
            ("by=10.0.0.1; for=\"[2001:db8::7]:4711\"", "2001:db8::7"),
            ("for=\"[2001:db8::7]:_port\"", "2001:db8::7"),
            ("for=203.0.113.9, for=198.51.100.7", "198.51.100.7"),
            (
                "for=198.51.100.7, for=192.0.2.1;host=\"a,b\"",
                "198.51.100.7",
            ),
            // A quotation mark that a client has left open.
            ("for=\"203.0.113.9, for=198.51.100.7", "198.51.100.7"),
            ("for=\"203.0.113.9, for=\"[2001:db8::7]\"", "2001:db8::7"),
            ("for=unknown", PEER),
            ("for=_hidden", PEER),
            ("for=203.0.113.9, for=_hidden, for=192.0.2.1", "192.0.2.1"),
            ("for=198.51.100.7;for=203.0.113.9", PEER),
            ("proto=https", PEER),
            ("198.51.100.7", PEER),
            ("for=", PEER),
            ("for=\"198.51.100.7", PEER),
        ] {
            let client = client(ForwardedHeader::Forwarded, PEER, &[("forwarded", line)]);
            assert_eq!(client, expected, "{line:?}");
        }
    }

    #[test]
    fn lines_of_a_header_are_one_list() {
        let lines = [
            ("x-forwarded-for", "203.0.113.9, 198.51.100.7"),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        assert_eq!(
            client(ForwardedHeader::XForwardedFor, PEER, &lines),
            "198.51.100.7"
        );
    }

    #[test]
    fn a_peer_that_is_not_listed_is_the_client_whatever_it_says() {
        let lines = [
            ("x-forwarded-for", "198.51.100.7"),
            ("forwarded", "for=198.51.100.7"),
        ];
        for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
            assert_eq!(client(header, "203.0.113.1", &lines), "203.0.113.1");
            assert_eq!(client(header, "::ffff:203.0.113.1", &[]), "203.0.113.1");
            assert_eq!(client(header, "::ffff:10.1.1.1", &lines), "198.51.100.7");
            assert_eq!(client(header, PEER, &[]), PEER);
        }
    }

    #[test]
    fn only_the_header_that_the_proxies_write_counts() {
        let lines = [
            ("x-forwarded-for", "198.51.100.7"),
            ("forwarded", "for=203.0.113.9"),
        ];
        assert_eq!(
            client(ForwardedHeader::XForwardedFor, PEER, &lines),
            "198.51.100.7"
        );
        assert_eq!(
            client(ForwardedHeader::Forwarded, PEER, &lines),
            "203.0.113.9"
        );
        assert_eq!(client(ForwardedHeader::Forwarded, PEER, &lines[..1]), PEER);
    }
}
