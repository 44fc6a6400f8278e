//! The same promises with five parts as five processes on one data directory, and two gateways that are asked in turn.

#[path = "activity.rs"]
mod activity;
#[path = "contract.rs"]
mod contract;
#[path = "hostile.rs"]
mod hostile;
#[path = "idempotency.rs"]
mod idempotency;
#[path = "notifications.rs"]
mod notifications;
#[path = "ownership.rs"]
mod ownership;
#[path = "sessions.rs"]
mod sessions;
#[path = "staff.rs"]
mod staff;
