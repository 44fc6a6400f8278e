//! Rate limits in memory: many callers, bounded memory, nobody forgotten.
//!
//! ```
//! use bank_stores::limit::{Charge, LimitKey, LimitTable, Rate};
//! use std::num::NonZeroU32;
//!
//! let table = LimitTable::new(10_000);
//! let rate = Rate::per_second(NonZeroU32::new(2).unwrap());
//! let charge = [Charge::one(LimitKey::of("login", "192.0.2.7"), rate)];
//! assert!(table.take(0, &charge).allowed);
//! assert!(table.take(0, &charge).allowed);
//! let refused = table.take(0, &charge);
//! assert!(!refused.allowed);
//! assert_eq!(refused.verdicts()[0].retry_after.unwrap().as_millis(), 500);
//! ```
//!
//! Each key has a bucket by the generic cell rate algorithm (ITU-T I.371, as a virtual schedule): one number, the time at
//! which the bucket will be full again. All charges of one call are checked first and then all taken, or none.
//!
//! When the table is full, buckets that are full again make room, since they say nothing that an absent one does not.
//! Where there is none, a caller unknown so far is charged to one bucket that all such callers of the same rate share:
//! nobody known is ever reset to a fresh quota by a crowd of strangers.

mod charge;
mod rate;
mod shard;
mod table;

pub use charge::{Charge, Decision, LimitKey, LimitScope, LimitSubject, Verdict};
pub use rate::Rate;
pub use table::LimitTable;
