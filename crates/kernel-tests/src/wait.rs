//! Waiting for a condition, never for a time.

use std::{
    env, thread,
    time::{Duration, Instant},
};

/// How many times as long as usual to wait: a whole number that `cargo xtask kernel-test vm` sets in its guests, whose
/// processors are emulated.
const PATIENCE_VARIABLE: &str = "KERNEL_TEST_PATIENCE";

/// Longest wait for anything that should come soon, on a machine that does other work too.
///
/// # Panics
///
/// `KERNEL_TEST_PATIENCE` is set and no whole number.
pub fn soon() -> Duration {
    let patience = env::var(PATIENCE_VARIABLE).map_or(1, |value| {
        value.parse().unwrap_or_else(|_| panic!("{PATIENCE_VARIABLE}={value:?}: expected a whole number"))
    });
    Duration::from_secs(30) * patience
}

/// Waits until `look` finds something.
///
/// # Panics
///
/// It finds nothing within [`soon`].
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + soon();
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
/// It does not hold within [`soon`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}
