//! Header fields on their way: what is removed, what is set, what goes on.

use super::*;

#[test]
fn a_spoofed_identity_header_never_arrives() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let route = Route::all("/files/{*rest}").access(Access::Public);
        before(&[&upstream])(builder).route(route, Upstream::at([upstream.url()]).foreign())
    });
    let names = [
        "bank-identity",
        "Bank-Identity",
        "BANK-IDENTITY",
        "bank_identity",
        "Bank_Identity",
        "bank-principal",
        "bank_roles",
        "forwarded",
        "X-Forwarded-For",
        "x_forwarded_for",
        "x-forwarded_for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "X-Forwarded-Client-Cert",
        "x-real-ip",
        "x_real_ip",
        "x-client-cert",
        "x-client-cert-san",
        "x_client_cert",
        "x-user",
        "x-user-id",
        "x_user_id",
        "x-identity",
        "x-identity-sub",
        "x-bank-role",
        "x_bank_role",
        "x-request-id",
        "x_request_id",
        "x-original-url",
        "x-rewrite-url",
        "x-envoy-external-address",
    ];
    let client = edge.client();
    for path in ["/v1/things", "/files/a"] {
        for name in names {
            client.send(ann(Request::get(path).header(name, "forged"))).expect(200);
        }
        let all = names.iter().fold(ann(Request::get(path)), |request, name| request.header(name, "forged"));
        client.send(all).expect(200);
    }
    for request in upstream.received() {
        let forged: Vec<_> = request.headers.iter().filter(|(_, value)| value.contains("forged")).collect();
        assert!(forged.is_empty(), "{}: {forged:?}", request.line);
        assert!(
            request.header("x-forwarded-for").is_some_and(|from| from.starts_with("127.")),
            "{:?}",
            request.headers
        );
        match request.header("bank-identity") {
            Some(token) => {
                assert_eq!(
                    request.header("x-api-key"),
                    None,
                    "what proves a caller to the gateway is not for services"
                );
                let identity = identity_keys().verify(token).unwrap();
                assert_eq!(identity.principal.unwrap().subject, "ann");
                assert_eq!(Some(&*identity.request_id), request.header("x-request-id"));
            }
            None => assert!(request.line.contains("/files/"), "{}", request.line),
        }
    }
}

#[test]
fn naming_a_field_in_connection_never_removes_what_the_gateway_sets() {
    if Wire::of_this_program().is_http2() {
        // There is no `Connection` there.
        return;
    }
    let upstream = Recorder::start();
    let edge = Edge::start(before(&[&upstream]));
    let names = ["bank-identity", "bank-timeout-ms", "x-request-id", "x-forwarded-for", "traceparent"];
    for name in names {
        let refused = edge.client().send(ann(Request::get("/v1/things").header("connection", name)));
        assert_eq!(refused.problem(400), "ambiguous_fields", "{name}");
    }
    edge.client().send(ann(Request::get("/v1/things").header("connection", "x-hop"))).expect(200);
    let request = upstream.only();
    for name in names {
        assert!(request.header(name).is_some(), "`{name}` is gone: {:?}", request.headers);
    }
}

#[test]
fn hop_by_hop_fields_end_at_the_gateway_both_ways() {
    let upstream = Recorder::answering(|_| {
        let reply = Reply::ok()
            .header("connection", "x-inner")
            .header("x-inner", "1")
            .header("keep-alive", "timeout=5");
        reply.header("proxy-authenticate", "Basic").header("x-kept", "1")
    });
    let edge = Edge::start(before(&[&upstream]));
    let request = ann(Request::get("/v1/things"))
        .header("connection", "keep-alive, X-Hop")
        .header("x-hop", "1")
        .header("keep-alive", "timeout=5")
        .header("proxy-authorization", "Basic x")
        .header("proxy-connection", "keep-alive")
        .header("te", "trailers")
        .header("trailer", "x-late")
        .header("cookie", "a=b")
        .header("x-end-to-end", "1");
    let answer = edge.client().send(request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = upstream.only();
    for name in ["x-hop", "keep-alive", "proxy-authorization", "proxy-connection", "trailer", "cookie"] {
        assert_eq!(received.header(name), None, "{:?}", received.headers);
    }
    // On HTTP/1.1 it holds only where `Connection` names it.
    let trailers = Wire::of_this_program().is_http2().then_some("trailers");
    assert_eq!(received.header("te"), trailers, "{:?}", received.headers);
    assert_eq!(received.header("x-end-to-end"), Some("1"));
    for name in ["x-inner", "keep-alive", "proxy-authenticate"] {
        assert_eq!(answer.header(name), None, "{:?}", answer.headers);
    }
    assert_eq!(answer.header("x-kept"), Some("1"));
}

#[test]
fn a_valid_trace_is_continued_and_any_other_replaced() {
    let upstream = Recorder::start();
    let edge = Edge::start(before(&[&upstream]));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let forged = "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01";
    for (given, kept) in [(parent, true), (forged, false), ("nonsense", false)] {
        let request =
            ann(Request::get("/v1/things")).header("traceparent", given).header("tracestate", "a=b");
        edge.client().send(request).expect(200);
        let received = upstream.received().pop().unwrap();
        let sent = received.header("traceparent").unwrap().to_owned();
        assert_eq!(sent.len(), parent.len());
        assert_ne!(sent, given, "a span of our own");
        assert_eq!(sent.starts_with(&parent[..36]) && sent.ends_with("-00"), kept, "{sent}");
        assert_eq!(received.header("tracestate").is_some(), kept);
    }
}

#[test]
fn every_request_has_an_id_of_the_gateway_s_making() {
    let upstream = Recorder::start();
    let edge = Edge::start(before(&[&upstream]));
    let mut seen = BTreeSet::new();
    for path in ["/v1/things", "/v1/things", "/healthz", "/nowhere", "/v1/%2e%2e/x"] {
        let answer = edge.client().send(ann(Request::get(path)).header("x-request-id", "mine"));
        let id = answer.header("x-request-id").unwrap_or_else(|| panic!("{path}: no id")).to_owned();
        assert!(id.starts_with("req_"), "{id}");
        assert!(seen.insert(id), "an id came twice");
    }
    let passed: Vec<String> = upstream
        .received()
        .iter()
        .map(|request| request.header("x-request-id").unwrap().to_owned())
        .collect();
    assert!(passed.iter().all(|id| seen.contains(id)));
}
