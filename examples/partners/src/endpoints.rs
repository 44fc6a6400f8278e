//! The service's endpoints.

use bank_sdk::{Api, Empty, Endpoint};

use crate::wire::{Inbox, Notification, NotificationPath, PageOf, ReadBefore};

/// What the service offers.
#[must_use]
pub fn api() -> Api {
    Api::new("partners")
        .endpoint(LIST.declare())
        .endpoint(READ.declare())
        .endpoint(READ_BEFORE.declare())
        .endpoint(EVENTS.declare())
}

/// The caller's notifications, newest first, and how many of all are unread.
pub const LIST: Endpoint<PageOf, Inbox> =
    Endpoint::get("/v1/notifications").summary("Lists what you were told").scope("notifications:read");

/// Marks one of them as read; doing it again changes nothing.
pub const READ: Endpoint<NotificationPath, Notification> = Endpoint::post("/v1/notifications/{id}/read")
    .summary("Marks a notification as read")
    .scope("notifications:read")
    .idempotent();

/// Marks one of them and all older ones as read; doing it again changes nothing.
pub const READ_BEFORE: Endpoint<ReadBefore, Empty> = Endpoint::post("/v1/notifications/read")
    .summary("Marks all notifications up to one as read")
    .scope("notifications:read")
    .idempotent()
    .no_content();

/// What happens to the caller, as it happens: server-sent events named `transfer` (a
/// [`TransferChange`](crate::wire::TransferChange)) and `notification`, resumable by `Last-Event-ID`. At the beginning, and every
/// ten seconds, comes an event named `ping`: a reader who hears nothing for longer has lost the connection.
pub const EVENTS: Endpoint<Empty, Notification> = Endpoint::get("/v1/events")
    .summary("Streams what happens to you")
    .scope("notifications:read")
    .stream("text/event-stream")
    .problems(&[(429, "too_many_streams")]);
