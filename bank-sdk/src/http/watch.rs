//! Those who look on while a body passes.

use http::HeaderMap;
use tokio::sync::OwnedSemaphorePermit;
use tower::BoxError;

/// Looks on as a body passes: the bytes, the waiting, the end.
pub trait Watch: Send {
    /// A piece of so many bytes passes.
    ///
    /// # Errors
    /// The body breaks off with this.
    fn passed(&mut self, _bytes: usize) -> Result<(), BoxError> {
        Ok(())
    }

    /// The reader waits for its sender.
    fn waits(&mut self) {}

    /// The trailers pass, which may be changed.
    fn trailers(&mut self, _fields: &mut HeaderMap) {}

    /// The reader is told how the body ended. It happens once.
    fn ended(&mut self, end: End);

    /// Keeps a permit until the end; one without room for it gives it back. See [`Body::holding`](super::Body::holding).
    fn hold(&mut self, permit: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
        Some(permit)
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// It was read to its end.
    Whole,
    /// Its sender broke it off, kept its reader waiting for too long, or sent what a watcher refused.
    Broken,
    /// Its reader let go of it before its end.
    Dropped,
    /// It was not done when its [whole time](super::Body::within) was over, by whosever fault.
    TooLate,
}

/// Those who look on, until the end has been told. There are rarely more than two.
pub(super) struct Watched {
    first: Option<Box<dyn Watch>>,
    second: Option<Box<dyn Watch>>,
}

impl Watched {
    pub(super) fn add(&mut self, watch: Box<dyn Watch>) {
        match (&self.first, self.second.take()) {
            (None, _) => self.first = Some(watch),
            (Some(_), None) => self.second = Some(watch),
            (Some(_), Some(other)) => self.second = Some(Box::new(Both(other, watch))),
        }
    }

    pub(super) const fn nobody() -> Self {
        Self { first: None, second: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Keeps a permit until the end.
    pub(super) fn hold(&mut self, permit: OwnedSemaphorePermit) {
        let left = match &mut self.first {
            Some(watch) => watch.hold(permit),
            None => Some(permit),
        };
        if left.is_some() {
            self.add(Box::new(Held(left)));
        }
    }

    pub(super) fn passed(&mut self, bytes: usize) -> Result<(), BoxError> {
        self.first.as_mut().map_or(Ok(()), |watch| watch.passed(bytes))?;
        self.second.as_mut().map_or(Ok(()), |watch| watch.passed(bytes))
    }

    pub(super) fn waits(&mut self) {
        self.each().for_each(|watch| watch.waits());
    }

    pub(super) fn trailers(&mut self, fields: &mut HeaderMap) {
        self.each().for_each(|watch| watch.trailers(fields));
    }

    pub(super) fn each(&mut self) -> impl Iterator<Item = &mut Box<dyn Watch>> {
        self.first.iter_mut().chain(self.second.iter_mut())
    }

    pub(super) fn ended(&mut self, end: End) {
        if let Some(mut watch) = self.first.take() {
            watch.ended(end);
        }
        if let Some(mut watch) = self.second.take() {
            watch.ended(end);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.ended(End::Dropped);
    }
}

/// A permit that is held until the end.
struct Held(Option<OwnedSemaphorePermit>);

impl Watch for Held {
    fn ended(&mut self, _: End) {
        self.0 = None;
    }
}

/// Two who look on.
struct Both(Box<dyn Watch>, Box<dyn Watch>);

impl Watch for Both {
    fn passed(&mut self, bytes: usize) -> Result<(), BoxError> {
        self.0.passed(bytes)?;
        self.1.passed(bytes)
    }

    fn waits(&mut self) {
        self.0.waits();
        self.1.waits();
    }

    fn trailers(&mut self, fields: &mut HeaderMap) {
        self.0.trailers(fields);
        self.1.trailers(fields);
    }

    fn ended(&mut self, end: End) {
        self.0.ended(end);
        self.1.ended(end);
    }
}
