//! Watches the frames of an HTTP/2 connection as they pass, for what hyper does not bound (S36): control frames, and
//! clients that leave their windows closed.
//!
//! It reads heads of frames and the sizes of windows, decodes no fields and changes no byte. What is malformed is left to
//! hyper.

mod budget;
mod frames;
mod windows;

use std::time::Duration;

use tokio::time::Instant;

use super::Limits;
use budget::{ANSWERED, Budget, FAULT, HEADERS, cost};
use frames::{Frames, Head, Part};
use windows::Windows;

/// With which each client begins.
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// `ENHANCE_YOUR_CALM` (RFC 9113 §7).
const CALM: u32 = 0xb;

/// Reasons for which this side resets streams without a fault of the client: NO_ERROR, INTERNAL_ERROR and CANCEL.
const OWN_REASONS: [u32; 3] = [0x0, 0x2, 0x8];

/// The frames of one connection, both ways.
#[derive(Debug)]
pub(super) struct Watcher {
    received: Frames,
    sent: Frames,
    budget: Budget,
    windows: Windows,
    /// The last stream that the client began.
    last: u32,
    /// Whether the fields of a head or trailer are still to come.
    in_fields: bool,
    /// Requests that were served, and requests that were refused for their fields, whose answers have not passed yet. An
    /// answer beside them is hyper's own, to a fault.
    served: u32,
    refused: u32,
    /// Since when a head, or a frame that is short, has been coming in.
    unfinished: Option<Instant>,
}

/// The client sent more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Excess;

impl Watcher {
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        // Streams beyond the limit are refused, but not before they were read.
        let most = usize::try_from(limits.control_frames.max(limits.streams)).unwrap_or(usize::MAX);
        Self {
            received: Frames::after(PREFACE),
            sent: Frames::after(0),
            budget: Budget::new(limits.control_frames, limits.control_frames_per_second, now),
            windows: Windows::new(most, limits.write_progress, now),
            last: 0,
            in_fields: false,
            served: 0,
            refused: 0,
            unfinished: None,
        }
    }

    /// Bytes of the client.
    pub(super) fn received(&mut self, bytes: &[u8], now: Instant) -> Result<(), Excess> {
        let Self { received, budget, windows, last, in_fields, unfinished, served, .. } = self;
        let mut within = Ok(());
        received.read(bytes, |part| {
            if let Part::Frame(head) = part {
                if matches!(head.kind, Head::HEADERS | Head::CONTINUATION) {
                    *unfinished = unfinished.filter(|_| *in_fields);
                    *in_fields = !head.ends_headers();
                } else if !*in_fields {
                    *unfinished = None;
                }
            }
            let result = match part {
                Part::Frame(head) if head.kind == Head::HEADERS && head.stream > *last => {
                    *last = head.stream;
                    budget.spend(HEADERS, now).is_ok() && windows.open(head.stream, now).is_ok()
                }
                Part::Frame(head) => budget.spend(cost(&head), now).is_ok(),
                Part::Reset(stream, _) => {
                    *served -= u32::from(windows.close(stream) && *served > 0);
                    true
                }
                Part::WindowUpdate(stream, bytes) => {
                    windows.update(stream, bytes, now);
                    true
                }
                // Not a frame, but as much work as one.
                Part::InitialWindow(bytes) => {
                    windows.set_initial(bytes, now);
                    budget.spend(1, now).is_ok()
                }
            };
            if !result {
                within = Err(Excess);
            }
        });
        if self.in_fields || self.received.is_inside() {
            self.unfinished.get_or_insert(now);
        } else {
            self.unfinished = None;
        }
        within
    }

    /// Since when a head, or another frame that is short, has been coming in.
    pub(super) const fn unfinished(&self) -> Option<Instant> {
        self.unfinished
    }

    /// Bytes of the server.
    pub(super) fn sent(&mut self, bytes: &[u8], now: Instant) {
        let Self { sent, budget, windows, served, refused, .. } = self;
        sent.read(bytes, |part| {
            let head = match part {
                Part::Frame(head) => head,
                Part::Reset(stream, reason) => {
                    *served -= u32::from(windows.close(stream) && *served > 0);
                    if !OWN_REASONS.contains(&reason) {
                        budget.charge(FAULT);
                    }
                    return;
                }
                _ => return,
            };
            if head.kind == Head::DATA {
                windows.sent(head.stream, head.length, now);
                budget.sent(head.length);
            }
            if head.kind == Head::HEADERS {
                windows.answer(head.stream);
            }
            let ends = matches!(head.kind, Head::DATA | Head::HEADERS) && head.ends_stream();
            if ends && windows.close(head.stream) {
                if *refused > 0 {
                    *refused -= 1;
                } else if *served > 0 {
                    *served -= 1;
                    budget.earn(ANSWERED);
                } else {
                    budget.charge(FAULT);
                }
            }
        });
    }

    /// So many requests were taken up, for which their heads had been paid, and so many were refused for their fields.
    pub(super) fn judged(&mut self, served: u32, refused: u32) {
        self.served = self.served.saturating_add(served);
        self.refused = self.refused.saturating_add(refused);
        self.budget.earn(served.saturating_mul(HEADERS));
        self.budget.charge(refused.saturating_mul(FAULT));
    }

    /// Whether an answer is being sent.
    pub(super) fn is_answering(&self) -> bool {
        self.windows.is_answering()
    }

    /// When the client has left a window closed for this long.
    pub(super) fn stall_ends(&self, limit: Duration) -> Option<Instant> {
        self.windows.ends(limit)
    }

    /// The frame with which the connection ends, where one can be sent: not in the middle of another.
    pub(super) fn goaway(&self) -> Option<[u8; 17]> {
        let [a, b, c, d] = self.last.to_be_bytes();
        let [e, f, g, h] = CALM.to_be_bytes();
        self.sent.is_between().then_some([0, 0, 8, 7, 0, 0, 0, 0, 0, a, b, c, d, e, f, g, h])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::frames::tests::frame;
    use super::*;

    fn watcher(now: Instant) -> Watcher {
        let mut watcher = Watcher::new(&Limits::default(), now);
        watcher.received(&[0; PREFACE], now).unwrap();
        watcher
    }

    /// How many of these frames a client may send at once, of 10,000.
    fn passed(mut next: impl FnMut(u32) -> Vec<u8>) -> u32 {
        let now = Instant::now();
        let mut watcher = watcher(now);
        (0..10_000).take_while(|number| watcher.received(&next(*number), now).is_ok()).count() as u32
    }

    #[test]
    fn s36_every_kind_of_control_frame_is_counted() {
        for (name, frame) in [
            ("PRIORITY", frame(2, 0, 1, &[0; 5])),
            ("RST_STREAM", frame(3, 0, 1, &[0; 4])),
            ("SETTINGS", frame(4, 0, 0, &[])),
            ("SETTINGS with a window", frame(4, 0, 0, &[0, 4, 0, 0, 0, 1])),
            ("SETTINGS acknowledged", frame(4, 1, 0, &[])),
            ("PUSH_PROMISE", frame(5, 0, 1, &[0; 4])),
            ("PING", frame(6, 0, 0, &[0; 8])),
            ("PING acknowledged", frame(6, 1, 0, &[0; 8])),
            ("GOAWAY", frame(7, 0, 0, &[0; 8])),
            ("WINDOW_UPDATE", frame(8, 0, 0, &[0, 0, 0, 1])),
            ("WINDOW_UPDATE of a stream", frame(8, 0, 1, &[0, 0, 0, 1])),
            ("CONTINUATION", frame(9, 0, 1, &[])),
            ("unknown", frame(0xf0, 0, 0, &[])),
            ("empty DATA", frame(0, 0, 1, &[])),
            ("tiny DATA", frame(0, 0, 1, &[0])),
            ("HEADERS of an old stream", frame(1, 4, 0, &[])),
        ] {
            let passed = passed(|_| frame.clone());
            assert!((500..=1_024).contains(&passed), "{name}: {passed}");
        }
        let streams = passed(|number| frame(1, 5, number * 2 + 1, &[]));
        assert_eq!(streams, 256, "requests that nobody takes up");
        assert_eq!(passed(|_| frame(0, 0, 1, &[0; 100])), 10_000, "DATA with content is not counted");
    }

    #[test]
    fn s36_a_request_that_is_reset_costs_and_one_that_is_answered_does_not() {
        let now = Instant::now();
        let mut resetting = watcher(now);
        let reset = (0..10_000_u32).take_while(|number| {
            let stream = number * 2 + 1;
            let within = resetting.received(&frame(1, 5, stream, &[]), now).is_ok();
            resetting.judged(1, 0);
            within && resetting.received(&frame(3, 0, stream, &[0; 4]), now).is_ok()
        });
        assert!(reset.count() <= 1_024);
        let mut answered = watcher(now);
        for number in 0..10_000_u32 {
            let stream = number * 2 + 1;
            answered.received(&frame(1, 5, stream, &[]), now).unwrap();
            answered.received(&frame(8, 0, stream, &[0, 0, 0, 1]), now).unwrap();
            answered.judged(1, 0);
            answered.sent(&frame(1, 4, stream, &[]), now);
            answered.sent(&frame(0, 1, stream, &[0; 20]), now);
            assert_eq!(answered.windows.len(), 0);
        }
    }

    #[test]
    fn s36_heads_that_are_refused_cost_more_than_others() {
        let now = Instant::now();
        let mut refused = watcher(now);
        let mut faulty = watcher(now);
        let head = |number: u32| frame(1, 5, number * 2 + 1, &[]);
        let passed = (0..10_000).take_while(|number| {
            let within = refused.received(&head(*number), now).is_ok();
            refused.judged(0, 1);
            refused.sent(&frame(1, 5, number * 2 + 1, &[]), now);
            within
        });
        assert_eq!(passed.count(), 32, "refused for its fields");
        let mut by_hyper = watcher(now);
        let passed = (0..10_000).take_while(|number| {
            let within = by_hyper.received(&head(*number), now).is_ok();
            by_hyper.sent(&frame(1, 5, number * 2 + 1, &[]), now);
            within
        });
        assert_eq!(passed.count(), 32, "answered by nobody here");
        let passed = (0..10_000).take_while(|number| {
            let within = faulty.received(&head(*number), now).is_ok();
            faulty.sent(&frame(3, 0, number * 2 + 1, &[0, 0, 0, 7]), now);
            within
        });
        assert_eq!(passed.count(), 32, "reset for a fault");
    }

    #[test]
    fn goaway_names_the_last_stream_and_never_stands_inside_another_frame() {
        let now = Instant::now();
        let mut watcher = watcher(now);
        watcher.received(&frame(1, 5, 7, &[]), now).unwrap();
        assert_eq!(watcher.goaway().unwrap()[9..], [0, 0, 0, 7, 0, 0, 0, 11]);
        let answer = frame(0, 0, 7, &[0; 20]);
        watcher.sent(&answer[..12], now);
        assert_eq!(watcher.goaway(), None);
        watcher.sent(&answer[12..], now);
        assert!(watcher.goaway().is_some());
    }

    #[test]
    fn s7_a_head_that_does_not_end_is_seen_and_a_slow_upload_is_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watcher = watcher(start);
        let whole = frame(1, 4, 1, b"fields");
        watcher.received(&whole[..5], at(1)).unwrap();
        watcher.received(&whole[5..12], at(2)).unwrap();
        assert_eq!(watcher.unfinished(), Some(at(2)), "from the frame's beginning");
        watcher.received(&whole[12..], at(3)).unwrap();
        assert_eq!(watcher.unfinished(), None);
        watcher.received(&frame(1, 0, 3, b"fields"), at(4)).unwrap();
        watcher.received(&frame(9, 0, 3, b"fields"), at(5)).unwrap();
        assert_eq!(watcher.unfinished(), Some(at(4)), "CONTINUATION goes on with the same head");
        watcher.received(&frame(9, 4, 3, b"fields"), at(6)).unwrap();
        assert_eq!(watcher.unfinished(), None);
        watcher.received(&frame(0, 0, 1, &[0; 100])[..50], at(7)).unwrap();
        assert_eq!(watcher.unfinished(), None, "DATA may come slowly");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_grow(
            received in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
            sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
        ) {
            let now = Instant::now();
            let mut watcher = watcher(now);
            for (received, sent) in received.iter().zip(&sent) {
                let _ = watcher.received(received, now);
                watcher.sent(sent, now);
                prop_assert!(watcher.windows.len() <= 1_024);
                watcher.stall_ends(Duration::from_secs(1));
            }
        }
    }
}
