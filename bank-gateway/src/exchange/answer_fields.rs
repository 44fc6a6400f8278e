//! Header fields for an answer that is still to come.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Header fields for the answer. The first two take no memory of their own: most answers have no more.
#[derive(Default)]
pub(super) struct AnswerFields {
    few: [Option<(HeaderName, HeaderValue)>; 2],
    more: Vec<(HeaderName, HeaderValue)>,
}

impl AnswerFields {
    pub(super) fn push(&mut self, name: HeaderName, value: HeaderValue) {
        match self.few.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some((name, value)),
            None => self.more.push((name, value)),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.few.iter().flatten().chain(&self.more).map(|(name, _)| name)
    }

    pub(super) fn append_to(&mut self, headers: &mut HeaderMap) {
        for place in &mut self.few {
            let Some((name, value)) = place.take() else { return };
            headers.append(name, value);
        }
        for (name, value) in self.more.drain(..) {
            headers.append(name, value);
        }
    }
}
