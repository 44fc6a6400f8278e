//! How far a command is: one bar on a terminal, a line now and then elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::terminal::complain;

/// Without a terminal a line comes so often at most: what is quick says nothing.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Tells of one piece of work.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    unit: &'static str,
    bar: ProgressBar,
    told: Instant,
}

impl Progress {
    /// Of work on so many of a unit.
    pub(crate) fn new(what: &'static str, unit: &'static str) -> Self {
        // On standard error, and hidden where that is no terminal.
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {percent} %, {pos} of {len}, {eta} left");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what);
        Self { what, unit, bar, told: Instant::now() }
    }

    /// So many of so many are done.
    pub(crate) fn at(&mut self, done: u64, of: u64) {
        if !self.bar.is_hidden() {
            if self.bar.length() != Some(of) {
                self.bar.set_length(of);
            }
            self.bar.set_position(done);
        } else if self.told.elapsed() >= LINE_EVERY {
            self.told = Instant::now();
            let percent = done * 100 / of.max(1);
            complain(&format!("{}: {percent} %, {done} of {of} {}", self.what, self.unit));
        }
    }

    /// So many are done, and nobody knows of how many.
    pub(crate) fn so_far(&mut self, done: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{}: {done} {}", self.what, self.unit));
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                self.bar.set_style(style);
            }
            self.bar.tick();
        } else if self.told.elapsed() >= LINE_EVERY {
            self.told = Instant::now();
            complain(&format!("{}: {done} {}", self.what, self.unit));
        }
    }

    /// The work is over; what follows is said in its place.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
