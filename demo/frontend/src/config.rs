//! The service's own settings; those of the SDK are in [`crate::telemetry::settings`].

use std::{net::SocketAddr, time::Duration};

use ebpf_demo_service::env::{self, Lookup, VarError};
use reqwest::Url;

use crate::traffic::Pace;

/// Everything the service itself can be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `HOST` and `PORT`.
    pub listen: SocketAddr,
    /// `BACKEND_URL`, ending in a slash.
    pub backend_url: Url,
    /// `AUTO_TRAFFIC`, `TRAFFIC_INTERVAL_MIN`, `TRAFFIC_INTERVAL_MAX`, `TRAFFIC_START_DELAY`; `None` where it is off.
    pub traffic: Option<Pace>,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, VarError> {
        let pace = pace(lookup)?;
        Ok(Self {
            listen: env::listen_address(lookup)?,
            backend_url: backend_url(lookup)?,
            traffic: env::switch(lookup, "AUTO_TRAFFIC", true)?.then_some(pace),
        })
    }
}

fn backend_url(lookup: Lookup<'_>) -> Result<Url, VarError> {
    let accepted = "a URL such as http://127.0.0.1:5004 (http only, without query)";
    let url = env::read(lookup, "BACKEND_URL", accepted, parse_backend_url)?;
    Ok(url.unwrap_or_else(|| parse_backend_url("http://127.0.0.1:5004").expect("the default is a URL")))
}

fn parse_backend_url(value: &str) -> Option<Url> {
    let mut url = Url::parse(value).ok()?;
    let usable =
        url.scheme() == "http" && url.has_host() && url.query().is_none() && url.fragment().is_none();
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    usable.then_some(url)
}

/// Reads the intervals. Where only one end is given, the other default gives way to it.
fn pace(lookup: Lookup<'_>) -> Result<Pace, VarError> {
    let (first, last) = ("TRAFFIC_INTERVAL_MIN", "TRAFFIC_INTERVAL_MAX");
    let accepted = "seconds from 0.01 to 86400";
    let interval = |name| env::read(lookup, name, accepted, |value| seconds(value, 0.01));
    let one = Duration::from_secs(1);
    let (min, max) = match (interval(first)?, interval(last)?) {
        (Some(min), Some(max)) if min > max => {
            return Err(VarError {
                name: first.to_owned(),
                value: lookup(first).unwrap_or_default(),
                accepted: format!("at most {last}, which is {} s", max.as_secs_f64()),
            });
        }
        (Some(min), Some(max)) => (min, max),
        (Some(min), None) => (min, min.max(one)),
        (None, Some(max)) => (max.min(one), max),
        (None, None) => (one, one),
    };
    let start_delay =
        env::read(lookup, "TRAFFIC_START_DELAY", "seconds from 0 to 86400", |value| seconds(value, 0.0))?;
    Ok(Pace { min, max, start_delay: start_delay.unwrap_or(Duration::from_secs(2)) })
}

fn seconds(value: &str, least: f64) -> Option<Duration> {
    let seconds: f64 = value.parse().ok()?;
    (least..=86_400.0).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let lookup = |name: &str| {
            let pair = pairs.iter().find(|(key, _)| *key == name);
            pair.map(|(_, value)| (*value).to_owned())
        };
        Config::read(&lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_walkthrough_run_by_hand() {
        let config = read(&[]).expect("defaults");
        assert_eq!(config.listen.to_string(), "127.0.0.1:5000");
        assert_eq!(config.backend_url.as_str(), "http://127.0.0.1:5004/");
        let second = Duration::from_secs(1);
        assert_eq!(config.traffic, Some(Pace { min: second, max: second, start_delay: 2 * second }));
    }

    #[test]
    fn one_end_of_the_interval_moves_the_other_default() {
        for (name, value, expected) in [
            ("TRAFFIC_INTERVAL_MIN", "3", (3.0, 3.0)),
            ("TRAFFIC_INTERVAL_MIN", "0.5", (0.5, 1.0)),
            ("TRAFFIC_INTERVAL_MAX", "0.2", (0.2, 0.2)),
            ("TRAFFIC_INTERVAL_MAX", "4", (1.0, 4.0)),
        ] {
            let pace = read(&[(name, value)]).expect(value).traffic.expect("on by default");
            assert_eq!((pace.min.as_secs_f64(), pace.max.as_secs_f64()), expected, "{name}={value}");
        }
    }

    #[test]
    fn traffic_can_be_off() {
        assert_eq!(read(&[("AUTO_TRAFFIC", "False")]).expect("valid").traffic, None);
    }

    #[test]
    fn a_backend_url_keeps_its_path() {
        let config = read(&[("BACKEND_URL", "http://shop:80/v2")]).expect("valid");
        assert_eq!(config.backend_url.join("health").expect("joins").as_str(), "http://shop/v2/health");
    }

    #[test]
    fn bad_values_name_variable_value_and_form() {
        let url = "a URL such as http://127.0.0.1:5004 (http only, without query)";
        let interval = "seconds from 0.01 to 86400";
        for (name, value, form) in [
            ("BACKEND_URL", "127.0.0.1:5004", url),
            ("BACKEND_URL", "https://shop", url),
            ("AUTO_TRAFFIC", "2", "true or false"),
            ("TRAFFIC_INTERVAL_MIN", "soon", interval),
            ("TRAFFIC_INTERVAL_MAX", "0", interval),
            ("TRAFFIC_INTERVAL_MAX", "NaN", interval),
            ("TRAFFIC_INTERVAL_MAX", "inf", interval),
            ("TRAFFIC_START_DELAY", "-1", "seconds from 0 to 86400"),
        ] {
            assert_eq!(read(&[(name, value)]), Err(format!("{name}={value:?}: expected {form}")));
        }
        assert_eq!(
            read(&[("TRAFFIC_INTERVAL_MIN", "3"), ("TRAFFIC_INTERVAL_MAX", "2")]),
            Err(r#"TRAFFIC_INTERVAL_MIN="3": expected at most TRAFFIC_INTERVAL_MAX, which is 2 s"#.to_owned())
        );
    }
}
