//! Counts over lists: histograms, facets, attribute keys.

use utoipa::IntoParams;

use super::params::SpanFilters;
use super::schemas::{AttributeKeys, Facets, Histogram, Problem};

/// Over which list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct Signal {
    /// traces, spans or logs.
    signal: String,
}

/// Counts over time.
///
/// Filters are those of the signal's list.
#[utoipa::path(get, path = "/api/histogram", tag = "overview", params(Signal, SpanFilters,
        ("buckets" = Option<u32>, Query, description = "About so many, 1 to 400; 60 when absent")),
    responses((status = 200, body = Histogram), (status = 400, body = Problem)))]
fn histogram() {}

/// The most frequent values of some fields.
///
/// Filters are those of the signal's list.
#[utoipa::path(get, path = "/api/facets", tag = "overview", params(Signal, SpanFilters,
        ("fields" = String, Query, description = "By commas: service, name, kind, status, status_class, severity, attr:KEY")),
    responses((status = 200, body = Facets), (status = 400, body = Problem)))]
fn facets() {}

/// Attribute keys among the newest items.
#[utoipa::path(get, path = "/api/attributes", tag = "overview", params(Signal,
        ("prefix" = Option<String>, Query, description = "Only keys that begin so")),
    responses((status = 200, body = AttributeKeys), (status = 400, body = Problem)))]
fn attributes() {}
