//! The bytes of a connection on their way between acceptor and hyper: watched, and changed in nothing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use super::held::Place;

/// How much of what a client still sends is read and dropped, once its connection was ended for an excess: closed at once,
/// the kernel would answer it with a reset, and the client would never see why.
const DISCARDED: usize = 256 * 1024;

/// A connection's bytes.
pub(super) struct ObservedIo<I> {
    io: I,
    activity: Arc<Activity>,
    http2: bool,
    progress: u32,
    /// Bytes that are still dropped, after the end.
    ended: Option<usize>,
    /// Held as long as the connection is open: also by a service that it was handed to, for another protocol.
    _place: Place,
}

impl<I> ObservedIo<I> {
    pub(super) const fn new(
        io: I,
        activity: Arc<Activity>,
        http2: bool,
        progress: u32,
        place: Place,
    ) -> Self {
        Self { io, activity, http2, progress, ended: None, _place: place }
    }
}

fn excess() -> io::Error {
    io::Error::other("the client sent too many control frames")
}

impl<I: AsyncRead + AsyncWrite + Unpin> ObservedIo<I> {
    /// Says that the connection ends, as far as it can be said without waiting, and closes this side.
    fn end(&mut self, cx: &mut Context<'_>, goaway: Option<[u8; 17]>) {
        self.ended = Some(DISCARDED);
        if let Some(goaway) = goaway {
            // Where the socket takes nothing, its peer does not read: there is nobody to be told.
            let _ = Pin::new(&mut self.io).poll_write(cx, &goaway);
        }
        let _ = Pin::new(&mut self.io).poll_flush(cx);
        let _ = Pin::new(&mut self.io).poll_shutdown(cx);
    }

    /// Drops what still comes, until the client closes or enough came.
    fn discard(&mut self, cx: &mut Context<'_>, mut left: usize) -> Poll<io::Result<()>> {
        let mut bytes = [0; 4_096];
        loop {
            let mut buf = ReadBuf::new(&mut bytes);
            let polled = Pin::new(&mut self.io).poll_read(cx, &mut buf);
            let read = buf.filled().len();
            left = left.saturating_sub(read);
            self.ended = Some(left);
            ready!(polled)?;
            if read == 0 || left == 0 {
                return Poll::Ready(Err(excess()));
            }
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for ObservedIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = &mut *self;
        if let Some(left) = me.ended {
            return me.discard(cx, left);
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut me.io).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        if read.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if !me.http2 {
            me.activity.head_byte();
            return Poll::Ready(Ok(()));
        }
        let Err(goaway) = me.activity.frames_received(read) else { return Poll::Ready(Ok(())) };
        buf.set_filled(before);
        me.end(cx, goaway);
        me.discard(cx, DISCARDED)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> ObservedIo<I> {
    fn wrote<'a>(
        &self,
        written: Poll<io::Result<usize>>,
        slices: impl Iterator<Item = &'a [u8]>,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => self.activity.blocked(),
            Poll::Ready(Ok(bytes)) => self.activity.sent(slices, *bytes, self.progress),
            Poll::Ready(Err(_)) => {}
        }
        written
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ObservedIo<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.ended.is_some() {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(written, std::iter::once(buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.ended.is_some() {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(written, bufs.iter().map(|buf| &**buf))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended.is_some() {
            return Poll::Ready(Ok(()));
        }
        // TLS keeps bytes of its own, which hyper believes written.
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        match flushed {
            Poll::Pending => self.activity.blocked(),
            Poll::Ready(_) => self.activity.flushed(),
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended.is_some() {
            return Poll::Ready(Ok(()));
        }
        let done = Pin::new(&mut self.io).poll_shutdown(cx);
        if done.is_pending() {
            self.activity.blocked();
        }
        done
    }
}
