//! What a server pays for being watched: its processor time for a request, without an agent, with one that traces
//! somebody else, and traced, by turns.

use otel_ebpf_kernel_tests::{agent::Agent, net::free_port, services::Service, sink::Sink};

use super::{
    Measurement,
    load::{Cost, cost, median, range},
    options::Effort,
    programs,
    table::{Row, grouped},
};

/// Connections of the load.
const CONNECTIONS: u32 = 32;

/// Most that a server may pay for an agent that traces somebody else.
const UNTRACED_AT_MOST: f64 = 1.02;

/// A server that is loaded.
struct Server {
    name: &'static str,
    told: &'static str,
    path: &'static str,
    /// Most that it may pay when it is traced.
    traced_at_most: f64,
    /// The server, and what it calls.
    start: fn(port: u16) -> (Service, Option<Service>),
}

const SERVERS: [Server; 3] = [
    Server {
        name: "nginx",
        told: "nginx, `return 200`",
        path: "/",
        traced_at_most: 1.12,
        start: |port| (programs::nginx(port, 512), None),
    },
    Server {
        name: "axum",
        told: "axum, hello",
        path: "/hello",
        traced_at_most: 1.15,
        // It never calls what it would call.
        start: |port| (programs::front(port, free_port()), None),
    },
    Server {
        name: "axum-call",
        told: "axum, one call for each request",
        path: "/pooled/00000000",
        traced_at_most: 1.15,
        start: |port| {
            let back = free_port();
            let called = programs::back(back);
            (programs::front(port, back), Some(called))
        },
    },
];

/// Who is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    NoAgent,
    SomebodyElse,
    ThisServer,
}

const VARIANTS: [Variant; 3] = [Variant::NoAgent, Variant::SomebodyElse, Variant::ThisServer];

/// One measurement for each server.
pub fn all() -> Vec<Measurement> {
    let measurement = |server: &'static Server| {
        Measurement::new(format!("cost/{}", server.name), |effort| server.measure(effort))
    };
    SERVERS.iter().map(measurement).collect()
}

impl Server {
    fn measure(&self, effort: Effort) -> Vec<Row> {
        let port = free_port();
        let (service, _called) = (self.start)(port);
        let rounds: Vec<[Cost; 3]> = (0..effort.rounds())
            .map(|round| {
                let mut costs = [None; 3];
                // Nobody always goes first.
                for turn in 0..VARIANTS.len() {
                    let at = (round + turn) % VARIANTS.len();
                    costs[at] = Some(self.take(VARIANTS[at], &service, effort));
                }
                costs.map(|cost| cost.expect("each has its turn"))
            })
            .collect();
        vec![
            self.row("attached, not traced", &rounds, Variant::SomebodyElse, UNTRACED_AT_MOST),
            self.row("traced", &rounds, Variant::ThisServer, self.traced_at_most),
        ]
    }

    fn take(&self, variant: Variant, service: &Service, effort: Effort) -> Cost {
        let sink = Sink::counting();
        let port = match variant {
            Variant::NoAgent => None,
            Variant::SomebodyElse => Some(free_port()),
            Variant::ThisServer => Some(service.port),
        };
        let agent = port.map(|port| {
            // As long as it is by default: what is measured is an agent as people run it.
            let variables = [
                ("OTEL_EBPF_OPEN_PORT", port.to_string()),
                ("OTEL_EBPF_OTLP_TRACES_BATCH_TIMEOUT", "1s".to_owned()),
            ];
            Agent::start(&sink, &variables.each_ref().map(|(name, value)| (*name, value.as_str())))
        });
        if let Some(agent) = agent.as_ref().filter(|_| variant == Variant::ThisServer) {
            agent.wait_until_traces(service.pid());
            // Tasks are followed from then on, and what that costs is to be measured too.
            agent.wait_until_knows_runtime(service.pid());
        }
        let cost = cost(&service.url(self.path), service.pid(), CONNECTIONS, effort.round());
        eprintln!("    {variant:?}: {:.2} µs a request, {:.0} requests/s", cost.us_per_request, cost.rate);
        if let Some(agent) = agent {
            agent.stop();
        }
        cost
    }

    fn row(&self, what: &str, rounds: &[[Cost; 3]], variant: Variant, at_most: f64) -> Row {
        let at = VARIANTS.iter().position(|other| *other == variant).expect("one of them");
        let ratios: Vec<f64> = rounds.iter().map(|round| ratio(round, at)).collect();
        let (least, most) = range(&ratios);
        let of = |at: usize, take: fn(&Cost) -> f64| {
            median(&rounds.iter().map(|round| take(&round[at])).collect::<Vec<f64>>())
        };
        let [none, this] = [0, at].map(|at| {
            let rate = of(at, |cost| cost.rate).round();
            format!("{:.1} µs at {} requests/s", of(at, |cost| cost.us_per_request), grouped(rate as u64))
        });
        let median = median(&ratios);
        Row::held(
            &format!("processor time for a request, {}, {what}", self.told),
            format!("×{median:.3} ({least:.2} to {most:.2}); {this}, without an agent {none}"),
            &format!("≤ ×{at_most}"),
            median <= at_most,
        )
    }
}

/// What a request cost in one way of running, by what it cost without an agent in the same round.
fn ratio(round: &[Cost; 3], at: usize) -> f64 {
    round[at].us_per_request / round[0].us_per_request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_held_against_the_middle_round() {
        let round = |of: [f64; 3]| of.map(|us_per_request| Cost { us_per_request, rate: 1000.0 });
        let rounds = [[10.0, 10.1, 11.0], [20.0, 20.0, 60.0], [10.0, 10.3, 11.2]].map(round);
        let server = &SERVERS[0];
        let traced = server.row("traced", &rounds, Variant::ThisServer, 1.12);
        let expected = "×1.120 (1.10 to 3.00); 11.2 µs at 1,000 requests/s, without an agent 10.0 µs at 1,000 \
                        requests/s";
        let figure = "processor time for a request, nginx, `return 200`, traced";
        assert_eq!(traced, Row::held(figure, expected.to_owned(), "≤ ×1.12", true));
        assert_eq!(ratio(&rounds[2], 1), 1.03);
    }
}
