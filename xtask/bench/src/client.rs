//! The least HTTP/1.1 client that can ask: one connection, kept alive.
//!
//! A real client would spend more of core 1 than the server spends of core 0, and then the server
//! would not be what is measured.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::operator::Client;

/// No answer takes this long, unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer larger than this is not one to what is asked here.
const LARGEST: usize = 64 * 1024;

/// A kept-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// What the right answer is known by.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    status: &'static [u8],
    /// Stands in the body.
    text: &'static [u8],
}

impl Expected {
    /// A token.
    pub(crate) const TOKEN: Self = Self {
        status: b"HTTP/1.1 200 ",
        text: b"\"access_token\":\"ey",
    };
    /// That a token counts.
    pub(crate) const ACTIVE: Self = Self {
        status: b"HTTP/1.1 200 ",
        text: b"\"active\":true",
    };
    /// That authentication failed.
    pub(crate) const REFUSED: Self = Self {
        status: b"HTTP/1.1 401 ",
        text: b"\"invalid_client\"",
    };
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            received: Vec::with_capacity(4096),
        })
    }

    /// Sends a request and returns the body of the answer, which has to be the right one.
    pub(crate) fn ask(&mut self, request: &[u8], expected: Expected) -> anyhow::Result<&[u8]> {
        self.stream.write_all(request).context("cannot send")?;
        self.received.clear();
        let mut chunk = [0; 4096];
        let length = loop {
            let read = self.stream.read(&mut chunk).context("cannot receive")?;
            ensure!(read > 0, "the server closed the connection");
            self.received.extend(chunk.iter().take(read));
            if let Some(body) = body(&self.received)? {
                check(&self.received, body, expected)?;
                break body.len();
            }
            ensure!(self.received.len() < LARGEST, "the answer does not end");
        };
        let start = self.received.len().saturating_sub(length);
        Ok(self.received.get(start..).unwrap_or_default())
    }
}

/// Asks for a token and returns it.
pub(crate) fn token(address: SocketAddr, client: &Client) -> anyhow::Result<String> {
    let request = token_request(address, client);
    let mut connection = Connection::open(address)?;
    let body = connection.ask(&request, Expected::TOKEN)?;
    let answer: Value = serde_json::from_slice(body).context("an answer that is no JSON")?;
    let token = answer.get("access_token").and_then(Value::as_str);
    Ok(token.context("an answer without a token")?.to_owned())
}

/// The request for a token: RFC 6749, sections 4.4.2 and 2.3.1.
pub(crate) fn token_request(address: SocketAddr, client: &Client) -> Vec<u8> {
    let body = "grant_type=client_credentials";
    request(address, "/oauth2/token", client, body)
}

/// The request to introspect a token: RFC 7662, section 2.1.
pub(crate) fn introspection_request(address: SocketAddr, client: &Client, token: &str) -> Vec<u8> {
    // A JWT holds no character that a form would have encoded.
    let body = format!("token={token}");
    request(address, "/oauth2/introspect", client, &body)
}

fn request(address: SocketAddr, path: &str, client: &Client, body: &str) -> Vec<u8> {
    // Neither holds a character that RFC 6749, section 2.3.1, would have encoded.
    let basic = STANDARD.encode(format!("{}:{}", client.id, client.secret));
    format!(
        "POST {path} HTTP/1.1\r\n\
         Host: {address}\r\n\
         Authorization: Basic {basic}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The body of an answer, once all of it is there.
fn body(received: &[u8]) -> anyhow::Result<Option<&[u8]>> {
    const BLANK: &[u8] = b"\r\n\r\n";
    let Some(end) = received.windows(BLANK.len()).position(|part| part == BLANK) else {
        return Ok(None);
    };
    let (head, rest) = received.split_at(end + BLANK.len());
    let head = str::from_utf8(head).context("the head of the answer is not text")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let named = name.eq_ignore_ascii_case("content-length");
        named.then(|| value.trim().parse::<usize>().ok())?
    });
    let Some(length) = length else {
        bail!("an answer without Content-Length:\n{head}");
    };
    Ok(rest.get(..length))
}

fn check(answer: &[u8], body: &[u8], expected: Expected) -> anyhow::Result<()> {
    let Expected { status, text } = expected;
    let good = answer.starts_with(status) && body.windows(text.len()).any(|part| part == text);
    ensure!(
        good,
        "not the answer that was expected:\n{}",
        String::from_utf8_lossy(answer)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Expected, body, check};

    const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\n{\"access_token\":\"eyJ\"}";

    #[test]
    fn an_answer_is_read_to_its_end() {
        let (early, _) = GOOD.split_at(GOOD.len() - 1);
        assert!(body(early).unwrap().is_none());
        check(GOOD, body(GOOD).unwrap().unwrap(), Expected::TOKEN).unwrap();
    }

    #[test]
    fn an_error_is_not_a_token() {
        let refused = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}";
        let body = body(refused).unwrap().unwrap();
        assert!(check(refused, body, Expected::TOKEN).is_err());
    }

    #[test]
    fn an_answer_without_a_length_is_refused() {
        assert!(body(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
