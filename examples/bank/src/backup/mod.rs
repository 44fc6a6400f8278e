//! `bank backup` and `bank restore`: the whole bank, or the parts of it that are in the data directory.
//!
//! The stores are copied one after the other while the bank runs, each as it was at one moment. They are not of the same moment, so that
//! their order counts: what follows another's events is copied before it, and what others rely on last.
//!
//! | Copied | Why then |
//! | --- | --- |
//! | partners | follows the events of accounts and transactions: what it has not told yet, it finds again in newer copies of them |
//! | transactions | a transfer that says `completed` has its posting in the ledger's copy, which is newer |
//! | accounts | each owner of an account is in identity's copy, which is newer |
//! | identity | nobody waits for it |
//! | keys | a data key is there before anything is sealed with it, so that they come behind what they seal |
//!
//! A ledger on PostgreSQL is copied by PostgreSQL's own programs. What is on DynamoDB or MongoDB is copied by those servers' means.
//!
//! After a restore each store begins another epoch of its events, so that a consumer notices that its position is of another history
//! (docs/stores.md, Events) and takes up what it missed.

mod manifest;
mod mark;
#[cfg(feature = "servers")]
mod postgres;
mod restore;
mod small_files;
mod take;

pub(crate) use mark::check_finished;
pub(crate) use restore::{Restore, restore};
pub(crate) use take::backup;

use crate::args::Part;
use crate::stores::{IDENTITY, LEDGER, PARTNERS, TRANSACTIONS};

/// The parts in the order in which they are copied, and the file with each part's data.
const ORDER: [(Part, &str); 4] = [
    (Part::Partners, PARTNERS),
    (Part::Transactions, TRANSACTIONS),
    (Part::Accounts, LEDGER),
    (Part::Identity, IDENTITY),
];

/// Files of data keys, which belong to the part with the ledger or the documents.
const KEYS: [(Part, &str); 2] = [(Part::Partners, "partners/seal.db"), (Part::Accounts, "accounts/seal.db")];

/// The ledger of PostgreSQL in a backup.
const DUMP: &str = "accounts/ledger.dump";

/// Whether a part's server is one that can be told to copy what it has.
fn server_copies(part: Part) -> bool {
    cfg!(feature = "servers") && part == Part::Accounts
}

/// Is told how much of a step is done, in its own unit.
pub(crate) type Progress<'a> = &'a mut (dyn FnMut(&'static str, u64, u64) + Send);
