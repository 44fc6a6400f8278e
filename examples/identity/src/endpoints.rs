//! The service's endpoints.

use bank_sdk::{Api, Empty, Endpoint};

use crate::examples;
use crate::wire::{
    Credentials, Customer, CustomerPath, JwkSet, Me, Named, NewCustomer, Refresh, SessionTokens,
};

/// What the service offers.
#[must_use]
pub fn api() -> Api {
    Api::new("identity")
        .description("Customers, their sessions, and the keys of access tokens.")
        .endpoint(REGISTER.declare())
        .endpoint(SIGN_IN.declare())
        .endpoint(REFRESH.declare())
        .endpoint(SIGN_OUT.declare())
        .endpoint(ME.declare())
        .endpoint(JWKS.declare())
        .endpoint(BY_USERNAME.declare())
        .endpoint(BY_ID.declare())
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
    .internal(&["transactions", "partners"]);

/// A customer by id.
pub const BY_ID: Endpoint<CustomerPath, Customer> = Endpoint::get("/internal/v1/customers/{id}")
    .summary("Who this customer is")
    .internal(&["transactions", "partners"]);
