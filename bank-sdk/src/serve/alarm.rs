//! What waits beside a busy future in one task, polled only when it was woken itself.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Polls futures that are rarely woken. With the task's own waker they would be polled as often as the busy one.
pub(super) struct Alarm {
    bell: Arc<Bell>,
    waker: Waker,
    /// The task that the bell wakes.
    task: Option<Waker>,
}

struct Bell {
    has_rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Alarm {
    /// It counts as woken, since nobody has polled yet.
    pub(super) fn new() -> Self {
        let bell = Arc::new(Bell { has_rung: AtomicBool::new(true), task: Mutex::default() });
        Self { waker: bell.clone().into(), bell, task: None }
    }

    /// Polls where one of the futures was woken since they were last pending.
    pub(super) fn poll<T>(
        &mut self,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
            *self.bell.task() = self.task.clone();
        }
        // Only behind the task's waker: who rings now wakes it.
        if !self.bell.has_rung.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        self.bell.has_rung.store(false, Ordering::Release);
        let polled = poll(&mut Context::from_waker(&self.waker));
        if polled.is_ready() {
            // What goes on after that has to be polled again.
            self.bell.has_rung.store(true, Ordering::Release);
        }
        polled
    }
}

impl Bell {
    fn task(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        let task = self.task().clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Alarm")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;

    use tokio::time::{Duration, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_sleeps_is_polled_when_it_was_woken_and_not_with_its_neighbour() {
        let (mut alarm, polls) = (Alarm::new(), Cell::new(0));
        let (mut slow, mut busy) = (Box::pin(sleep(Duration::from_secs(10))), 0);
        let mut step = Box::pin(sleep(Duration::from_secs(1)));
        poll_fn(|cx| {
            while step.as_mut().poll(cx).is_ready() {
                busy += 1;
                step.set(sleep(Duration::from_secs(1)));
            }
            alarm.poll(cx, |cx| {
                polls.set(polls.get() + 1);
                slow.as_mut().poll(cx)
            })
        })
        .await;
        assert!(busy >= 9 && polls.get() == 2, "{busy} {}", polls.get());
    }
}
