//! Access tokens (RFC 9068): signed, ten minutes long, and good only while their session is.

use std::time::Duration;

use bank_sdk::Problem;
use bank_stores::{Random, Timestamp, random};
use serde::Serialize;

use crate::session::Session;
use crate::signing_key::SigningKey;

/// Who makes the tokens (`iss`).
pub const ISSUER: &str = "https://bank.example";
/// Whom they are for (`aud`).
pub const AUDIENCE: &str = "bank";
/// How long one holds.
const LIFETIME: Duration = Duration::from_secs(600);

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'static str,
    aud: &'static str,
    sub: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
    sid: &'a str,
    scope: String,
    roles: &'a [String],
    auth_time: i64,
    amr: [&'static str; 1],
    client_id: &'static str,
}

/// A token for the session, and for how many seconds it holds.
pub(crate) fn access_token(
    key: &SigningKey,
    session: &Session,
    now: Timestamp,
    source: &dyn Random,
) -> Result<(String, u64), Problem> {
    // Never longer than the session.
    let expires_at = now.saturating_add(LIFETIME).min(session.expires_at);
    let claims = Claims {
        iss: ISSUER,
        aud: AUDIENCE,
        sub: &session.customer,
        iat: now.seconds(),
        exp: expires_at.seconds(),
        jti: random::id(source, "tok_"),
        sid: &session.id,
        scope: session.scopes.join(" "),
        roles: &session.roles,
        auth_time: session.auth_time.seconds(),
        amr: ["pwd"],
        client_id: "bank-web",
    };
    let token = key.sign(&claims).map_err(|error| {
        tracing::error!(%error, "an access token cannot be signed");
        Problem::internal()
    })?;
    Ok((token, expires_at.since(now).as_secs()))
}
