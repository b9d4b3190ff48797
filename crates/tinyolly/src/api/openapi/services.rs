//! Services and their calls.

use utoipa::IntoParams;

use super::schemas::{Operations, Problem, Service, ServiceMap};

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct Window {
    /// First time, in nanoseconds since the epoch; an hour before the end when absent.
    start: Option<String>,
    /// First time behind; now when absent.
    end: Option<String>,
}

/// Services with rate, errors and durations.
#[utoipa::path(get, path = "/api/service-catalog", tag = "services", params(Window),
    responses((status = 200, body = Vec<Service>), (status = 400, body = Problem)))]
fn list_services() {}

/// One service with its operations.
#[utoipa::path(get, path = "/api/service-catalog/{service}", tag = "services",
    params(("service" = String, Path, description = "The service's name"), Window),
    responses((status = 200, body = Operations), (status = 400, body = Problem), (status = 404, body = Problem)))]
fn get_service() {}

/// Services, databases, queues and others, and who calls whom.
#[utoipa::path(get, path = "/api/service-map", tag = "services",
    params(Window, ("trace_id" = Option<String>, Query, description = "Only this trace, in place of a window")),
    responses((status = 200, body = ServiceMap), (status = 400, body = Problem), (status = 404, body = Problem)))]
fn service_map() {}
