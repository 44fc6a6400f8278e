//! The service's endpoints.

use bank_sdk::{Api, Empty, Endpoint, List};

use crate::wire::{Notification, NotificationPath, PageOf};

/// What the service offers.
#[must_use]
pub fn api() -> Api {
    Api::new("partners").endpoint(LIST.declare()).endpoint(READ.declare()).endpoint(EVENTS.declare())
}

/// The caller's notifications, newest first.
pub const LIST: Endpoint<PageOf, List<Notification>> =
    Endpoint::get("/v1/notifications").summary("Lists what you were told").scope("notifications:read");

/// Marks one of them as read; doing it again changes nothing.
pub const READ: Endpoint<NotificationPath, Notification> = Endpoint::post("/v1/notifications/{id}/read")
    .summary("Marks a notification as read")
    .scope("notifications:read")
    .idempotent();

/// What happens to the caller, as it happens: server-sent events named `transfer` (a
/// [`TransferChange`](crate::wire::TransferChange)) and `notification`, resumable by `Last-Event-ID`.
pub const EVENTS: Endpoint<Empty, Notification> = Endpoint::get("/v1/events")
    .summary("Streams what happens to you")
    .scope("notifications:read")
    .stream("text/event-stream")
    .problems(&[(429, "too_many_streams")]);
