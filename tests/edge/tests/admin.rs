//! The admin listener answers those only who name it as it is called.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use edge_tests::{Edge, Request, raw};

#[test]
fn metrics_of_the_team_stand_behind_those_of_the_gateway() {
    let edge = Edge::start(|builder| {
        builder
            .metrics_text(|| "# TYPE vaults gauge\nvaults 3".to_owned())
            .metrics_text(|| "# TYPE doors gauge\ndoors 2\n# EOF\n".to_owned())
    });
    let admin = edge.beside(edge.gateway().admin());
    let text = admin.send(Request::get("/metrics")).text();
    assert!(text.contains("bank_gateway_in_flight"), "{text}");
    assert!(
        text.ends_with("\n# TYPE vaults gauge\nvaults 3\n# TYPE doors gauge\ndoors 2\n# EOF\n"),
        "{text}"
    );
    assert_eq!(text.matches("# EOF").count(), 1);
}

#[test]
fn s31_metrics_are_scraped_under_an_allowed_name_and_no_other() {
    let edge = Edge::start(|builder| builder);
    let strict = edge.beside(edge.gateway().admin());
    let allows = edge.gateway().admin().allow_host("Metrics.internal").allow_host("gateway:9090");
    let admin = edge.beside(allows);
    let status = |client: &edge_tests::Client, host: &str| {
        client.send(Request::get("/metrics").header("host", host)).status
    };
    let own = ["127.0.0.1", "127.0.0.1:9090", "[::1]:9090", "localhost:9090", "LOCALHOST", "10.0.0.7:9090"];
    let named =
        ["metrics.internal", "metrics.internal:9090", "METRICS.INTERNAL", "metrics.internal.", "gateway"];
    let foreign = [
        "evil.example",
        "metrics.internal.evil.example",
        "evil.metrics.internal",
        "metrics.internal@evil.example",
        "localhost.evil.example",
        "xmetrics.internal",
    ];
    for host in own {
        assert_eq!((status(&strict, host), status(&admin, host)), (200, 200), "{host}");
    }
    for host in named {
        assert_eq!((status(&strict, host), status(&admin, host)), (404, 200), "{host}");
    }
    for host in foreign {
        assert_eq!(status(&strict, host), 404, "{host}");
        assert!([400, 404].contains(&status(&admin, host)), "{host}");
    }
    // Each of two names has to be one of ours, and an address that names another host too.
    for head in [
        "GET /metrics HTTP/1.1\r\nhost: metrics.internal\r\nhost: evil.example\r\n\r\n",
        "GET http://evil.example/metrics HTTP/1.1\r\nhost: metrics.internal\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nhost:\r\n\r\n",
    ] {
        let (answer, _) = raw(&admin, head.as_bytes()).unwrap();
        assert!([400, 404].contains(&answer.status), "{head}: {}", answer.status);
    }
}
