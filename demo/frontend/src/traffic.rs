//! The service's own traffic: it calls itself over HTTP, so that there is something to see.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ebpf_demo_service::dice::Dice;
use reqwest::Client;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::app::App;

/// What is called, and how often in a hundred calls.
pub const MIX: [(&str, u32); 9] = [
    ("/hello", 20),
    ("/calculate", 15),
    ("/process-order", 25),
    ("/error", 10),
    ("/not-found", 10),
    ("/redirect", 5),
    ("/server-error", 10),
    ("/rate-limit", 3),
    ("/unauthorized", 2),
];

const TIMEOUT: Duration = Duration::from_secs(10);

/// When calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Shortest pause between an answer and the next call.
    pub min: Duration,
    /// Longest pause; each length from `min` on is as likely as the next.
    pub max: Duration,
    /// Time before the first call.
    pub start_delay: Duration,
}

/// A source of calls to the service itself, one after the other.
#[derive(Debug)]
pub struct Traffic {
    app: Arc<App>,
    client: Client,
    url: String,
    pace: Pace,
}

impl Traffic {
    /// Makes a source of calls to `url`, which has no final slash.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn new(app: Arc<App>, url: String, pace: Pace) -> reqwest::Result<Self> {
        let client = Client::builder()
            .no_proxy()
            .timeout(TIMEOUT)
            .user_agent(concat!("ebpf-frontend-traffic/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { app, client, url, pace })
    }

    /// Makes calls until `stop` turns true. A call that is open then is finished first.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        info!(
            interval_min_s = self.pace.min.as_secs_f64(),
            interval_max_s = self.pace.max.as_secs_f64(),
            "Auto-traffic generation started"
        );
        let mut pause = self.pace.start_delay;
        while !stopped_within(&mut stop, pause).await {
            self.call(pick(&self.app.dice)).await;
            self.app.metrics.roll(&self.app.dice);
            pause = self.app.dice.between(self.pace.min..=self.pace.max);
        }
    }

    async fn call(&self, endpoint: &'static str) {
        info!(endpoint, "Auto-traffic: calling");
        match self.client.get(format!("{}{endpoint}", self.url)).send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                // Read to its end, so that the connection is used again.
                match response.bytes().await {
                    Ok(_) => info!(endpoint, status, "Auto-traffic: answered"),
                    Err(error) => warn!(endpoint, status, %error, "Auto-traffic: answer cut short"),
                }
            }
            Err(error) => warn!(endpoint, %error, "Auto-traffic: request failed"),
        }
    }
}

/// Waits; says whether the stop came first, which includes that nobody is left to ask for one.
async fn stopped_within(stop: &mut watch::Receiver<bool>, pause: Duration) -> bool {
    tokio::select! {
        biased;
        _ = stop.wait_for(|&stop| stop) => true,
        () = tokio::time::sleep(pause) => false,
    }
}

/// Picks what to call next, with the weights of [`MIX`].
pub fn pick(dice: &Dice) -> &'static str {
    let mut left = dice.between(1..=total_weight());
    for (endpoint, weight) in MIX {
        if left <= weight {
            return endpoint;
        }
        left -= weight;
    }
    MIX[0].0
}

fn total_weight() -> u32 {
    MIX.iter().map(|(_, weight)| weight).sum()
}

/// Gives the URL under which a service that listens on `address` reaches itself.
#[must_use]
pub fn own_url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_weights_add_up_to_a_hundred() {
        assert_eq!(total_weight(), 100);
    }

    #[test]
    fn picks_follow_the_weights() {
        let dice = Dice::seeded(11);
        let draws = 100_000;
        let mut seen = HashMap::new();
        for _ in 0..draws {
            *seen.entry(pick(&dice)).or_insert(0_u32) += 1;
        }
        let chi_square: f64 = MIX
            .iter()
            .map(|(endpoint, weight)| {
                let expected = f64::from(draws) * f64::from(*weight) / 100.0;
                let found = f64::from(seen.get(endpoint).copied().unwrap_or_default());
                (found - expected).powi(2) / expected
            })
            .sum();
        // The 99.9 % point of chi-square with 8 degrees of freedom is 26.1.
        assert!(chi_square < 26.1, "{chi_square} {seen:?}");
    }

    #[test]
    fn a_service_on_all_interfaces_calls_itself_on_loopback() {
        for (listening, expected) in [
            ("0.0.0.0:5000", "http://127.0.0.1:5000"),
            ("[::]:5000", "http://[::1]:5000"),
            ("127.0.0.2:1", "http://127.0.0.2:1"),
        ] {
            assert_eq!(own_url(listening.parse().expect("address")), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_with_time_stop_or_the_sender() {
        let (stop, mut stopped) = watch::channel(false);
        assert!(!stopped_within(&mut stopped, Duration::from_secs(5)).await);
        stop.send(true).expect("receiver is there");
        assert!(stopped_within(&mut stopped, Duration::from_secs(5)).await);
        let (stop, mut stopped) = watch::channel(false);
        drop(stop);
        assert!(stopped_within(&mut stopped, Duration::from_secs(5)).await);
    }
}
