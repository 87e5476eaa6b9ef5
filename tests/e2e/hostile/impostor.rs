//! A daemon that is not ours: it asks the real one, and says something else.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::codegen::tokio_stream::StreamExt as _;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::{BoxFuture, BoxStream, Service};
use tonic::server::{NamedService, ServerStreamingService};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Extensions, Request, Response, Status};

use crate::matrix::raw::Raw;

/// What is said in the place of a message, by the call that it answers.
pub(super) type Lie = fn(&str, &str, Vec<u8>) -> Vec<u8>;

/// It runs for as long as this lives.
pub(super) struct Impostor(#[expect(dead_code, reason = "it is held, not used")] Runtime);

impl Impostor {
    /// Listens on `near`, asks the daemon behind `far`, and has each of its messages go through `lie`,
    /// with `text` for what to say.
    pub(super) fn between(near: &Path, far: &Path, lie: Lie, text: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let endpoint = Endpoint::from_shared(format!("unix://{}", far.display())).unwrap();
        let between = Between {
            far: runtime.block_on(endpoint.connect()).unwrap(),
            lie,
            text: text.into(),
        };
        let (streams, incoming) = mpsc::channel(1);
        let listener = {
            let _entered = runtime.enter();
            UnixListener::bind(near).unwrap()
        };
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if streams.send(Ok::<_, std::io::Error>(stream)).await.is_err() {
                    return;
                }
            }
        });
        let server = Server::builder()
            .add_service(named::<Organizations>(&between))
            .add_service(named::<Agents>(&between))
            .add_service(named::<Credentials>(&between))
            .add_service(named::<Keys>(&between))
            .add_service(named::<Audit>(&between))
            .add_service(named::<Changes>(&between))
            .add_service(named::<State>(&between))
            .serve_with_incoming(ReceiverStream::new(incoming));
        runtime.spawn(server);
        Self(runtime)
    }
}

#[derive(Clone)]
struct Between {
    far: Channel,
    lie: Lie,
    text: Arc<str>,
}

/// One of the services, by its name.
struct Named<T>(Between, PhantomData<fn() -> T>);

fn named<T>(between: &Between) -> Named<T> {
    Named(between.clone(), PhantomData)
}

impl<T> Clone for Named<T> {
    fn clone(&self) -> Self {
        named(&self.0)
    }
}

macro_rules! services {
    ($($name:ident = $service:literal;)*) => {$(
        struct $name;

        impl NamedService for Named<$name> {
            const NAME: &'static str = concat!("agentidp.operator.v1.", $service);
        }
    )*};
}

services! {
    Organizations = "OrganizationService";
    Agents = "AgentService";
    Credentials = "CredentialService";
    Keys = "SigningKeyService";
    Audit = "AuditService";
    Changes = "ChangeService";
    State = "StatusService";
}

impl<T> Service<http::Request<Body>> for Named<T> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let call = Call {
            path: request.uri().path().into(),
            between: self.0.clone(),
        };
        // An answer with one message is a stream of one.
        Box::pin(async move {
            let mut server = tonic::server::Grpc::new(Raw);
            Ok(server.server_streaming(call, request).await)
        })
    }
}

struct Call {
    path: Arc<str>,
    between: Between,
}

impl ServerStreamingService<Vec<u8>> for Call {
    type Response = Vec<u8>;
    type ResponseStream = BoxStream<Vec<u8>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Vec<u8>>) -> Self::Future {
        let (path, between) = (Arc::clone(&self.path), self.between.clone());
        Box::pin(async move {
            let mut client = tonic::client::Grpc::new(between.far);
            client.ready().await.unwrap();
            let (metadata, _, message) = request.into_parts();
            let request = Request::from_parts(metadata, Extensions::default(), message);
            let answer = client.server_streaming(request, path.parse().unwrap(), Raw);
            let honest = answer.await?.into_inner();
            let hostile = honest.map(move |message| {
                message.map(|message| (between.lie)(&path, &between.text, message))
            });
            Ok(Response::new(Box::pin(hostile) as Self::ResponseStream))
        })
    }
}
