//! Connections that are older than the agent.

use otel_ebpf_kernel_tests::{
    agent::Agent,
    client::Raw,
    needs_tracing,
    net::{free_port, loopback},
    services::nginx,
    sink::Sink,
};

#[test]
fn a_connection_older_than_the_agent_is_traced_from_its_next_request() {
    needs_tracing!();
    let port = free_port();
    // The agent may take longer to start than a server waits for a client that does not read: in a guest, minutes.
    let patience = "send_timeout 10m; client_header_timeout 10m; keepalive_timeout 10m;";
    let locations = "location / { return 200 ok; } location /files/ { alias files/; }";
    let service = nginx(port, &format!("{patience} {locations}")).ready();
    service.write("files/large", &vec![b'x'; 4 << 20]);
    let mut kept: Vec<Raw> = (0..5).map(|_| Raw::connect(loopback(port))).collect();
    for raw in &mut kept {
        raw.get("/before");
        assert_eq!(raw.response().status(), 200);
    }
    // One is in the middle of a response that nobody reads yet, one in the middle of a request.
    kept[3].get("/files/large");
    kept[4].send("GET /half HTTP/1.1\r\nHo");
    let sink = Sink::start();
    let agent = Agent::on_port(&sink, port);
    kept[3].response();
    kept[4].send("st: test\r\n\r\n");
    kept[4].response();
    for round in 0..4 {
        for (number, raw) in kept.iter_mut().enumerate() {
            raw.get(&format!("/after/{number}/{round}"));
            assert_eq!(raw.response().body, b"ok");
        }
    }
    sink.wait_for_servers(20);
    drop(kept);
    agent.stop().assert_clean();
    let mut paths: Vec<_> = sink.servers().iter().map(|span| span.path()).collect();
    paths.sort();
    let mut expected: Vec<_> =
        (0..5).flat_map(|number| (0..4).map(move |round| format!("/after/{number}/{round}"))).collect();
    expected.sort();
    assert_eq!(paths, expected);
    assert!(sink.servers().iter().all(|span| span.status() == 200));
}
