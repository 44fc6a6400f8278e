//! Reads the heads of HTTP/2 frames (RFC 9113 §4.1) out of a stream of bytes, however it is split.

/// Bytes of a frame's head.
const HEAD: usize = 9;

/// `END_STREAM` of HEADERS and DATA.
const END_STREAM: u8 = 0x1;

/// `ACK` of SETTINGS and PING.
const ACK: u8 = 0x1;

/// `END_HEADERS` of HEADERS and CONTINUATION.
const END_HEADERS: u8 = 0x4;

/// What a frame's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    pub(super) const DATA: u8 = 0x0;
    pub(super) const HEADERS: u8 = 0x1;
    pub(super) const RST_STREAM: u8 = 0x3;
    pub(super) const SETTINGS: u8 = 0x4;
    pub(super) const WINDOW_UPDATE: u8 = 0x8;
    pub(super) const CONTINUATION: u8 = 0x9;

    const fn read(bytes: [u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, s, t, u, v] = bytes;
        let length = (a as usize) << 16 | (b as usize) << 8 | c as usize;
        // The highest bit of the stream is reserved, and ignored.
        Self { length, kind, flags, stream: u32::from_be_bytes([s & 0x7f, t, u, v]) }
    }

    pub(super) const fn ends_stream(&self) -> bool {
        self.flags & END_STREAM != 0
    }

    pub(super) const fn ends_headers(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    pub(super) const fn is_ack(&self) -> bool {
        self.flags & ACK != 0
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A frame begins.
    Frame(Head),
    /// The client's window grows, for the whole connection on stream 0.
    WindowUpdate(u32, u32),
    /// A stream is reset, for this reason.
    Reset(u32, u32),
    /// The client chose `SETTINGS_INITIAL_WINDOW_SIZE`.
    InitialWindow(u32),
}

/// Where in the stream of bytes one side stands. It keeps 9 bytes of a head and 6 of a payload.
#[derive(Clone, Debug)]
pub(super) struct Frames {
    /// Bytes to be passed over before the first frame.
    preface: usize,
    head: [u8; HEAD],
    have: usize,
    frame: Head,
    /// Bytes of the frame that are still to come.
    left: usize,
    entry: [u8; 6],
    entered: usize,
}

impl Frames {
    /// A stream that begins with so many bytes of another kind.
    pub(super) const fn after(preface: usize) -> Self {
        let frame = Head { length: 0, kind: 0, flags: 0, stream: 0 };
        Self { preface, head: [0; HEAD], have: 0, frame, left: 0, entry: [0; 6], entered: 0 }
    }

    /// Whether a frame has ended and no other begun.
    pub(super) const fn is_between(&self) -> bool {
        self.preface == 0 && self.have == 0 && self.left == 0
    }

    /// Whether a frame other than DATA has begun and not ended: all of those are short.
    pub(super) const fn is_inside(&self) -> bool {
        self.have > 0 || (self.left > 0 && self.frame.kind != Head::DATA)
    }

    /// Reads the next bytes, and tells what is found in them.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut found: impl FnMut(Part)) {
        let skipped = self.preface.min(bytes.len());
        self.preface -= skipped;
        bytes = &bytes[skipped..];
        while !bytes.is_empty() {
            if self.left > 0 {
                let (payload, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.payload(payload, &mut found);
                self.left -= payload.len();
                bytes = rest;
                continue;
            }
            let (head, rest) = bytes.split_at((HEAD - self.have).min(bytes.len()));
            self.head[self.have..self.have + head.len()].copy_from_slice(head);
            self.have += head.len();
            bytes = rest;
            if self.have == HEAD {
                self.frame = Head::read(self.head);
                (self.have, self.left, self.entered) = (0, self.frame.length, 0);
                found(Part::Frame(self.frame));
            }
        }
    }

    /// The parts of a payload that say how large windows are, and why a stream is reset; all others are passed over.
    fn payload(&mut self, bytes: &[u8], found: &mut impl FnMut(Part)) {
        let size = match self.frame.kind {
            Head::WINDOW_UPDATE | Head::RST_STREAM => 4,
            Head::SETTINGS if !self.frame.is_ack() => 6,
            _ => return,
        };
        for byte in bytes {
            self.entry[self.entered] = *byte;
            self.entered += 1;
            if self.entered < size {
                continue;
            }
            self.entered = 0;
            let [a, b, c, d, e, f] = self.entry;
            match self.frame.kind {
                Head::WINDOW_UPDATE => {
                    found(Part::WindowUpdate(self.frame.stream, u32::from_be_bytes([a & 0x7f, b, c, d])));
                }
                Head::RST_STREAM => {
                    found(Part::Reset(self.frame.stream, u32::from_be_bytes([a, b, c, d])));
                }
                _ if [a, b] == [0, 4] => found(Part::InitialWindow(u32::from_be_bytes([c, d, e, f]))),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame as bytes.
    pub(in super::super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[a, b, c, kind, flags], &stream.to_be_bytes()[..], payload].concat()
    }

    fn read(frames: &mut Frames, bytes: &[u8]) -> Vec<Part> {
        let mut parts = Vec::new();
        frames.read(bytes, |part| parts.push(part));
        parts
    }

    #[test]
    fn frames_are_found_wherever_the_bytes_are_split() {
        let bytes = [
            b"PRI".to_vec(),
            frame(Head::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9, 0, 4, 0, 0, 1, 0]),
            frame(Head::SETTINGS, 1, 0, &[]),
            frame(Head::HEADERS, 5, 1, b"head"),
            frame(Head::WINDOW_UPDATE, 0, 1, &[0x80, 0, 0, 7]),
            frame(Head::RST_STREAM, 0, 1, &[0, 0, 0, 8]),
            frame(Head::DATA, 1, 3, &[0; 300]),
        ]
        .concat();
        let whole = read(&mut Frames::after(3), &bytes);
        assert_eq!(whole.len(), 9);
        assert_eq!(whole[1], Part::InitialWindow(256));
        assert_eq!(whole[5], Part::WindowUpdate(1, 7));
        assert_eq!(whole[7], Part::Reset(1, 8));
        for at in 0..=bytes.len() {
            let mut frames = Frames::after(3);
            let mut parts = read(&mut frames, &bytes[..at]);
            parts.extend(read(&mut frames, &bytes[at..]));
            assert_eq!(parts, whole, "split at {at}");
            assert!(frames.is_between());
        }
    }

    proptest! {
        #[test]
        fn any_split_of_any_bytes_gives_the_same_frames(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            cuts in prop::collection::vec(1_usize..40, 0..60),
        ) {
            let whole = read(&mut Frames::after(0), &bytes);
            let (mut frames, mut parts, mut rest) = (Frames::after(0), Vec::new(), &bytes[..]);
            for cut in cuts {
                let (next, after) = rest.split_at(cut.min(rest.len()));
                parts.extend(read(&mut frames, next));
                rest = after;
            }
            parts.extend(read(&mut frames, rest));
            prop_assert_eq!(parts, whole);
        }

        #[test]
        fn each_frame_that_was_written_is_read(
            written in prop::collection::vec((0_u8..12, any::<u8>(), 0_u32..1 << 31, 0_usize..50), 0..20),
        ) {
            let bytes: Vec<u8> = written
                .iter()
                .flat_map(|(kind, flags, stream, length)| frame(*kind, *flags, *stream, &vec![1; *length]))
                .collect();
            let heads: Vec<Head> = read(&mut Frames::after(0), &bytes)
                .into_iter()
                .filter_map(|part| match part { Part::Frame(head) => Some(head), _ => None })
                .collect();
            let expected: Vec<Head> = written
                .iter()
                .map(|&(kind, flags, stream, length)| Head { length, kind, flags, stream })
                .collect();
            prop_assert_eq!(heads, expected);
        }
    }
}
