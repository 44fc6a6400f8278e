//! Money: whole minor units of a currency, with checked arithmetic and no float anywhere.
//!
//! ```
//! use bank_stores::{Currency, Money};
//!
//! let price = Money::parse("12.34", Currency::EUR)?;
//! assert_eq!(price.minor(), 1234);
//! assert_eq!(price.to_string(), "12.34 EUR");
//! assert_eq!(serde_json::to_string(&price).unwrap(), r#"{"amount":"12.34","currency":"EUR"}"#);
//!
//! let thirds = Money::from_minor(100, Currency::EUR).allocate(&[1, 1, 1])?;
//! assert_eq!(thirds.iter().map(|part| part.minor()).collect::<Vec<_>>(), [34, 33, 33]);
//! # Ok::<(), bank_stores::Error>(())
//! ```

mod amount;
mod currency;
mod wire;

pub use amount::Money;
pub use currency::Currency;
