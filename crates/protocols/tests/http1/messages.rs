//! Where messages end (RFC 9112 section 6.3), whole and cut into any pieces.

use otel_ebpf_protocols::http1::{CloseKind, ExchangeEnd, Role, State, Version};

use crate::tape::{Tape, get, ok};

struct Case {
    name: &'static str,
    request: &'static str,
    response: &'static str,
    status: u16,
    request_body: u64,
    response_body: u64,
}

const CASES: &[Case] = &[
    Case {
        name: "no bodies",
        request: "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        response: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        status: 200,
        request_body: 0,
        response_body: 0,
    },
    Case {
        name: "content-length",
        request: "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        response: "HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nyes",
        status: 201,
        request_body: 5,
        response_body: 3,
    },
    Case {
        name: "HTTP/1.0",
        request: "GET / HTTP/1.0\r\n\r\n",
        response: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        status: 200,
        request_body: 0,
        response_body: 2,
    },
    Case {
        name: "chunked",
        request: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
        response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        status: 200,
        request_body: 13,
        response_body: 1,
    },
    Case {
        name: "chunk extensions",
        request: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d\"\r\nabc\r\n0 ;x\r\n\r\n",
        response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0002;x\r\nab\r\n000\r\n\r\n",
        status: 200,
        request_body: 3,
        response_body: 2,
    },
    Case {
        name: "trailers",
        request: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n1\r\na\r\n0\r\nT: 1\r\nU: 2\r\n\r\n",
        response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: 1\r\n\r\n",
        status: 200,
        request_body: 1,
        response_body: 0,
    },
    Case {
        name: "bare line feeds",
        request: "GET / HTTP/1.1\nHost: h\n\n",
        response: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nab\n0\n\n",
        status: 200,
        request_body: 0,
        response_body: 2,
    },
    Case {
        name: "chunked after another coding",
        request: "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        status: 200,
        request_body: 1,
        response_body: 1,
    },
    Case {
        name: "transfer-encoding beats content-length",
        request: "POST / HTTP/1.1\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n1\r\na\r\n0\r\n\r\n",
        status: 200,
        request_body: 1,
        response_body: 1,
    },
    Case {
        name: "equal content-lengths",
        request: "POST / HTTP/1.1\r\nContent-Length: 2, 2\r\n\r\nab",
        response: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        status: 200,
        request_body: 2,
        response_body: 1,
    },
    Case {
        name: "names in any case",
        request: "POST / HTTP/1.1\r\nCONTENT-LENGTH: 2\r\n\r\nab",
        response: "HTTP/1.1 200 OK\r\nconTent-lenGth: 1\r\n\r\na",
        status: 200,
        request_body: 2,
        response_body: 1,
    },
    Case {
        name: "HEAD has no body",
        request: "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
        response: "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
        status: 200,
        request_body: 0,
        response_body: 0,
    },
    Case {
        name: "HEAD, chunked",
        request: "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
        response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        status: 200,
        request_body: 0,
        response_body: 0,
    },
    Case {
        name: "204 has no body",
        request: "PUT / HTTP/1.1\r\nContent-Length: 1\r\n\r\n1",
        response: "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n",
        status: 204,
        request_body: 1,
        response_body: 0,
    },
    Case {
        name: "304 has no body",
        request: "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        response: "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
        status: 304,
        request_body: 0,
        response_body: 0,
    },
    Case {
        name: "no reason phrase",
        request: "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        response: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        status: 200,
        request_body: 0,
        response_body: 0,
    },
    Case {
        name: "status above 599",
        request: "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        response: "HTTP/1.1 999 Denied\r\nContent-Length: 1\r\n\r\nx",
        status: 999,
        request_body: 0,
        response_body: 1,
    },
    Case {
        name: "leading empty lines",
        request: "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        response: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        status: 200,
        request_body: 0,
        response_body: 0,
    },
    Case {
        name: "folded field in a response",
        request: "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        response: "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 1\r\n\r\nx",
        status: 200,
        request_body: 0,
        response_body: 1,
    },
    Case {
        name: "refused CONNECT",
        request: "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n",
        response: "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno",
        status: 407,
        request_body: 0,
        response_body: 2,
    },
    Case {
        name: "method unheard of",
        request: "VERSION-CONTROL / HTTP/1.1\r\nHost: h\r\n\r\n",
        response: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        status: 200,
        request_body: 0,
        response_body: 1,
    },
    Case {
        name: "body that looks like a request",
        request: "POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        response: "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\nHTTP/1.1 404 No\r\n\r\n",
        status: 200,
        request_body: 18,
        response_body: 19,
    },
    Case {
        name: "chunk that looks like an end",
        request: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
        response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n",
        status: 200,
        request_body: 7,
        response_body: 5,
    },
];

fn check(tape: &mut Tape, case: &Case, role: Role) {
    let exchange = tape.exchange();
    let name = case.name;
    assert_eq!(exchange.role, role, "{name}");
    assert_eq!(exchange.response.unwrap().status, case.status, "{name}");
    assert_eq!(exchange.request_body_bytes, Some(case.request_body), "{name}");
    assert_eq!(exchange.response_body_bytes, Some(case.response_body), "{name}");
    assert_eq!(exchange.outcome, ExchangeEnd::Complete, "{name}");
    assert!(!exchange.end_estimated, "{name}");
}

/// Every case three times over on one connection, so that each end is found exactly.
#[test]
fn ends_of_messages() {
    for role in [Role::Server, Role::Client] {
        for piece in [1, 2, 3, 7, 24, 10_000] {
            for case in CASES {
                let mut tape = Tape::new();
                for _ in 0..3 {
                    for (request, message) in [(true, case.request), (false, case.response)] {
                        for bytes in message.as_bytes().chunks(piece) {
                            tape.play(role, request, bytes);
                        }
                    }
                    check(&mut tape, case, role);
                    assert_eq!(tape.connection.state(), State::Http, "{}", case.name);
                }
            }
        }
    }
}

#[test]
fn all_of_them_on_one_connection() {
    let mut tape = Tape::new();
    for case in CASES {
        tape.receive(case.request).send(case.response);
        check(&mut tape, case, Role::Server);
    }
    assert!(tape.close(CloseKind::Fin).take().is_empty());
}

#[test]
fn times_places_and_metas_are_those_of_the_first_and_last_bytes() {
    let mut tape = Tape::new();
    let request_seq = tape.next_seq(otel_ebpf_protocols::http1::Direction::Receive);
    let response_seq = tape.next_seq(otel_ebpf_protocols::http1::Direction::Send);
    tape.receive("\r\nPOST /a HTTP/1.1\r\n").receive("Content-Length: 2\r\n\r\na").receive("b");
    tape.send("HTTP/1.1 100 Continue\r\n\r\n");
    tape.send("HTTP/1.1 200 OK\r\nContent-").send("Length: 3\r\n\r\n").send("ab").send("c");
    let exchange = tape.exchange();
    assert_eq!((exchange.request_start_ns, exchange.request_end_ns), (10, 30));
    assert_eq!((exchange.response_start_ns, exchange.response_end_ns), (Some(50), Some(80)));
    assert_eq!((exchange.request_meta, exchange.response_meta), (0, Some(4)));
    assert_eq!(exchange.request_seq, request_seq.wrapping_add(2));
    assert_eq!(exchange.response_seq, Some(response_seq.wrapping_add(25)));
    assert_eq!(exchange.interim_statuses, [100]);
    assert_eq!(exchange.closed_ns, None);
}

#[test]
fn interim_responses_belong_to_the_exchange() {
    let mut tape = Tape::new();
    tape.receive("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    tape.send("HTTP/1.1 100 Continue\r\n\r\n").receive("ab");
    tape.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let exchange = tape.exchange();
    assert_eq!(exchange.interim_statuses, [100, 103]);
    assert_eq!(exchange.request_body_bytes, Some(2));
    assert_eq!(tape.receive(get("/b")).send(ok(1)).summary(), ["/b 200"]);
}

#[test]
fn body_may_be_left_out_after_a_final_answer_to_expect() {
    for framing in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let mut tape = Tape::new();
        let head = format!("PUT /a HTTP/1.1\r\nExpect: 100-continue\r\n{framing}\r\n\r\n");
        tape.receive(&head).send("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(tape.exchange().request_body_bytes, None);
        tape.receive(get("/b")).send(ok(1));
        assert_eq!(tape.summary(), ["/b 200"], "{framing}");
    }
}

#[test]
fn body_may_come_after_a_final_answer_to_expect() {
    for (framing, body) in
        [("Content-Length: 5", "hello"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n")]
    {
        let mut tape = Tape::new();
        let head = format!("PUT /a HTTP/1.1\r\nExpect: 100-continue\r\n{framing}\r\n\r\n");
        tape.receive(&head).send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(tape.summary(), ["/a 403"]);
        tape.receive(body).receive(get("/b")).send(ok(1));
        assert_eq!(tape.summary(), ["/b 200"], "{framing}");
    }
}

#[test]
fn upgrade_ends_the_exchange_and_the_engine() {
    let mut tape = Tape::new();
    tape.receive("GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    tape.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x01\x02");
    let exchange = tape.exchange();
    assert_eq!(exchange.outcome, ExchangeEnd::Upgraded);
    assert_eq!(exchange.request.upgrade.as_deref(), Some("websocket"));
    assert_eq!(tape.connection.state(), State::Upgraded);
    tape.receive(get("/a")).send(ok(1)).close(CloseKind::Fin);
    assert!(tape.take().is_empty());
}

#[test]
fn accepted_connect_becomes_a_tunnel() {
    let mut tape = Tape::new();
    tape.send("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n");
    tape.receive("HTTP/1.1 200 Connection established\r\n\r\n");
    assert_eq!(tape.exchange().outcome, ExchangeEnd::Upgraded);
    assert_eq!(tape.connection.state(), State::Upgraded);
}

#[test]
fn bytes_after_a_refused_connect_are_not_guessed_at() {
    let mut tape = Tape::new();
    tape.receive("CONNECT h:443 HTTP/1.1\r\n\r\n").receive("\x16\x03\x01");
    tape.send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(tape.summary(), ["h:443 403"]);
    assert_eq!(tape.connection.state(), State::Lost);
    assert_eq!(tape.receive(get("/b")).send(ok(0)).summary(), ["/b 200"]);
}

#[test]
fn bodies_longer_than_32_bits() {
    let length = 5_u64 << 30;
    let mut tape = Tape::new();
    tape.receive(get("/big"));
    tape.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
    for _ in 0..5 {
        assert!(tape.take().is_empty());
        tape.op(otel_ebpf_protocols::http1::Direction::Send, b"", 1 << 30, b"");
    }
    assert_eq!(tape.exchange().response_body_bytes, Some(length));
}

#[test]
fn versions() {
    let mut tape = Tape::new();
    tape.receive("GET / HTTP/1.0\r\n\r\n").send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let exchange = tape.exchange();
    assert_eq!(exchange.request.version, Version::Http10);
    assert_eq!(exchange.response.unwrap().version, Version::Http11);
}
