//! Calls of the operators' interface by their path, with messages as they are on the wire.

use std::fmt::Write as _;
use std::path::Path;

use agentidp_proto::v1::tail_audit_response::Event;
use agentidp_proto::v1::watch_changes_response::Event as Changed;
use agentidp_proto::{REQUEST_ID_METADATA, v1};
use agentidp_tests::DEADLINE;
use prost::Message as _;
use prost::bytes::{Buf as _, BufMut as _};
use tokio::runtime::Runtime;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// A codec that leaves messages as they are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length).to_vec()))
    }
}

/// All that came back of a call, but for the request's id and the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// How it ended; [`Code::Ok`] too for a stream that was left.
    pub(super) code: Code,
    message: String,
    details: Vec<u8>,
    metadata: Vec<(String, String)>,
    messages: Vec<Vec<u8>>,
}

impl Answer {
    /// Everything in it as text.
    pub(super) fn text(&self) -> String {
        let details = String::from_utf8_lossy(&self.details);
        let mut text = format!("{:?} {} {details}", self.code, self.message);
        for (name, value) in &self.metadata {
            write!(text, " {name}: {value}").unwrap();
        }
        for message in &self.messages {
            text.push(' ');
            text.push_str(&String::from_utf8_lossy(message));
        }
        text
    }

    fn refused(status: &Status, earlier: Vec<(String, String)>) -> Self {
        let mut metadata = earlier;
        metadata.extend(comparable(status.metadata()));
        metadata.sort();
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            details: status.details().to_vec(),
            metadata,
            messages: Vec::new(),
        }
    }
}

/// Metadata without what differs between any two answers.
fn comparable(metadata: &MetadataMap) -> Vec<(String, String)> {
    let pairs = metadata.iter().map(|pair| match pair {
        KeyAndValueRef::Ascii(key, value) => (key.to_string(), format!("{value:?}")),
        KeyAndValueRef::Binary(key, value) => (key.to_string(), format!("{value:?}")),
    });
    let mut pairs: Vec<_> = pairs
        .map(|(key, value)| match key.as_str() {
            REQUEST_ID_METADATA | "date" => (key, String::new()),
            _ => (key, value),
        })
        .collect();
    pairs.sort();
    pairs
}

/// Whether a stream that goes on for ever has nothing more to say now.
fn is_all_there_is(path: &str, message: &[u8]) -> bool {
    match path {
        "/agentidp.operator.v1.AuditService/Tail" => {
            let event = v1::TailAuditResponse::decode(message).unwrap().event;
            matches!(event, Some(Event::Position(_)))
        }
        "/agentidp.operator.v1.ChangeService/Watch" => {
            let event = v1::WatchChangesResponse::decode(message).unwrap().event;
            matches!(event, Some(Changed::Revision(_)))
        }
        "/grpc.health.v1.Health/Watch" => true,
        _ => false,
    }
}

/// A connection to the operators' socket.
pub(super) struct Operator {
    runtime: Runtime,
    channel: Channel,
}

impl Operator {
    pub(super) fn connect(socket: &Path) -> Self {
        let runtime = Runtime::new().unwrap();
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap();
        let channel = runtime.block_on(endpoint.connect()).unwrap();
        Self { runtime, channel }
    }

    /// Makes a call and reads its answer: all of it, or of a stream that goes on for ever what there
    /// is now.
    pub(super) fn call(&self, path: &'static str, request: Vec<u8>) -> Answer {
        let answer = self.answer(path, request);
        let answer = async { tokio::time::timeout(DEADLINE, answer).await };
        self.runtime
            .block_on(answer)
            .unwrap_or_else(|_elapsed| panic!("{path} is not answered"))
    }

    async fn answer(&self, path: &'static str, request: Vec<u8>) -> Answer {
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        // An answer with one message is a stream of one.
        let called = client.server_streaming(Request::new(request), path.parse().unwrap(), Raw);
        let mut response = match called.await {
            Ok(response) => response,
            Err(status) => return Answer::refused(&status, Vec::new()),
        };
        let metadata = comparable(response.metadata());
        let stream = response.get_mut();
        let mut messages = Vec::new();
        loop {
            match stream.message().await {
                Ok(Some(message)) => {
                    let is_last = is_all_there_is(path, &message);
                    messages.push(message);
                    if is_last {
                        break;
                    }
                }
                Ok(None) => break,
                Err(status) => return Answer::refused(&status, metadata),
            }
        }
        Answer {
            code: Code::Ok,
            message: String::new(),
            details: Vec::new(),
            metadata,
            messages,
        }
    }
}
