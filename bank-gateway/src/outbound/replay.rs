//! A request that can be sent again. Its body goes out as it comes in, and what has gone out is kept within a bound: an upload
//! is not waited for before the first try.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bank_sdk::http::Body;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tower::BoxError;

/// A request that was sent and may be sent again.
pub(super) struct Replay {
    method: Method,
    uri: Uri,
    /// As a list, which takes less to make than a map: it is rarely needed.
    headers: Fields,
    body: Option<Arc<Mutex<Kept>>>,
}

type Fields = Vec<(HeaderName, HeaderValue)>;

thread_local!(static SPARE: Cell<Fields> = const { Cell::new(Vec::new()) });

impl Drop for Replay {
    fn drop(&mut self) {
        // The thread's next request uses the memory again.
        self.headers.clear();
        let _ = SPARE.try_with(|spare| spare.set(std::mem::take(&mut self.headers)));
    }
}

/// The part of a body that was read, and the rest of it.
struct Kept {
    pieces: Vec<Bytes>,
    size: usize,
    limit: usize,
    /// Whether more was read than may be kept.
    too_much: bool,
    /// The try whose turn it is. What an earlier one has not read by now it does not get: two would wait for one piece.
    turn: usize,
    rest: Body,
}

impl Replay {
    /// Keeps what is needed to send the request again; of its body at most `limit` bytes.
    pub(super) fn keep(request: &mut Request<Body>, limit: usize) -> Self {
        let body = (!request.body().is_end_stream()).then(|| {
            let rest = std::mem::take(request.body_mut());
            let kept = Kept { pieces: Vec::new(), size: 0, limit, too_much: false, turn: 0, rest };
            let kept = Arc::new(Mutex::new(kept));
            *request.body_mut() = Body::new(Replayed { kept: kept.clone(), turn: 0, next: 0 });
            kept
        });
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let mut headers = SPARE.try_with(Cell::take).unwrap_or_default();
        headers.extend(request.headers().iter().map(|(name, value)| (name.clone(), value.clone())));
        Self { method, uri, headers, body }
    }

    /// The request once more; nothing where its body was too large to be kept.
    pub(super) fn again(&self) -> Option<Request<Body>> {
        let body = match &self.body {
            None => Body::empty(),
            Some(shared) => {
                let mut kept = lock(shared);
                if kept.too_much {
                    return None;
                }
                kept.turn += 1;
                let turn = kept.turn;
                // Making a body of it looks at it.
                drop(kept);
                Body::new(Replayed { kept: shared.clone(), turn, next: 0 })
            }
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        Some(request)
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A body that begins with what was kept and goes on with the rest.
struct Replayed {
    kept: Arc<Mutex<Kept>>,
    turn: usize,
    next: usize,
}

/// Why a body of an earlier try ends before its end.
#[derive(Debug, thiserror::Error)]
#[error("the request is sent again elsewhere")]
struct SentAgain;

impl HttpBody for Replayed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let shared = self.kept.clone();
        let mut kept = lock(&shared);
        if kept.turn != self.turn {
            return Poll::Ready(Some(Err(SentAgain.into())));
        }
        if let Some(piece) = kept.pieces.get(self.next) {
            let piece = piece.clone();
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let Some(frame) = ready!(Pin::new(&mut kept.rest).poll_frame(cx)) else { return Poll::Ready(None) };
        let frame = frame?;
        match frame.data_ref() {
            Some(data) if !kept.too_much && kept.size + data.len() <= kept.limit => {
                kept.size += data.len();
                kept.pieces.push(data.clone());
                self.next += 1;
            }
            // Trailers are not kept either.
            _ => {
                kept.too_much = true;
                kept.pieces.clear();
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        let kept = lock(&self.kept);
        self.next >= kept.pieces.len() && kept.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let kept = lock(&self.kept);
        let left: usize = kept.pieces[self.next.min(kept.pieces.len())..].iter().map(Bytes::len).sum();
        let rest = kept.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + left as u64);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + left as u64);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    /// A body of so many pieces that does not say how large it is.
    struct Pieces {
        next: usize,
        count: usize,
    }

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            if self.next == self.count {
                return Poll::Ready(None);
            }
            let piece = format!("piece{}", self.next);
            self.next += 1;
            Poll::Ready(Some(Ok(Frame::data(piece.into()))))
        }
    }

    fn pieces(count: usize) -> Request<Body> {
        Request::new(Body::new(Pieces { next: 0, count }))
    }

    async fn next(body: &mut Body) {
        std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
    }

    #[tokio::test]
    async fn a_body_is_sent_again_from_its_beginning_wherever_the_first_try_ended() {
        for read in 0..4 {
            let mut request = pieces(3);
            let replay = Replay::keep(&mut request, 100);
            for _ in 0..read {
                next(request.body_mut()).await;
            }
            drop(request);
            let again = replay.again().unwrap();
            assert_eq!(again.into_body().read(100).await.unwrap(), "piece0piece1piece2", "{read}");
        }
    }

    /// A body of trailers alone.
    struct Trailers(Option<HeaderMap>);

    impl HttpBody for Trailers {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(self.0.take().map(|fields| Ok(Frame::trailers(fields))))
        }
    }

    #[tokio::test]
    async fn trailers_pass_and_what_ended_in_them_is_not_sent_again() {
        let fields = HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("1"))]);
        let mut request = Request::new(Body::new(Trailers(Some(fields))));
        let replay = Replay::keep(&mut request, 100);
        let body = request.body_mut();
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        assert!(frame.unwrap().unwrap().trailers_ref().is_some_and(|fields| fields.len() == 1));
        assert!(replay.again().is_none());
    }

    #[tokio::test]
    async fn an_earlier_try_that_is_still_sending_takes_nothing_from_a_later_one() {
        let mut request = pieces(3);
        let replay = Replay::keep(&mut request, 100);
        next(request.body_mut()).await;
        let again = replay.again().unwrap();
        assert!(request.into_body().read(100).await.is_err());
        assert_eq!(again.into_body().read(100).await.unwrap(), "piece0piece1piece2");
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_and_what_was_not_kept_is_not_sent_again() {
        let mut request = pieces(3);
        let replay = Replay::keep(&mut request, 12);
        assert_eq!(request.into_body().read(100).await.unwrap(), "piece0piece1piece2");
        assert!(replay.again().is_none());
    }
}
