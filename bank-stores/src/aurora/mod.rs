//! Aurora PostgreSQL, and any PostgreSQL from version 14 on, through sqlx.
//!
//! ```no_run
//! use bank_stores::aurora::{AuroraLedger, AuroraOptions};
//!
//! # async fn open() -> bank_stores::Result<()> {
//! let options = AuroraOptions::new("postgres://ledger@bank.cluster-x.eu-central-1.rds.amazonaws.com/bank")?
//!     .readers("postgres://ledger@bank.cluster-ro-x.eu-central-1.rds.amazonaws.com/bank")?
//!     .root_certificates("global-bundle.pem");
//! let ledger = AuroraLedger::open(options).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | What may happen | What is done |
//! | --- | --- |
//! | several processes write | groups of commands take turns: a lock is taken first, so that none waits for another in a circle, and the sequence is the order of commit; a process that writes alone commits postings in one statement |
//! | the connection is lost before the commit was sent | the group is executed again on a new connection, twice at most |
//! | it is lost while a group of postings is committed in one statement | they are looked up and executed again where they did not happen; what did is told as a replay |
//! | it is lost around another group's commit, or the server cannot be asked | `Indeterminate`: look the commands up, or send them again under their ids; what is looked up in vain never happens later |
//! | a failover leaves a connection to a demoted writer (SQLSTATE 25006) | it is closed, the name is resolved again, and the group executed there |
//! | a process stops in the middle of a group | the server ends its transaction after [`AuroraOptions::idle_in_transaction_timeout`] |
//! | the process that ends holds and adds to the chain stops, or falls silent | another one that has the ledger open takes over, within two or twelve seconds |
//! | a process that brings the tables to a newer version hangs | whoever waits for it is `Unavailable` after [`AuroraOptions::migration_wait`] without progress |
//! | the server cannot be reached | `Unavailable`, within the timeouts of [`AuroraOptions`] |
//!
//! Booking times and deadlines are by the server's clock, and booking times never go back. What a process has read as expired, none of
//! its commands finds open, unless the server's clock goes back by more than a second. A process whose own clock is wrong, or whose
//! machine was suspended, does no harm.
//!
//! TLS with verification of certificate and name is used unless the server is on this machine (see
//! [`requires_tls`](crate::connect::requires_tls)).

mod clock;
mod database;
mod error;
mod ledger;
mod migrate;
mod options;

pub use ledger::AuroraLedger;
#[cfg(feature = "conformance")]
pub use migrate::Step;
pub use options::{AuroraOptions, FixedPassword, PasswordProvider};
