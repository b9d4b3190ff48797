//! Measures the processor time one exchange costs: `cargo run --release -p otel-ebpf-protocols --example cost`.

use std::hint::black_box;

use otel_ebpf_protocols::http1::{Connection, Direction, Limits, Op};

const EXCHANGES: u32 = 300_000;
const ROUNDS: usize = 5;

fn main() {
    let small = (
        "GET /hello HTTP/1.1\r\nHost: localhost:5001\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
    );
    let browser = (
        format!(
            "GET /api/items?page=2&sort=name HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: {}\r\n\
             Accept: text/html,application/xhtml+xml\r\nAccept-Language: en-GB,en;q=0.5\r\n\
             Accept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\nCookie: {}\r\n\
             traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n",
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
            "k=v; ".repeat(60)
        ),
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n\
             Transfer-Encoding: chunked\r\n\r\n3e8\r\n{}\r\n0\r\n\r\n",
            "x".repeat(1000)
        ),
    );
    for (name, (request, response)) in [("small", small), ("browser", browser)] {
        for (cut, pieces) in [("whole", usize::MAX), ("24 bytes first", 24)] {
            let best = (0..ROUNDS).map(|_| measure(&request, &response, pieces)).min();
            println!("{name}, {cut}: {} ns an exchange", best.unwrap_or_default());
        }
    }
}

/// Returns nanoseconds for one exchange; a request longer than `first` comes in two operations.
fn measure(request: &str, response: &str, first: usize) -> u64 {
    let mut connection = Connection::new(Limits::default());
    let mut out = Vec::with_capacity(1);
    let mut seq = [0_u32; 2];
    let mut feed = |direction: Direction, bytes: &[u8], out: &mut Vec<_>| {
        if bytes.is_empty() {
            return;
        }
        let from = seq[direction as usize];
        seq[direction as usize] = from.wrapping_add(bytes.len() as u32);
        let op = Op {
            direction,
            at_ns: u64::from(from),
            seq: from,
            total_bytes: bytes.len() as u32,
            head: bytes,
            tail: &[],
            meta: 0_u64,
        };
        connection.feed(op, out);
    };
    let (start, rest) = request.as_bytes().split_at(first.min(request.len()));
    let started = processor_ns();
    for _ in 0..EXCHANGES {
        feed(Direction::Receive, black_box(start), &mut out);
        feed(Direction::Receive, black_box(rest), &mut out);
        feed(Direction::Send, black_box(response.as_bytes()), &mut out);
        assert_eq!(black_box(&out).len(), 1);
        out.clear();
    }
    (processor_ns() - started) / u64::from(EXCHANGES)
}

/// Returns the time this process has had a processor; waiting for one does not count. See proc(5), `schedstat`.
fn processor_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let on_processor = stat.split_ascii_whitespace().next();
    on_processor.and_then(|field| field.parse().ok()).unwrap_or_default()
}
