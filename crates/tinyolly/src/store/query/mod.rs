//! Answers from the store, as plain records; the API gives them their JSON shapes.

mod budget;
mod cardinality;
mod catalog;
mod condition;
mod cursor;
mod edges;
mod facets;
mod filter;
mod histogram;
mod joins;
mod log_tail;
mod log_test;
mod log_walk;
mod logs;
mod map;
mod metric_query;
mod metrics;
mod needle;
mod page;
mod peers;
mod search;
mod sorted;
mod sources;
mod span_test;
mod span_walk;
mod spans;
mod stats;
mod trace_list;
mod trace_test;
mod trace_walk;
mod traces;
pub mod value;
mod window;

pub use budget::{Budget, SCAN};
pub use cardinality::{Cardinality, Label, Scope, cardinality};
pub use catalog::{
    Basis, Catalog, Load, OperationLoad, Operations, ServiceLoad, catalog, earliest_span, operations,
};
pub use condition::{Condition, Test};
pub use facets::{Facets, Field, attribute_keys, facets};
pub use filter::{LogFilter, Order, Range, Sort, SpanFilter, parse_duration};
pub use histogram::{Bucket, Histogram, Subject, histogram};
pub use log_tail::{Tail, last_logs, logs_after};
pub use logs::{LogRecordRow, log, logs, logs_around};
pub use map::{MapEdge, MapNode, ServiceMap, service_map, trace_map};
pub use metric_query::{MetricAnswer, MetricOutcome, MetricQuery, exemplar_number, metric_query};
pub use metrics::{Detail, MetricData, MetricFilter, MetricInfo, Point, Series, metric, metrics};
pub use needle::Needle;
pub use page::{Page, Paging};
pub use peers::NodeType;
pub use search::{TraceSearch, operation_names, search_traces, service_names, span_kind_name};
pub use spans::{span, spans};
pub use stats::{Totals, alive, totals};
pub use trace_list::traces;
pub use traces::{Parent, ServiceShare, SpanRecord, TraceSummary, TraceTree, trace};
pub use window::Window;
