//! Instruments that the SDK reads when it collects.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use ebpf_demo_service::dice::Dice;
use opentelemetry::metrics::Meter;

use super::memory;

/// Orders that wait for an answer of the backend.
#[derive(Debug, Default)]
pub struct Waiting(AtomicU64);

/// One waiting order.
#[derive(Debug)]
pub struct WaitingGuard(Arc<Waiting>);

impl Waiting {
    pub(super) fn enter(waiting: &Arc<Self>) -> WaitingGuard {
        waiting.0.fetch_add(1, Ordering::Relaxed);
        WaitingGuard(Arc::clone(waiting))
    }
}

impl Drop for WaitingGuard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Registers the observable instruments, which live as long as the meter's provider.
pub(super) fn register(meter: &Meter, dice: Arc<Dice>, waiting: Arc<Waiting>) {
    meter
        .f64_observable_gauge("demo.random.gauge")
        .with_description("A random value from 0 to 100")
        .with_unit("1")
        .with_callback(move |observer| observer.observe(dice.between(0.0..=100.0), &[]))
        .build();
    meter
        .f64_observable_up_down_counter("demo.random.observable_updown")
        .with_description("A sine wave between 10 and 90, one turn in 63 seconds")
        .with_unit("1")
        .with_callback(|observer| observer.observe(wave(SystemTime::now()), &[]))
        .build();
    meter
        .u64_observable_gauge("frontend.queue.size")
        .with_description("Orders that wait for an answer of the backend")
        .with_unit("{order}")
        .with_callback(move |observer| observer.observe(waiting.0.load(Ordering::Relaxed), &[]))
        .build();
    meter
        .u64_observable_gauge("frontend.memory.usage")
        .with_description("Resident memory of the process")
        .with_unit("By")
        .with_callback(|observer| {
            if let Some(bytes) = memory::resident_bytes() {
                observer.observe(bytes, &[]);
            }
        })
        .build();
}

fn wave(now: SystemTime) -> f64 {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    50.0 + 40.0 * (seconds / 10.0).sin()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_wave_stays_in_its_bounds_and_turns() {
        let at = |tenths: u64| wave(UNIX_EPOCH + Duration::from_millis(tenths * 100));
        let values: Vec<_> = (0..630).map(at).collect();
        let (least, most) =
            values.iter().fold((f64::MAX, f64::MIN), |(low, high), &v| (low.min(v), high.max(v)));
        assert!((10.0..11.0).contains(&least) && (89.0..=90.0).contains(&most), "{least} {most}");
    }

    #[test]
    fn a_waiting_order_counts_until_it_is_dropped() {
        let waiting = Arc::new(Waiting::default());
        let guards = [Waiting::enter(&waiting), Waiting::enter(&waiting)];
        assert_eq!(waiting.0.load(Ordering::Relaxed), 2);
        drop(guards);
        assert_eq!(waiting.0.load(Ordering::Relaxed), 0);
    }
}
