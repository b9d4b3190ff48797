//! Answers from the store, as plain records; the API gives them their JSON shapes.

mod joins;
mod logs;
mod metrics;
mod sources;
mod stats;
mod traces;

pub use logs::{LogFilter, LogRecordRow, logs};
pub use metrics::{Detail, MetricData, MetricFilter, MetricInfo, Point, Series, metric, metrics};
pub use stats::{Totals, alive, totals};
pub use traces::{
    Parent, ServiceShare, SpanFilter, SpanRecord, TraceSummary, TraceTree, spans, trace, traces,
};
