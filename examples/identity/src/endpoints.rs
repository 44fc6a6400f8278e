//! The service's endpoints.

use bank_sdk::{Api, Empty, Endpoint, List};

use crate::examples;
use crate::wire::{
    Credentials, CurrentSession, Customer, CustomerPath, JwkSet, Me, Named, NewCustomer, NewPassword, PageOf,
    Refresh, SessionPath, SessionTokens, SessionView, UsedSessions,
};

/// What the service offers.
#[must_use]
pub fn api() -> Api {
    Api::new("identity")
        .description("Customers, their sessions, and the keys of access tokens.")
        .endpoint(REGISTER.declare())
        .endpoint(SIGN_IN.declare())
        .endpoint(REFRESH.declare())
        .endpoint(CURRENT_SESSION.declare())
        .endpoint(SIGN_OUT.declare())
        .endpoint(SESSIONS.declare())
        .endpoint(END_SESSION.declare())
        .endpoint(END_OTHER_SESSIONS.declare())
        .endpoint(ME.declare())
        .endpoint(CHANGE_PASSWORD.declare())
        .endpoint(JWKS.declare())
        .endpoint(BY_USERNAME.declare())
        .endpoint(BY_ID.declare())
        .endpoint(SESSIONS_USED.declare())
}

/// Registers a customer.
pub const REGISTER: Endpoint<NewCustomer, Customer> = Endpoint::post("/v1/customers")
    .summary("Registers a customer")
    .operation_id("registerCustomer")
    .example("nora", examples::NEW_CUSTOMER, examples::CUSTOMER)
    .public()
    .created()
    .limit_class("registration")
    .problems(&[(409, "username_taken"), (422, "invalid_customer")]);

/// Opens a session for whoever proved name and password at the gateway.
pub const SIGN_IN: Endpoint<Credentials, SessionTokens> =
    Endpoint::post("/v1/sessions")
        .summary("Signs in")
        .operation_id("signIn")
        .description(
            "User name and password come in the body or by HTTP Basic. The answer has an access token for programs, and sets \
             the session cookie for browsers.",
        )
        .example("nora", examples::CREDENTIALS, examples::TOKENS)
        .login()
        .created()
        .limit_class("login");

/// New tokens for the refresh token, which can be used once.
pub const REFRESH: Endpoint<Refresh, SessionTokens> = Endpoint::post("/v1/sessions/refresh")
    .summary("Renews a session's tokens")
    .operation_id("refreshSession")
    .example("nora", examples::REFRESH, examples::TOKENS)
    .public()
    .limit_class("login")
    .problems(&[(401, "invalid_refresh_token"), (401, "session_ended")]);

/// The session that the caller's credential is of. A browser that comes by the session cookie, from the bank's own pages, is told
/// the token that it repeats in `X-CSRF-Token`: so a second tab needs no second login.
pub const CURRENT_SESSION: Endpoint<Empty, CurrentSession> = Endpoint::get("/v1/sessions/current")
    .summary("Shows the session that you are in")
    .operation_id("getCurrentSession")
    .example("nora", "", examples::CURRENT_SESSION)
    .authenticated()
    .problems(&[(401, "session_ended")]);

/// The caller's sessions that go on, the newest first.
pub const SESSIONS: Endpoint<PageOf, List<SessionView>> = Endpoint::get("/v1/sessions")
    .summary("Lists where you are signed in")
    .operation_id("listSessions")
    .example("one", "", examples::SESSIONS)
    .scope("profile");

/// Ends one of the caller's sessions; doing it again changes nothing.
pub const END_SESSION: Endpoint<SessionPath, Empty> = Endpoint::delete("/v1/sessions/{id}")
    .summary("Signs out elsewhere")
    .operation_id("endSession")
    .example("phone", examples::SESSION_PATH, "")
    .scope("profile")
    .no_content();

/// Ends all of the caller's sessions but the one that the call came by.
pub const END_OTHER_SESSIONS: Endpoint<Empty, Empty> = Endpoint::delete("/v1/sessions")
    .summary("Signs out everywhere else")
    .operation_id("endOtherSessions")
    .scope("profile")
    .no_content()
    .problems(&[(401, "session_ended")]);

/// Changes the caller's password. Their other sessions end, and the caller's own gets another cookie and other tokens.
pub const CHANGE_PASSWORD: Endpoint<NewPassword, SessionTokens> = Endpoint::put("/v1/me/password")
    .summary("Changes your password")
    .operation_id("changePassword")
    .description(
        "Your other sessions end. The session that you are in goes on with another cookie, CSRF token and refresh token: those of \
         before no longer work, and the answer has the new ones, like that to a login.",
    )
    .example("nora", examples::NEW_PASSWORD, examples::TOKENS)
    .scope("profile")
    .limit_class("login")
    .problems(&[
        (401, "session_ended"),
        (403, "wrong_password"),
        (422, "invalid_password"),
        (429, "too_many_failures"),
    ]);

/// Ends the caller's session.
pub const SIGN_OUT: Endpoint<Empty, Empty> = Endpoint::delete("/v1/sessions/current")
    .summary("Signs out")
    .operation_id("signOut")
    .authenticated()
    .no_content();

/// Who the caller is.
pub const ME: Endpoint<Empty, Me> = Endpoint::get("/v1/me")
    .summary("Shows who you are")
    .operation_id("getMe")
    .example("nora", "", examples::ME)
    .scope("profile");

/// The public keys of access tokens.
pub const JWKS: Endpoint<Empty, JwkSet> = Endpoint::get("/.well-known/jwks.json")
    .summary("The public keys of access tokens")
    .operation_id("getKeys")
    .example("one", "", examples::KEYS)
    .public();

/// A customer by the whole user name.
pub const BY_USERNAME: Endpoint<Named, Customer> = Endpoint::get("/internal/v1/customers")
    .summary("Who has this user name")
    .internal(&["accounts", "transactions", "partners"]);

/// A customer by id.
pub const BY_ID: Endpoint<CustomerPath, Customer> = Endpoint::get("/internal/v1/customers/{id}")
    .summary("Who this customer is")
    .internal(&["accounts", "transactions", "partners"]);

/// Which sessions a gateway saw used since it told last. It is a note for their customers, and nothing depends on it.
pub const SESSIONS_USED: Endpoint<UsedSessions, Empty> = Endpoint::post("/internal/v1/sessions/used")
    .summary("Notes which sessions are used")
    .internal(&["gateway"])
    .idempotent()
    .no_content();
