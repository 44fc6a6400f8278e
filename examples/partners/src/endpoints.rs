//! The service's endpoints.

use bank_sdk::{Api, Empty, Endpoint};

use crate::examples;
use crate::wire::{Inbox, Notification, NotificationPath, PageOf, ReadBefore, TransferChange};

/// What the service offers.
#[must_use]
pub fn api() -> Api {
    Api::new("partners")
        .description("What the bank tells its customers: notifications, kept and live.")
        .endpoint(LIST.declare())
        .endpoint(READ.declare())
        .endpoint(READ_BEFORE.declare())
        .endpoint(EVENTS.declare())
}

/// The caller's notifications, newest first, and how many of all are unread.
pub const LIST: Endpoint<PageOf, Inbox> = Endpoint::get("/v1/notifications")
    .summary("Lists what you were told")
    .operation_id("listNotifications")
    .example("one", "", examples::NOTIFICATIONS)
    .scope("notifications:read");

/// Marks one of them as read; doing it again changes nothing.
pub const READ: Endpoint<NotificationPath, Notification> = Endpoint::post("/v1/notifications/{id}/read")
    .summary("Marks a notification as read")
    .operation_id("markNotificationRead")
    .example("read", examples::NOTIFICATION_PATH, examples::NOTIFICATION)
    .scope("notifications:read")
    .idempotent();

/// Marks one of them and all older ones as read; doing it again changes nothing.
pub const READ_BEFORE: Endpoint<ReadBefore, Empty> = Endpoint::post("/v1/notifications/read")
    .summary("Marks all notifications up to one as read")
    .operation_id("markNotificationsRead")
    .example("newest", examples::READ_BEFORE, "")
    .scope("notifications:read")
    .idempotent()
    .no_content();

/// What happens to the caller, as it happens: server-sent events named `transfer` (a
/// [`TransferChange`]) and `notification`, resumable by `Last-Event-ID`. At the beginning, and every
/// ten seconds, comes an event named `ping`: a reader who hears nothing for longer has lost the connection.
pub const EVENTS: Endpoint<Empty, Notification> = Endpoint::get("/v1/events")
    .summary("Streams what happens to you")
    .operation_id("streamEvents")
    .description(
        "Server-sent events. A stream ends after ten minutes at the latest; open it again with the last `id` as \
         `Last-Event-ID`, and nothing is missed.",
    )
    .event::<TransferChange>("transfer")
    .event::<Notification>("notification")
    .example_as("text/event-stream", "received", "", examples::STREAM)
    .scope("notifications:read")
    .stream("text/event-stream")
    .problems(&[(429, "too_many_streams")]);
