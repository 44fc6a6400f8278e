//! Looks into the log of this process.

use std::sync::{Arc, Mutex};

use tokio::time::{Duration, Instant};
use tracing_subscriber::fmt::MakeWriter;

use crate::patience;

/// What was told in the log. A subscriber of one thread alone hears nothing of a place in the code that another thread, without one,
/// reached first: such a test is alone in its program.
#[derive(Clone, Debug, Default)]
pub struct Told(Arc<Mutex<Vec<u8>>>);

impl Told {
    /// One that tells this, from a level on.
    pub fn subscriber(&self, level: tracing::Level) -> impl tracing::Subscriber + Send + Sync + 'static {
        tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(self.clone()).finish()
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Waits until it is told.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + patience();
        while !self.text().contains(text) {
            assert!(Instant::now() < deadline, "not told: {text}; {}", self.text());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl std::io::Write for Told {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Told {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
