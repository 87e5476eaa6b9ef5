//! The least HTTP/1.1 client that can ask for tokens: one connection, kept alive, one fixed request.
//!
//! A real client would spend more of core 1 than the server spends of core 0, and then the server
//! would not be what is measured.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

/// No answer takes this long, unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer larger than this is not one to a request for a token.
const LARGEST: usize = 64 * 1024;

/// A kept-alive connection.
pub(super) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(super) fn open(address: SocketAddr) -> anyhow::Result<Self> {
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

    /// Sends the request and makes sure that the answer holds an access token.
    pub(super) fn ask(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).context("cannot send")?;
        self.received.clear();
        let mut chunk = [0; 4096];
        loop {
            let read = self.stream.read(&mut chunk).context("cannot receive")?;
            ensure!(read > 0, "the server closed the connection");
            self.received.extend(chunk.iter().take(read));
            if let Some(body) = body(&self.received)? {
                return check(&self.received, body);
            }
            ensure!(self.received.len() < LARGEST, "the answer does not end");
        }
    }
}

/// The request for a token: RFC 6749, sections 4.4.2 and 2.3.1.
pub(super) fn token_request(address: SocketAddr, basic: &str) -> Vec<u8> {
    let body = "grant_type=client_credentials";
    format!(
        "POST /oauth2/token HTTP/1.1\r\n\
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

fn check(answer: &[u8], body: &[u8]) -> anyhow::Result<()> {
    const MEMBER: &[u8] = b"\"access_token\":\"ey";
    let good = answer.starts_with(b"HTTP/1.1 200 ")
        && body.windows(MEMBER.len()).any(|part| part == MEMBER);
    ensure!(
        good,
        "an answer without a token:\n{}",
        String::from_utf8_lossy(answer)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{body, check};

    const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\n{\"access_token\":\"eyJ\"}";

    #[test]
    fn an_answer_is_read_to_its_end() {
        let (early, _) = GOOD.split_at(GOOD.len() - 1);
        assert!(body(early).unwrap().is_none());
        check(GOOD, body(GOOD).unwrap().unwrap()).unwrap();
    }

    #[test]
    fn an_error_is_not_a_token() {
        let refused = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}";
        assert!(check(refused, body(refused).unwrap().unwrap()).is_err());
    }

    #[test]
    fn an_answer_without_a_length_is_refused() {
        assert!(body(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
