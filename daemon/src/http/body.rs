//! Reading the body of a request, within limits of size and time.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use std::future::poll_fn;
use std::pin::Pin;

/// The most bytes of a body.
pub(super) const MAX_BODY: usize = 64 * 1_024;
/// How much of one that is too large is read nevertheless, and thrown away.
const MAX_DRAINED: usize = 16 * MAX_BODY;
/// How long a client may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It is too large.
    TooLarge,
    /// It did not arrive in time.
    TooSlow,
    /// The connection has ended; nobody reads the answer.
    Broken,
}

/// Whether a body of this media type is of `essence`, and in no charset but UTF-8.
pub(super) fn is_utf_8(media_type: &str, essence: &str) -> bool {
    let mut parts = media_type.split(';').map(str::trim);
    let is_it = parts
        .next()
        .is_some_and(|it| it.eq_ignore_ascii_case(essence));
    is_it
        && parts.all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            name.eq_ignore_ascii_case("charset")
                && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
}

/// Reads a body of at most [`MAX_BODY`] bytes, within [`BODY_TIMEOUT`].
///
/// One that is larger is read on for a while before it is refused: a client that is still writing when
/// its connection closes may never see the answer.
///
/// # Errors
///
/// [`BodyError`].
pub(super) async fn read(body: Body) -> Result<Bytes, BodyError> {
    match tokio::time::timeout(BODY_TIMEOUT, collect(body)).await {
        Ok(read) => read,
        Err(_elapsed) => Err(BodyError::TooSlow),
    }
}

async fn collect(mut body: Body) -> Result<Bytes, BodyError> {
    let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
    let mut length = 0_usize;
    loop {
        let frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        let Some(frame) = frame else { break };
        // Trailers say nothing here.
        let Ok(data) = frame.map_err(|_error| BodyError::Broken)?.into_data() else {
            continue;
        };
        length = length.saturating_add(data.len());
        if length > MAX_DRAINED {
            break;
        }
        if length > MAX_BODY {
            rest = BytesMut::new();
        } else if first.is_empty() {
            // Mostly all of it.
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if length > MAX_BODY {
        return Err(BodyError::TooLarge);
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(length);
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn body(chunk: usize, count: usize) -> Body {
        let chunk = Bytes::from(vec![7_u8; chunk]);
        Body::from_stream(stream::iter(
            (0..count).map(move |_| Ok::<_, std::io::Error>(chunk.clone())),
        ))
    }

    #[tokio::test]
    async fn a_body_is_whole_or_refused() {
        for (chunk, count) in [(0, 0), (10, 1), (10, 3), (MAX_BODY, 1), (1, 1_000)] {
            let read = read(body(chunk, count)).await.unwrap();
            assert_eq!(read.len(), chunk * count);
            assert!(read.iter().all(|byte| *byte == 7));
        }
        for (chunk, count) in [(MAX_BODY + 1, 1), (MAX_BODY, 2), (MAX_BODY, 1_000)] {
            assert_eq!(read(body(chunk, count)).await, Err(BodyError::TooLarge));
        }
    }
}
