//! Limits that several processes may share.

use std::collections::HashSet;
use std::fmt;

use async_trait::async_trait;

use super::{Rate, Verdict};
use crate::{Error, Result};

/// The most charges of a call.
pub const MAX_CHARGES: usize = 16;
/// The longest name of a group and of a bucket, in bytes.
pub const MAX_NAME: usize = 256;
/// An empty bucket fills in less than this, in microseconds: beyond it an engine that counts in floating point would be wrong.
const LONGEST: u128 = 1 << 52;

/// So many units from the bucket of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedCharge {
    /// Names the bucket within its group; one name has one rate.
    pub key: String,
    /// The bucket's rate.
    pub rate: Rate,
    /// How many units; 0 only looks.
    pub cost: u32,
}

impl NamedCharge {
    /// `cost` units from the bucket `key`.
    pub fn new(key: impl Into<String>, rate: Rate, cost: u32) -> Self {
        Self { key: key.into(), rate, cost }
    }
}

/// Rate limits by the store's clock.
///
/// ```
/// # #[cfg(feature = "embedded")]
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use bank_stores::Limits;
/// use bank_stores::embedded::MemoryLimits;
/// use bank_stores::limit::{NamedCharge, Rate};
/// use std::num::NonZeroU32;
///
/// let limits = MemoryLimits::new();
/// let rate = Rate::per_minute(NonZeroU32::new(2).unwrap());
/// let charges = [NamedCharge::new("reads", rate, 1), NamedCharge::new("all", rate, 2)];
/// assert!(limits.take("customer:ann", &charges).await?.iter().all(|verdict| verdict.allowed));
/// // One of them has not enough: nothing is taken from either.
/// let verdicts = limits.take("customer:ann", &charges).await?;
/// assert_eq!((verdicts[0].remaining, verdicts[1].allowed), (1, false));
/// # Ok::<(), bank_stores::Error>(())
/// # }).unwrap();
/// ```
#[async_trait]
pub trait Limits: fmt::Debug + Send + Sync + 'static {
    /// Takes all `charges` from the buckets of one group, or none if one of them has not enough; one verdict a charge, in their
    /// order. They were taken if every verdict is `allowed`.
    ///
    /// A group is what is charged together, such as a customer. Groups are apart: a call for each, and no refund.
    ///
    /// What was taken may be given once more when a store fails over to a copy that did not know of it.
    async fn take(&self, group: &str, charges: &[NamedCharge]) -> Result<Vec<Verdict>>;
}

/// Checks the form of a call; adapters call it first.
pub fn check(group: &str, charges: &[NamedCharge]) -> Result<()> {
    let named = |name: &str| (1..=MAX_NAME).contains(&name.len());
    if !named(group) {
        return Err(Error::invalid("group", format!("1 to {MAX_NAME} bytes")));
    }
    if !(1..=MAX_CHARGES).contains(&charges.len()) {
        return Err(Error::invalid("charges", format!("1 to {MAX_CHARGES} charges")));
    }
    let mut seen = HashSet::with_capacity(charges.len());
    for (index, charge) in charges.iter().enumerate() {
        if !named(&charge.key) || !seen.insert(&*charge.key) {
            let message = format!("1 to {MAX_NAME} bytes, and another for each charge");
            return Err(Error::invalid(format!("charges[{index}].key"), message));
        }
        let interval = u128::from(charge.rate.interval()).div_ceil(1_000);
        if interval * u128::from(charge.rate.quota().get()) >= LONGEST {
            let message = "an empty bucket fills in less than 142 years";
            return Err(Error::invalid(format!("charges[{index}].rate"), message));
        }
    }
    Ok(())
}
