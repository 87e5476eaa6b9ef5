//! A small HTTP/1.1 client that sends exactly what a test says, right or wrong.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::DEADLINE;

/// The way to one server.
#[derive(Debug, Clone, Copy)]
pub struct Http {
    /// Where it listens.
    pub address: SocketAddr,
}

/// What to send.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A request without body.
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A `POST` of form parameters, in their order; one may stand twice.
    #[must_use]
    pub fn form(path: &str, parameters: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        Self::new("POST", path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.into_bytes())
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(it, _)| it == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {} {}", self.status, self.text()))
    }

    /// The `access_token` of a successful token answer; fails the test on any other answer.
    #[must_use]
    pub fn token(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
            .get("access_token")
            .and_then(Value::as_str)
            .expect("an access_token")
            .to_owned()
    }

    /// The status and the `error` member of an RFC 6749 error answer.
    #[must_use]
    pub fn error(&self) -> (u16, String) {
        let error = self
            .json()
            .get("error")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        (self.status, error)
    }
}

impl Http {
    /// `GET path`.
    #[must_use]
    pub fn get(&self, path: &str) -> Response {
        self.send(&Request::new("GET", path))
    }

    /// Sends a request on a connection of its own; fails the test when no answer comes.
    #[must_use]
    pub fn send(&self, request: &Request) -> Response {
        self.try_send(request)
            .unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.path))
    }

    /// Sends a request on a connection of its own.
    ///
    /// # Errors
    ///
    /// When no connection, or no whole answer, can be had.
    pub fn try_send(&self, request: &Request) -> io::Result<Response> {
        let mut connection = Connection::open(self.address)?;
        connection.send(request, false)
    }

    /// A connection that stays open between requests.
    #[must_use]
    pub fn keep_alive(&self) -> Connection {
        Connection::open(self.address).expect("the server takes connections")
    }
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a request and keeps the connection.
    #[must_use]
    pub fn exchange(&mut self, request: &Request) -> Response {
        self.send(request, true).expect("a whole answer")
    }

    fn send(&mut self, request: &Request, keep: bool) -> io::Result<Response> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method, request.path).into_bytes();
        let mut header = |name: &str, value: &str| write!(bytes, "{name}: {value}\r\n");
        header("host", &self.stream.get_ref().peer_addr()?.to_string())?;
        if !keep {
            header("connection", "close")?;
        }
        if request.method != "GET" {
            header("content-length", &request.body.len().to_string())?;
        }
        for (name, value) in &request.headers {
            header(name, value)?;
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&request.body);
        // A server may answer, and stop reading, before it has everything.
        let written = self.stream.get_mut().write_all(&bytes);
        self.receive(request.method != "HEAD")
            .map_err(|error| written.err().unwrap_or(error))
    }

    fn receive(&mut self, has_body: bool) -> io::Result<Response> {
        let status_line = self.line()?;
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|text| text.parse().ok());
        let status = status.ok_or_else(|| invalid(&status_line))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid(&line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut response = Response {
            status,
            headers,
            body: Vec::new(),
        };
        let chunked = response
            .header("transfer-encoding")
            .is_some_and(|it| it == "chunked");
        let length = response
            .header("content-length")
            .and_then(|it| it.parse::<u64>().ok());
        // RFC 9112, section 6.3: these end with their header, and the connection goes on.
        if !has_body || matches!(status, 100..200 | 204 | 304) {
            return Ok(response);
        }
        if chunked {
            response.body = self.chunks()?;
        } else if let Some(length) = length {
            self.read_body(length, &mut response.body)?;
        } else {
            self.stream.read_to_end(&mut response.body)?;
        }
        Ok(response)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = u64::from_str_radix(&line, 16)
                .map_err(|error| invalid(&format!("{line} ({error})")))?;
            self.read_body(size, &mut body)?;
            self.line()?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn read_body(&mut self, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
        let read = (&mut self.stream).take(length).read_to_end(body)?;
        if u64::try_from(read) == Ok(length) {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

fn invalid(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {line:?}"))
}
