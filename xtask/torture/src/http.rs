//! The agents' interface, asked over a connection that is kept alive.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use agentidp_shared::{AgentId, CredentialId, TokenId};
use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// No answer takes this long, unless the daemon hangs.
const PATIENCE: Duration = Duration::from_mins(1);
/// A connection that was idle for longer is left: the daemon closes it soon (`docs/operations.md`).
const IDLE: Duration = Duration::from_secs(2);
/// An answer larger than this is not one to what is asked here.
const LARGEST: usize = 64 * 1_024;

/// What an agent authenticates with.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) id: AgentId,
    pub(crate) credential: CredentialId,
    pub(crate) secret: String,
}

/// What a request came to.
#[derive(Debug)]
pub(crate) enum Answer {
    /// An answer: its status, and its body (`null` when there is none).
    Status(u16, Value),
    /// No answer: what it came to is not known.
    Gone,
}

/// A token that was given out.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) jti: TokenId,
}

impl Token {
    /// The token in an answer of the token endpoint.
    pub(crate) fn in_answer(body: &Value) -> anyhow::Result<Self> {
        let text = body
            .get("access_token")
            .and_then(Value::as_str)
            .context("an answer without a token")?;
        let payload = text.split('.').nth(1).context("a token that is no JWT")?;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?;
        let jti = claims
            .get("jti")
            .and_then(Value::as_str)
            .context("a token without jti")?;
        Ok(Self {
            text: text.to_owned(),
            jti: jti.parse()?,
        })
    }
}

/// Asks, and connects when it has to.
#[derive(Debug)]
pub(crate) struct Http {
    address: SocketAddr,
    stream: Option<TcpStream>,
    /// When the connection had its last answer.
    used: Instant,
}

impl Http {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            used: Instant::now(),
        }
    }

    /// Asks for a token: RFC 6749, sections 4.4.2 and 2.3.1.
    pub(crate) async fn token(&mut self, client: &Client) -> anyhow::Result<Answer> {
        self.post("/oauth2/token", client, "grant_type=client_credentials")
            .await
    }

    /// Asks about a token: RFC 7662, section 2.1.
    pub(crate) async fn introspect(
        &mut self,
        client: &Client,
        token: &str,
    ) -> anyhow::Result<Answer> {
        // A JWT holds no character that a form would have encoded.
        self.post("/oauth2/introspect", client, &format!("token={token}"))
            .await
    }

    /// Revokes a token: RFC 7009, section 2.1.
    pub(crate) async fn revoke(&mut self, client: &Client, token: &str) -> anyhow::Result<Answer> {
        self.post("/oauth2/revoke", client, &format!("token={token}"))
            .await
    }

    /// # Errors
    ///
    /// When an answer comes that is none, or nothing at all happens.
    async fn post(&mut self, path: &str, client: &Client, body: &str) -> anyhow::Result<Answer> {
        let basic = STANDARD.encode(format!("{}:{}", client.id, client.secret));
        let request = format!(
            "POST {path} HTTP/1.1\r\n\
             Host: {}\r\n\
             Authorization: Basic {basic}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        if self.used.elapsed() > IDLE {
            self.stream = None;
        }
        let answer = timeout(PATIENCE, self.exchange(request.as_bytes()))
            .await
            .with_context(|| format!("{path} has not answered for {} s", PATIENCE.as_secs()))??;
        self.used = Instant::now();
        if matches!(answer, Answer::Gone) {
            self.stream = None;
        }
        Ok(answer)
    }

    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => match TcpStream::connect(self.address).await {
                Ok(stream) => none.insert(stream),
                Err(_refused) => return Ok(Answer::Gone),
            },
        };
        if stream.write_all(request).await.is_err() {
            return Ok(Answer::Gone);
        }
        let mut received = Vec::with_capacity(2_048);
        loop {
            match stream.read_buf(&mut received).await {
                Ok(0) | Err(_) => return Ok(Answer::Gone),
                Ok(_) => {}
            }
            if let Some(answer) = parse(&received)? {
                return Ok(answer);
            }
            ensure!(received.len() < LARGEST, "an answer does not end");
        }
    }
}

/// The answer, once all of it is there.
fn parse(received: &[u8]) -> anyhow::Result<Option<Answer>> {
    const BLANK: &[u8] = b"\r\n\r\n";
    let Some(end) = received.windows(BLANK.len()).position(|part| part == BLANK) else {
        return Ok(None);
    };
    let (head, rest) = received.split_at(end + BLANK.len());
    let head = str::from_utf8(head).context("the head of an answer is not text")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let named = name.eq_ignore_ascii_case("content-length");
        named.then(|| value.trim().parse::<usize>().ok())?
    });
    let Some(length) = length else {
        bail!("an answer without Content-Length:\n{head}");
    };
    let Some(body) = rest.get(..length) else {
        return Ok(None);
    };
    let status = head.split(' ').nth(1).context("an answer without status")?;
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(body)
            .with_context(|| format!("an answer that is no JSON:\n{head}"))?
    };
    Ok(Some(Answer::Status(status.parse()?, body)))
}

#[cfg(test)]
mod tests {
    use super::{Answer, parse};

    #[test]
    fn an_answer_is_known_once_it_is_whole() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        let (early, _) = whole.split_at(whole.len() - 1);
        assert!(parse(early).unwrap().is_none());
        let Some(Answer::Status(200, body)) = parse(whole).unwrap() else {
            panic!("not the answer");
        };
        assert!(body.is_object());
    }
}
