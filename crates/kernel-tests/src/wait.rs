//! Waiting for a condition, never for a time.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Longest wait for anything that should come soon, on a machine that does other work too.
pub const SOON: Duration = Duration::from_secs(30);

/// Waits until `look` finds something.
///
/// # Panics
///
/// It finds nothing within [`SOON`].
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until a condition holds.
///
/// # Panics
///
/// It does not hold within [`SOON`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}
