//! The agent's sign of life: a small file that the running agent renews and `otel-ebpf-agent health` judges.
//!
//! The agent listens on no port, so a file is what a container's health check can look at. Its age is told by
//! `CLOCK_MONOTONIC`, which is one for all containers of a machine and which no step of the wall clock moves. [`encode`],
//! [`parse`] and [`judge`] are pure; [`check`] reads the file; the reader thread writes it (`agent::health_file`).

use std::{
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// Age from which a sign of life no longer counts: three times the interval between two of them.
pub const MAX_AGE: Duration = Duration::from_secs(15);

/// More than any file of this agent; a longer one is something else.
const FILE_MAX: u64 = 4096;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignOfLife {
    /// Process id of the agent, in the initial pid namespace.
    pub pid: u32,
    /// When it was written: nanoseconds of `CLOCK_MONOTONIC`.
    pub monotonic_ns: u64,
    /// How the tap attached.
    pub tap: String,
    /// Processes that are traced.
    pub targets: u64,
    /// Records read from the kernel side.
    pub records: u64,
    /// Spans that the collector took.
    pub spans_exported: u64,
    /// Spans that will not reach the collector.
    pub spans_dropped: u64,
}

/// Why an agent counts as not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// There is no file.
    #[error("not attached yet or stopped: {}: {source}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not one of this agent.
    #[error("{} is not a health file of this agent: {why}", path.display())]
    Garbage {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The agent has not renewed the file for too long.
    #[error("last sign of life {} s ago (limit {} s)", age.as_secs(), max_age.as_secs())]
    Old {
        /// Time since the last sign of life.
        age: Duration,
        /// The age that was still good.
        max_age: Duration,
    },
    /// The file was written at a time that is yet to come, so before the machine started.
    #[error("last sign of life is from before the machine started")]
    BeforeStart,
}

/// Writes a sign of life as one line of JSON.
pub fn encode(sign: &SignOfLife) -> String {
    let mut text = serde_json::to_string(sign).expect("text and numbers are always JSON");
    text.push('\n');
    text
}

/// Reads what [`encode`] wrote, and any later version's that has the same fields.
///
/// # Errors
/// It is no JSON object with these fields; the text says what is wrong, on one line.
pub fn parse(text: &[u8]) -> Result<SignOfLife, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

/// Tells how old a sign of life is.
///
/// # Errors
/// `max_age` or older, or from the future, which only a restart of the machine explains.
pub fn judge(sign: &SignOfLife, now_ns: u64, max_age: Duration) -> Result<Duration, Unhealthy> {
    let age =
        now_ns.checked_sub(sign.monotonic_ns).map(Duration::from_nanos).ok_or(Unhealthy::BeforeStart)?;
    if age < max_age { Ok(age) } else { Err(Unhealthy::Old { age, max_age }) }
}

/// Judges the agent that writes to `path`, at the time `now_ns` of `CLOCK_MONOTONIC`.
///
/// # Errors
/// The agent is not attached, has stopped, or no longer renews the file; or the file is something else.
pub fn check(path: &Path, now_ns: u64, max_age: Duration) -> Result<SignOfLife, Unhealthy> {
    let text = read(path)?;
    let sign = parse(&text).map_err(|why| Unhealthy::Garbage { path: path.to_owned(), why })?;
    judge(&sign, now_ns, max_age)?;
    Ok(sign)
}

fn read(path: &Path) -> Result<Vec<u8>, Unhealthy> {
    let path = path.to_owned();
    // Opening a pipe would wait for a writer.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path);
    let file = match opened {
        Ok(file) => file,
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            return Err(Unhealthy::Missing { path, source });
        }
        Err(source) => return Err(Unhealthy::Unreadable { path, source }),
    };
    let mut text = Vec::new();
    let read = file.metadata().and_then(|metadata| match metadata.is_file() {
        true => file.take(FILE_MAX + 1).read_to_end(&mut text).map(|_| true),
        false => Ok(false),
    });
    match read {
        Err(source) => Err(Unhealthy::Unreadable { path, source }),
        Ok(false) => Err(Unhealthy::Garbage { path, why: "it is no regular file".to_owned() }),
        Ok(true) if text.len() as u64 > FILE_MAX => {
            Err(Unhealthy::Garbage { path, why: format!("it is longer than {FILE_MAX} bytes") })
        }
        Ok(true) => Ok(text),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sign(monotonic_ns: u64) -> SignOfLife {
        SignOfLife {
            pid: 4711,
            monotonic_ns,
            tap: "tracepoint".to_owned(),
            targets: 2,
            records: 3,
            spans_exported: 4,
            spans_dropped: 5,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = encode(&sign(u64::MAX));
        assert_eq!(
            text,
            "{\"pid\":4711,\"monotonic_ns\":18446744073709551615,\"tap\":\"tracepoint\",\"targets\":2,\
             \"records\":3,\"spans_exported\":4,\"spans_dropped\":5}\n"
        );
        assert_eq!(parse(text.as_bytes()), Ok(sign(u64::MAX)));
        let later = text.replace("\"pid\"", "\"more\":[{}],\"pid\"");
        assert_eq!(parse(later.as_bytes()), Ok(sign(u64::MAX)));
    }

    #[test]
    fn anything_else_is_an_error_on_one_line() {
        let good = encode(&sign(1));
        let replaced = |from: &str, to: &str| good.replace(from, to).into_bytes();
        let deep = [vec![b'['; 4000], vec![b']'; 90]].concat();
        for text in [
            Vec::new(),
            vec![0; 100],
            vec![0xff; 100],
            b"{}".to_vec(),
            b"[]".to_vec(),
            deep,
            good.as_bytes()[..good.len() - 5].to_vec(),
            [good.as_bytes(), good.as_bytes()].concat(),
            replaced("4711", "-1"),
            replaced("4711", "4294967296"),
            replaced("4711", "1e3"),
            replaced("\"monotonic_ns\":1", "\"monotonic_ns\":18446744073709551616"),
            replaced("\"records\":3", "\"records\":\"a\\nb\""),
            replaced("\"targets\":2", "\"targets\":2,\"targets\":2"),
            replaced("tracepoint", "\u{1}"),
        ] {
            let error = parse(&text).expect_err(&String::from_utf8_lossy(&text));
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn age_decides() {
        const S: u64 = 1_000_000_000;
        let judged =
            |written: u64, now: u64| judge(&sign(written), now, MAX_AGE).map_err(|why| why.to_string());
        assert_eq!(judged(7 * S, 7 * S), Ok(Duration::ZERO));
        assert_eq!(judged(7 * S, 22 * S - 1), Ok(Duration::from_nanos(15 * S - 1)));
        let old = |age: u64| Err(format!("last sign of life {age} s ago (limit 15 s)"));
        assert_eq!(judged(7 * S, 22 * S), old(15));
        assert_eq!(judged(0, u64::MAX), old(u64::MAX / S));
        let future = Err("last sign of life is from before the machine started".to_owned());
        assert_eq!(judged(7 * S + 1, 7 * S), future);
        assert_eq!(judged(u64::MAX, 0), future);
    }
}
