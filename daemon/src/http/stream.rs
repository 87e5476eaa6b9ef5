//! A connection that does not wait for ever for a client that does not read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How many bytes a client has to take in the time that it has.
const STEP: usize = 64 * 1_024;

/// A stream whose writing fails when it gets on too slowly.
///
/// Without that, who asks and asks and never reads, or a byte at a time, holds a connection, and what is to
/// be written to it, for as long as he likes.
#[derive(Debug)]
pub(super) struct Impatient<S> {
    stream: S,
    limit: Duration,
    /// Set since writing stood still, which it seldom does, until it has got on.
    stall: Option<Pin<Box<Sleep>>>,
    /// How much was written since.
    written: usize,
}

impl<S> Impatient<S> {
    /// A stream on which the other side may take `limit` to make room for [`STEP`] bytes, or for all there
    /// is to write.
    pub(super) const fn new(stream: S, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            stall: None,
            written: 0,
        }
    }
}

impl<S: Unpin> Impatient<S> {
    fn poll_in_time<T>(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = write(Pin::new(&mut self.stream), context) {
            return Poll::Ready(done);
        }
        let stall = self.stall.get_or_insert_with(|| {
            self.written = 0;
            Box::pin(sleep(self.limit))
        });
        ready!(stall.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read its answers",
        )))
    }
}

impl<S> Impatient<S> {
    /// Notes how much was written.
    fn got_on(&mut self, done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = done {
            self.written = self.written.saturating_add(bytes);
            if self.written >= STEP {
                self.stall = None;
            }
        }
        done
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = self.poll_in_time(context, |stream, context| stream.poll_write(context, bytes));
        self.got_on(done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = self.poll_in_time(context, |stream, context| {
            stream.poll_write_vectored(context, parts)
        });
        self.got_on(done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = self.poll_in_time(context, AsyncWrite::poll_flush);
        if done.is_ready() {
            // Whoever writes does so when there is no more.
            self.stall = None;
        }
        done
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_in_time(context, AsyncWrite::poll_shutdown)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn who_does_not_read_is_given_up() {
        let (_client, server) = duplex(8);
        let mut server = Impatient::new(server, Duration::from_millis(20));
        server.write_all(&[7; 8]).await.unwrap();
        let error = server.write_all(&[7]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn the_time_begins_anew_after_enough_is_read_and_not_after_each_byte() {
        let (mut client, server) = duplex(STEP);
        let mut server = Impatient::new(server, Duration::from_hours(1));
        server.write_all(&vec![7; STEP]).await.unwrap();
        let full = server.write(&[7]).now_or_never();
        assert!(full.is_none() && server.stall.is_some());
        client.read_exact(&mut [0]).await.unwrap();
        server.write_all(&[7]).await.unwrap();
        assert!(server.stall.is_some(), "the clock goes on");
        client.read_exact(&mut vec![0; STEP]).await.unwrap();
        server.write_all(&vec![7; STEP - 1]).await.unwrap();
        assert!(server.stall.is_none(), "the client has taken enough");
        assert!(server.write(&[7; 2]).await.is_ok());
        let full = server.write(&[7]).now_or_never();
        assert!(full.is_none() && server.stall.is_some());
        server.flush().await.unwrap();
        assert!(server.stall.is_none(), "there is no more to write");
    }
}
