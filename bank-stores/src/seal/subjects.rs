//! Whose a value is.

use std::fmt;

use serde_json::Value;

use crate::items::Key;
use crate::outbox::NewEvent;

/// Says whose a value is when it is written, by its place or by what it holds.
///
/// What is somebody's is sealed under that subject's own key, and is gone when the key is shredded. What is nobody's in particular
/// (`None`) is sealed under the common key. The answer for one write has to be the same whenever that write is sent.
///
/// A subject is an opaque id, such as a customer's: 1 to 1,000 bytes. It stands in the store of keys in the clear.
///
/// ```
/// use bank_stores::items::Key;
/// use bank_stores::seal::Subjects;
///
/// /// Rows of a customer are in a partition of their name.
/// #[derive(Debug)]
/// struct ByPartition;
///
/// impl Subjects for ByPartition {
///     fn of_item(&self, key: &Key, _value: &[u8]) -> Option<String> {
///         key.partition.strip_prefix("customer#").map(str::to_owned)
///     }
/// }
///
/// let of = |partition: &str| ByPartition.of_item(&Key::new(partition, "x"), b"");
/// assert_eq!((of("customer#c1"), of("rates")), (Some("c1".to_owned()), None));
/// ```
pub trait Subjects: fmt::Debug + Send + Sync + 'static {
    /// Whose an item is.
    fn of_item(&self, key: &Key, value: &[u8]) -> Option<String> {
        let _ = (key, value);
        None
    }

    /// Whose an event is.
    fn of_event(&self, event: &NewEvent) -> Option<String> {
        let _ = event;
        None
    }

    /// Whose a document is.
    fn of_document(&self, collection: &str, id: &str, body: &Value) -> Option<String> {
        let _ = (collection, id, body);
        None
    }
}

/// All is nobody's in particular.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Common;

impl Common {
    /// All is nobody's in particular.
    pub const fn new() -> Self {
        Self
    }
}

impl Subjects for Common {}
