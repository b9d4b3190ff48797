//! The service's instruments, each kind of instrument that the SDK has at least once.

mod memory;
mod observed;

use std::{sync::Arc, time::Instant};

use ebpf_demo_service::dice::Dice;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter, UpDownCounter},
};

use self::observed::Waiting;
pub use self::observed::WaitingGuard;

/// The histogram that a view turns into an exponential one.
pub const EXPONENTIAL_HISTOGRAM: &str = "demo.histogram.exponential";

const DURATION_BOUNDS_MS: [f64; 12] =
    [1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0];
const ORDER_BOUNDS_DOLLARS: [f64; 10] = [10.0, 25.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 400.0, 500.0];
const DEMO_BOUNDS: [f64; 9] = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0];

/// The instruments that the service writes to; those that the SDK reads are registered with them.
#[derive(Debug)]
pub struct Metrics {
    requests: Counter<u64>,
    orders: Counter<u64>,
    errors: Counter<u64>,
    duration: Histogram<f64>,
    order_value: Histogram<f64>,
    active: UpDownCounter<i64>,
    demo: Demo,
    waiting: Arc<Waiting>,
}

/// Instruments that show how random values look.
#[derive(Debug)]
struct Demo {
    counter: Counter<u64>,
    walk: UpDownCounter<i64>,
    explicit: Histogram<f64>,
    exponential: Histogram<f64>,
}

impl Metrics {
    /// Makes all instruments; `dice` gives the values of the random gauge.
    #[must_use]
    pub fn new(meter: &Meter, dice: Arc<Dice>) -> Self {
        let waiting = Arc::new(Waiting::default());
        observed::register(meter, dice, Arc::clone(&waiting));
        Self {
            requests: meter
                .u64_counter("frontend.requests.total")
                .with_description("Requests by endpoint and method")
                .with_unit("{request}")
                .build(),
            orders: meter
                .u64_counter("frontend.orders.total")
                .with_description("Orders by how they ended")
                .with_unit("{order}")
                .build(),
            errors: meter
                .u64_counter("frontend.errors.total")
                .with_description("Errors by type")
                .with_unit("{error}")
                .build(),
            duration: meter
                .f64_histogram("frontend.response.duration")
                .with_description("Time from a request's arrival in the handler to its answer")
                .with_unit("ms")
                .with_boundaries(DURATION_BOUNDS_MS.to_vec())
                .build(),
            order_value: meter
                .f64_histogram("frontend.order.value")
                .with_description("Value of completed orders, with discount and tax")
                .with_unit("{dollar}")
                .with_boundaries(ORDER_BOUNDS_DOLLARS.to_vec())
                .build(),
            active: meter
                .i64_up_down_counter("frontend.requests.active")
                .with_description("Requests being answered")
                .with_unit("{request}")
                .build(),
            demo: Demo::new(meter),
            waiting,
        }
    }

    /// Counts a request and keeps it active until the guard is finished or dropped.
    pub fn request(&self, endpoint: &'static str, method: String) -> RequestGuard<'_> {
        self.requests.add(1, &[KeyValue::new("endpoint", endpoint), KeyValue::new("method", method)]);
        self.active.add(1, &[]);
        RequestGuard { metrics: self, endpoint, started: Instant::now() }
    }

    /// Counts an order that ended with `status`.
    pub fn order(&self, status: &'static str) {
        self.orders.add(1, &[KeyValue::new("status", status)]);
    }

    /// Records what a completed order was worth.
    pub fn order_value(&self, dollars: f64) {
        self.order_value.record(dollars, &[KeyValue::new("status", "success")]);
    }

    /// Counts an error.
    pub fn error(&self, kind: &'static str) {
        self.errors.add(1, &[KeyValue::new("type", kind)]);
    }

    /// Keeps one more order waiting for the backend until the guard is dropped.
    pub fn waiting(&self) -> WaitingGuard {
        Waiting::enter(&self.waiting)
    }

    /// Draws one value for each of the instruments of random values.
    pub fn roll(&self, dice: &Dice) {
        let label = |value| [KeyValue::new("label", value)];
        self.demo.counter.add(dice.between(1..=5), &label("demo-value"));
        self.demo.walk.add(dice.pick(&[-1, 1]) * dice.between(1..=10), &label("demo-walk"));
        // A histogram takes no negative values; one draw in 2,300 of this distribution is below zero.
        self.demo.explicit.record(dice.normal(50.0, 15.0).max(0.0), &label("demo-dist"));
        self.demo.exponential.record(dice.exponential(50.0), &label("demo-expo"));
    }
}

impl Demo {
    fn new(meter: &Meter) -> Self {
        Self {
            counter: meter
                .u64_counter("demo.random.counter")
                .with_description("Grows by a random amount")
                .with_unit("1")
                .build(),
            walk: meter
                .i64_up_down_counter("demo.random.updown")
                .with_description("Walks up and down at random")
                .with_unit("1")
                .build(),
            explicit: meter
                .f64_histogram("demo.histogram.explicit")
                .with_description("Normal distribution in buckets with fixed bounds")
                .with_unit("1")
                .with_boundaries(DEMO_BOUNDS.to_vec())
                .build(),
            exponential: meter
                .f64_histogram(EXPONENTIAL_HISTOGRAM)
                .with_description("Exponential distribution in buckets that scale with the values")
                .with_unit("1")
                .build(),
        }
    }
}

/// A request being answered. Dropped unfinished, as when the client went away, it records no duration.
#[derive(Debug)]
pub struct RequestGuard<'m> {
    metrics: &'m Metrics,
    endpoint: &'static str,
    started: Instant,
}

impl RequestGuard<'_> {
    /// Records how long the answer took, under the outcome where the endpoint has several.
    pub fn finish(self, outcome: Option<&'static str>) {
        let mut attributes = vec![KeyValue::new("endpoint", self.endpoint)];
        attributes.extend(outcome.map(|outcome| KeyValue::new("status", outcome)));
        self.metrics.duration.record(self.started.elapsed().as_secs_f64() * 1e3, &attributes);
    }
}

impl Drop for RequestGuard<'_> {
    fn drop(&mut self) {
        self.metrics.active.add(-1, &[]);
    }
}
