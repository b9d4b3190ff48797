//! Reads the ring buffer: looks by itself while there is traffic, asks to be woken when there is none.
//!
//! A wake-up from the tap costs the traced thread several times what the tap itself costs, so while events come the
//! reader looks every few milliseconds and the kernel side never wakes it. After a quiet second it says that it sleeps;
//! the next event then wakes it at once. Process events, which are rare and decide who is traced, wake it at any time.

use std::{
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use aya::maps::{MapData, RingBuf};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Wake;

/// Time between two looks while events come.
const LOOK_EVERY_MS: u16 = 10;
/// Quiet time after which the reader sleeps until woken.
const SLEEP_AFTER: Duration = Duration::from_secs(1);
/// Longest sleep, so that the periodic work is done and a stop is seen.
const SLEEP_AT_MOST_MS: u16 = 200;
/// Records read between two calls of the periodic work.
const BURST: usize = 8192;

/// What the reader drives.
pub trait Handler {
    /// One ring buffer record.
    fn record(&mut self, record: &[u8]);
    /// Called after each look, at most [`BURST`] records apart, and at least every [`SLEEP_AT_MOST_MS`].
    fn tick(&mut self);
}

/// Reads until `stop` is set, then once more until the buffer is empty.
///
/// # Errors
///
/// The kernel refuses a map update or the poll.
pub fn run(
    events: &mut RingBuf<MapData>,
    wake: &mut Wake,
    handler: &mut impl Handler,
    stop: &Arc<AtomicBool>,
) -> Result<()> {
    let mut last_event = Instant::now();
    loop {
        let stopping = stop.load(Ordering::Acquire);
        let read = drain(events, handler);
        handler.tick();
        if read > 0 {
            last_event = Instant::now();
        }
        match read {
            BURST => {}
            _ if stopping => return Ok(()),
            0 if last_event.elapsed() >= SLEEP_AFTER => {
                wake.asleep.set(0, 1, 0)?;
                // What came before the flag was seen did not wake anyone.
                if drain(events, handler) == 0 {
                    wait(events, SLEEP_AT_MOST_MS)?;
                } else {
                    last_event = Instant::now();
                }
                wake.asleep.set(0, 0, 0)?;
            }
            _ => {
                wait(&wake.doorbell, LOOK_EVERY_MS)?;
                while wake.doorbell.next().is_some() {}
            }
        }
    }
}

/// Waits until there is something in a ring buffer, or for a time.
fn wait(ring: &RingBuf<MapData>, at_most_ms: u16) -> Result<()> {
    let mut fds = [PollFd::new(ring.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::from(at_most_ms)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads what is there, at most [`BURST`] records; returns how many.
fn drain(events: &mut RingBuf<MapData>, handler: &mut impl Handler) -> usize {
    for read in 0..BURST {
        match events.next() {
            Some(record) => handler.record(&record),
            None => return read,
        }
    }
    BURST
}
