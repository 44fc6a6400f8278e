//! The endpoints behind: what is sent again, and whom.

use super::*;

#[test]
fn a_client_that_breaks_off_does_not_open_the_endpoint_s_breaker_for_others() {
    if Wire::of_this_program().is_http2() {
        // A body of HTTP/1.1 is broken off by hand.
        return;
    }
    let upstream = Recorder::start();
    let edge = Edge::start(before(&[&upstream]));
    let admin = edge.beside(edge.gateway().admin());
    for _ in 0..8 {
        let mut connection = edge.client().connect().unwrap();
        let head = "POST /v1/things HTTP/1.1\r\nhost: bank\r\nx-api-key: bk_ann_secret\r\ncontent-length: 50\r\n\r\nhello";
        connection.write(head.as_bytes()).unwrap();
        // Whether anything of it went on is the gateway's business.
        std::thread::sleep(Duration::from_millis(50));
        drop(connection);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(state_of(&admin, &upstream.url()), "closed");
    }
}

#[test]
fn s21_only_what_may_be_repeated_is_sent_again() {
    let (lost, sound) = (Recorder::answering(|_| Reply::Vanish), Recorder::start());
    let edge = Edge::start(before(&[&lost, &sound]));
    let client = edge.client();
    let mut failures = 0;
    for _ in 0..12 {
        let answer = client.send(make());
        match answer.status {
            200 => {}
            _ => {
                assert_eq!(answer.problem(502), "indeterminate");
                failures += 1;
            }
        }
    }
    assert_eq!((lost.count() + sound.count(), failures), (12, lost.count()), "each was sent once");
    assert!(failures > 0, "the endpoint that loses requests was never asked");
}

#[test]
fn s21_a_read_and_a_call_with_a_key_are_served_by_another_endpoint() {
    let (lost, sound) = (Recorder::answering(|_| Reply::Vanish), Recorder::start());
    let edge = Edge::start(before(&[&lost, &sound]));
    let client = edge.client();
    for n in 0..6 {
        client.send(ann(Request::get("/v1/things"))).expect(200);
        client
            .send(ann(Request::post("/v1/payments").key(&format!("k{n}")).json(&json!({ "n": n }))))
            .expect(200);
    }
    assert!(lost.count() > 0, "the endpoint that loses requests was never asked");
    for request in lost.received().iter().filter(|request| request.line.starts_with("POST")) {
        let key = request.header("idempotency-key");
        let again = sound.received().into_iter().find(|other| other.header("idempotency-key") == key);
        assert_eq!(again.unwrap().body, request.body, "the same request, whole");
    }
}

#[test]
fn what_was_never_sent_goes_to_another_endpoint() {
    let sound = Recorder::start();
    let closed = HeldPort::new();
    let edge = Edge::start(at(vec![format!("http://{}", closed.address()), sound.url()]));
    for _ in 0..8 {
        edge.client().send(make()).expect(200);
    }
    assert_eq!(sound.count(), 8);
}

#[test]
fn s22_an_upstream_that_is_away_gives_a_503_that_reveals_nothing() {
    let closed = HeldPort::new();
    let edge = Edge::start(at(vec![format!("http://{}", closed.address())]));
    let answer = edge.client().send(ann(Request::get("/v1/things")));
    assert_eq!(answer.problem(503), "unavailable");
    assert!(answer.header("retry-after").is_some());
    // The request's id may hold any digits.
    let text = answer.text().replace(answer.header("x-request-id").unwrap(), "");
    for inside in ["127.0.0.1", &closed.number().to_string(), "refused", "hyper", "things"] {
        assert!(!text.contains(inside), "{text}");
    }
}

/// How an endpoint stands: by itself, or for `GET /v1/things`.
fn state_of(admin: &Client, url: &str) -> String {
    let upstreams = admin.send(Request::get("/admin/upstreams")).expect(200);
    let endpoints = upstreams["services"]["things"].as_array().unwrap().clone();
    let found = endpoints.iter().find(|endpoint| endpoint["address"] == url).unwrap();
    let operation = found["operations"]["GET /v1/things"].as_str();
    operation.unwrap_or_else(|| found["state"].as_str().unwrap()).to_owned()
}

#[test]
fn the_breaker_of_a_failing_endpoint_opens_and_closes_again() {
    let health: Vec<_> = (0..2).map(|_| Arc::new(AtomicBool::new(false))).collect();
    let upstreams: Vec<Recorder> = health
        .iter()
        .map(|healthy| {
            let healthy = healthy.clone();
            Recorder::answering(move |_| {
                Reply::status(if healthy.load(Ordering::SeqCst) { 200 } else { 503 })
            })
        })
        .collect();
    let edge = Edge::start(before(&[&upstreams[0], &upstreams[1]]));
    let (client, admin) = (edge.client(), edge.beside(edge.gateway().admin()));
    let read = || client.send(ann(Request::get("/v1/things"))).status;
    until("both breakers to open", || {
        assert_eq!(read(), 503, "what the service says is passed on");
        upstreams.iter().all(|upstream| state_of(&admin, &upstream.url()) != "closed").then_some(())
    });
    health[0].store(true, Ordering::SeqCst);
    until("the breaker of the one that recovered to close", || {
        read();
        (state_of(&admin, &upstreams[0].url()) == "closed").then_some(())
    });
    let (seen, start) = (upstreams[1].count(), Instant::now());
    (0..40).for_each(|_| assert_eq!(read(), 200));
    let probes = 2 + start.elapsed().as_millis() as usize / 500;
    assert!(upstreams[1].count() <= seen + probes, "an open breaker lets a probe pass and nothing else");
    health[1].store(true, Ordering::SeqCst);
    until("the other breaker to close", || {
        read();
        (state_of(&admin, &upstreams[1].url()) == "closed").then_some(())
    });
}

#[test]
fn requests_are_spread_over_all_endpoints() {
    let upstreams: Vec<Recorder> =
        (0..3).map(|_| Recorder::answering(|_| Reply::Late(Duration::from_millis(30)))).collect();
    let edge = Edge::start(before(&upstreams.iter().collect::<Vec<_>>()));
    std::thread::scope(|scope| {
        for _ in 0..12 {
            let client = edge.client();
            scope.spawn(move || {
                (0..15).for_each(|_| drop(client.send(ann(Request::get("/v1/things"))).expect(200)))
            });
        }
    });
    let counts: Vec<usize> = upstreams.iter().map(Recorder::count).collect();
    assert_eq!(counts.iter().sum::<usize>(), 180);
    assert!(counts.iter().all(|count| *count >= 25), "{counts:?}");
}
