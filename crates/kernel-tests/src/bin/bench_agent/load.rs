//! Requests, as fast as they are answered.

use std::{process::Command, time::Duration};

use super::usage;

/// What `wrk` did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Requests that were answered.
    pub requests: u64,
    /// In a second.
    pub rate: f64,
}

/// Asks for a URL over connections that are kept, from one thread.
///
/// # Panics
///
/// An answer is missing or is no success.
pub fn wrk(url: &str, connections: u32, time: Duration) -> Load {
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{connections}"), &format!("-d{}s", time.as_secs()), url])
        .output()
        .unwrap_or_else(|error| panic!("run wrk: {error}"));
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).unwrap_or_else(|| panic!("wrk on {url}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn parse(output: &str) -> Option<Load> {
    if output.contains("Socket errors") || output.contains("Non-2xx") {
        return None;
    }
    let requests = output.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())?;
    let rate = output.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok())?;
    Some(Load { requests, rate })
}

/// What a request cost its server.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Processor time, in microseconds.
    pub us_per_request: f64,
    /// Requests in a second.
    pub rate: f64,
}

/// Loads a server, and reads what its processes used meanwhile.
pub fn cost(url: &str, pid: u32, connections: u32, time: Duration) -> Cost {
    let before = usage::cpu_of_tree(pid);
    let load = wrk(url, connections, time);
    let used = usage::cpu_of_tree(pid) - before;
    Cost { us_per_request: used.as_secs_f64() * 1e6 / load.requests as f64, rate: load.rate }
}

/// The middle one of some numbers.
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The least and the greatest of some numbers.
pub fn range(numbers: &[f64]) -> (f64, f64) {
    numbers.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), number| {
        (least.min(*number), most.max(*number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "Running 1s test @ http://127.0.0.1:80/\n  1 threads and 32 connections\n  \
        Latency   380.85us  249.03us   9.46ms   96.41%\n  84130 requests in 1.10s, 13.4MB read\n\
        Requests/sec:  76483.30\nTransfer/sec:     12.18MB\n";

    #[test]
    fn what_wrk_prints_is_read() {
        assert_eq!(parse(OUTPUT), Some(Load { requests: 84_130, rate: 76_483.30 }));
    }

    #[test]
    fn load_that_was_not_answered_is_none() {
        for trouble in ["", "Non-2xx or 3xx responses: 3\n", "Socket errors: connect 0, read 1\n"] {
            let output = if trouble.is_empty() { String::new() } else { OUTPUT.to_owned() + trouble };
            assert_eq!(parse(&output), None, "{trouble}");
        }
    }

    #[test]
    fn the_middle_is_between_the_ends() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(range(&[3.0, 1.0, 2.0]), (1.0, 3.0));
        assert!(median(&[]).is_nan());
    }
}
