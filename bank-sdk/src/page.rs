//! Lists on the wire: `{"items":[…],"next":"cursor"|null}`.

use bank_stores::{Cursor, Error, Page, PageRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub struct List<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Where the next page starts; `null` at the end.
    pub next: Option<String>,
}

impl<T> List<T> {
    /// A list that is whole.
    #[must_use]
    pub const fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    /// A store's page, each item as it stands on the wire.
    pub fn from_page<S>(page: Page<S>, wire: impl FnMut(S) -> T) -> Self {
        Self {
            items: page.items.into_iter().map(wire).collect(),
            next: page.next.map(|cursor| cursor.as_str().to_owned()),
        }
    }
}

const MIN_LIMIT: u32 = 1;
const MAX_LIMIT: u32 = 200;
const DEFAULT_LIMIT: u32 = 50;

/// The number of items in a page: 1 to 200, 50 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Limit(u32);

impl Default for Limit {
    fn default() -> Self {
        Self(DEFAULT_LIMIT)
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "description": "The number of items in a page.", "minimum": MIN_LIMIT, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT })
    }
}

impl TryFrom<u32> for Limit {
    type Error = &'static str;

    fn try_from(limit: u32) -> Result<Self, Self::Error> {
        if (MIN_LIMIT..=MAX_LIMIT).contains(&limit) { Ok(Self(limit)) } else { Err("must be 1 to 200") }
    }
}

impl From<Limit> for u32 {
    fn from(limit: Limit) -> Self {
        limit.0
    }
}

/// The page that a caller's `limit` and `after` ask for, newest first.
///
/// # Errors
/// Where the cursor is not one of ours.
pub fn newest_first(limit: Option<Limit>, after: Option<&str>) -> Result<PageRequest, Error> {
    let page = PageRequest::first(limit.unwrap_or_default().0).backward();
    Ok(match after {
        Some(after) => page.after(Cursor::from_text(after)),
        None => page,
    })
}

/// As [`newest_first`], oldest first.
///
/// # Errors
/// Where the cursor is not one of ours.
pub fn oldest_first(limit: Option<Limit>, after: Option<&str>) -> Result<PageRequest, Error> {
    newest_first(limit, after).map(PageRequest::forward)
}
