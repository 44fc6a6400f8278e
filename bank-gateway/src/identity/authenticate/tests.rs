use async_trait::async_trait;
use bank_stores::Error;

use super::*;
use crate::identity::session::{Session, SessionStore};
use crate::identity::{Sessions, authorization, is_authorization, only_field};

/// Reads bearer tokens that begin with a letter of its own, or the field `x-code`.
#[derive(Debug)]
struct Letter {
    letter: &'static str,
    owns: Ownership,
    field: Option<&'static [&'static str]>,
}

impl Scheme for Letter {
    fn name(&self) -> &'static str {
        self.letter
    }

    fn is_presented(&self, request: &Request<Body>) -> bool {
        match self.field {
            Some(fields) => request.headers().contains_key(fields[0]),
            None => is_authorization(request.headers(), "bearer"),
        }
    }

    fn owns(&self, request: &Request<Body>) -> Ownership {
        let token = authorization(request.headers(), "bearer").unwrap_or_default();
        if self.owns == Ownership::Own && !token.starts_with(self.letter) {
            return Ownership::Foreign;
        }
        self.owns
    }

    fn credential_fields(&self) -> &[&'static str] {
        self.field.unwrap_or_default()
    }

    fn check<'a>(&'a self, request: &'a mut Request<Body>) -> Checked<'a> {
        let field = only_field(request.headers(), "x-code");
        let token = authorization(request.headers(), "bearer").or(field).unwrap_or_default();
        let holds = token.starts_with(self.letter) && token.ends_with('!');
        let principal = holds.then(|| Arc::new(Principal::customer(self.letter)));
        Box::pin(std::future::ready(principal.ok_or_else(refused_credential)))
    }

    fn challenge(&self) -> Option<HeaderValue> {
        Some(HeaderValue::from_static("Bearer"))
    }
}

fn letter(letter: &'static str, owns: Ownership) -> Arc<dyn Scheme> {
    Arc::new(Letter { letter, owns, field: None })
}

fn coded(letter: &'static str, fields: &'static [&'static str]) -> Arc<dyn Scheme> {
    Arc::new(Letter { letter, owns: Ownership::Possible, field: Some(fields) })
}

/// Who sends these fields, or the code of the refusal.
async fn who(gate: &Authenticate, fields: &[(&'static str, &str)]) -> String {
    let mut request = Request::new(Body::empty());
    for (name, value) in fields {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    match identify(gate, &mut request).await {
        Ok(Some(principal)) => principal.subject.clone(),
        Ok(None) => "nobody".to_owned(),
        Err(problem) => problem.code().unwrap_or_default().to_owned(),
    }
}

#[tokio::test]
async fn schemes_that_read_the_same_credential_do_not_refuse_each_other() {
    use Ownership::{Own, Possible};
    let gate =
        Authenticate::new([letter("a", Own), letter("b", Own), letter("c", Possible), letter("d", Possible)]);
    for (token, expected) in
        [("a!", "a"), ("b!", "b"), ("c!", "c"), ("d!", "d"), ("a?", "invalid_token"), ("e!", "invalid_token")]
    {
        assert_eq!(who(&gate, &[("authorization", &format!("Bearer {token}"))]).await, expected, "{token}");
    }
    let issuers = Authenticate::new([letter("a", Own), letter("b", Own)]);
    let mut request = Request::new(Body::empty());
    request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer x!"));
    let refused = identify(&issuers, &mut request).await.unwrap_err();
    assert_eq!((refused.status().as_u16(), refused.code()), (401, Some("invalid_token")));
    assert_eq!(refused.into_response("").headers()["www-authenticate"], "Bearer");
    assert_eq!(issuers.challenge().into_response("").headers().get_all("www-authenticate").iter().count(), 1);
}

#[tokio::test]
async fn s16_two_different_credentials_are_two_whoever_reads_them() {
    let bearer = letter("a", Ownership::Own);
    let codes = || [coded("a", &["x-code"]), coded("b", &["x-code"])];
    let sessions: Arc<dyn Scheme> = Arc::new(Sessions::new(Arc::new(NoSessions)));
    let gate = Authenticate::new([bearer, sessions].into_iter().chain(codes()));
    let (token, code, key) = (("authorization", "Bearer a!"), ("x-code", "b!"), ("x-api-key", "k"));
    let cookie = ("cookie", "__Host-session=ses_1.AAAA");
    assert_eq!(who(&gate, &[token]).await, "a");
    assert_eq!(who(&gate, &[code]).await, "b", "two schemes read one field");
    assert_eq!(who(&gate, &[cookie]).await, "invalid_token");
    for two in [[token, code], [token, cookie], [code, cookie], [token, key], [code, key], [cookie, key]] {
        assert_eq!(who(&gate, &two).await, "two_credentials", "{two:?}");
    }
    assert_eq!(who(&gate, &[("authorization", "Magic wand"), code]).await, "two_credentials");
    // One scheme may read several fields, beside `Authorization` or not.
    let signed = Authenticate::new([coded("a", &["x-code", "x-date"])]);
    assert_eq!(who(&signed, &[("x-code", "a!"), ("x-date", "now")]).await, "a");
    // Of two different fields each is a credential.
    let gate = Authenticate::new([coded("a", &["x-code"]), coded("b", &["x-other"])]);
    assert_eq!(who(&gate, &[("x-code", "a!"), ("x-other", "b!")]).await, "two_credentials");
}

#[test]
fn credentials_go_no_further() {
    let gate = Authenticate::new([coded("a", &["x-code"])]);
    let mut headers = HeaderMap::new();
    for name in ["x-code", "x_code", "authorization", "cookie", "x-kept"] {
        headers.insert(http::HeaderName::try_from(name).unwrap(), HeaderValue::from_static("v"));
    }
    gate.strip(&mut headers, true);
    assert_eq!(headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
}

#[test]
fn each_way_to_send_a_credential_is_described_once() {
    let sessions = || -> Arc<dyn Scheme> { Arc::new(Sessions::new(Arc::new(NoSessions))) };
    let gate = Authenticate::new([sessions(), sessions(), letter("a", Ownership::Own)]);
    let described = gate.describe();
    assert_eq!(described.len(), 1, "{described:?}");
    let json = described[0].as_value().clone();
    assert_eq!(
        (&json["type"], &json["in"], &json["name"]),
        (&"apiKey".into(), &"cookie".into(), &"__Host-session".into())
    );
    // Another way of the same name is numbered, not dropped.
    let named = |cookie: &'static str| -> Arc<dyn Scheme> { Arc::new(Described(cookie)) };
    let gate = Authenticate::new([named("a"), named("b"), named("a"), named("c")]);
    let described = gate.describe();
    let told: Vec<_> = described
        .iter()
        .map(|one| (one.name(), one.as_value()["name"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(told, [("cookie", "a"), ("cookie2", "b"), ("cookie3", "c")]);
}

#[derive(Debug)]
struct Described(&'static str);

impl Scheme for Described {
    fn name(&self) -> &'static str {
        "described"
    }

    fn describe(&self) -> Option<SecurityScheme> {
        Some(SecurityScheme::api_key_cookie(self.0))
    }

    fn is_presented(&self, _: &Request<Body>) -> bool {
        false
    }

    fn check<'a>(&'a self, _: &'a mut Request<Body>) -> Checked<'a> {
        Box::pin(std::future::ready(Err(refused_credential())))
    }
}

#[derive(Debug)]
struct NoSessions;

#[async_trait]
impl SessionStore for NoSessions {
    async fn session(&self, _: &str) -> Result<Option<Session>, Error> {
        Ok(None)
    }
}

#[derive(Debug)]
struct OneSession;

#[async_trait]
impl SessionStore for OneSession {
    async fn session(&self, id: &str) -> Result<Option<Session>, Error> {
        let far = bank_stores::Timestamp::from_seconds(4_000_000_000);
        let session = || Session::new(Arc::new(Principal::customer("ann")), [0; 32], [0; 32], far);
        Ok((id == "ses_1").then(session))
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_another_issuer_names_never_ends_here_and_one_of_ours_does() {
    let sessions = Sessions::new(Arc::new(OneSession));
    let gate =
        Authenticate::new([Arc::new(sessions.clone()) as Arc<dyn Scheme>, letter("a", Ownership::Own)]);
    assert!(sessions.is_live("ses_1").await.unwrap());
    let within = |time| std::time::Duration::from_secs(time);
    let foreign = gate.clone().session_ended("their-session".to_owned());
    let ours = tokio::spawn(gate.clone().session_ended("ses_1".to_owned()));
    assert!(tokio::time::timeout(within(60), foreign).await.is_err());
    assert!(!ours.is_finished());
    gate.forget_session("ses_1");
    tokio::time::timeout(within(1), ours).await.unwrap().unwrap();
    // Also where it ended before anybody asked.
    tokio::time::timeout(within(1), gate.session_ended("ses_1".to_owned())).await.unwrap();
}

/// Who calls, or nobody.
async fn identify(
    authenticate: &Authenticate,
    request: &mut Request<Body>,
) -> Result<Option<Arc<Principal>>, Problem> {
    match authenticate.choose(request)? {
        Chosen::Nobody => Ok(None),
        Chosen::Known(principal) => Ok(Some(principal)),
        Chosen::Unchecked(scheme) => check(&*scheme, request).await.map(Some),
    }
}
