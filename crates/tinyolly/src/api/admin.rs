//! `GET /admin/stats`: what an operator asks.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Context;
use super::otlp_json::Text;
use super::problem::Problem;
use super::stats::Stats;
use crate::store::query;

#[derive(Serialize)]
struct File {
    path: String,
    size_bytes: u64,
    used_bytes: u64,
    free_bytes: u64,
    page_count: u64,
    page_size: u64,
    max_size_bytes: u64,
    max_age_s: Option<u64>,
    oldest_arrival: Option<Text<u64>>,
    schema_version: u64,
}

#[derive(Serialize)]
struct Cardinality {
    services: u64,
    texts: u64,
    resources: u64,
    metric_series: u64,
    max_metric_names: usize,
}

/// The answer.
#[derive(Serialize)]
pub(super) struct Admin {
    version: &'static str,
    telemetry: Stats,
    db: File,
    cardinality: Cardinality,
    memory_bytes: Option<u64>,
}

/// Resident memory of this process, where the system tells.
fn memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// `GET /admin/stats`
pub(super) async fn stats(State(context): State<Context>) -> Result<Json<Admin>, Problem> {
    let telemetry = Stats::read(&context).await?;
    let info = context.store.read(query::file_info).await?;
    let settings = context.store.settings();
    Ok(Json(Admin {
        version: env!("CARGO_PKG_VERSION"),
        db: File {
            path: settings.path.display().to_string(),
            size_bytes: crate::store::file_bytes(&settings.path),
            used_bytes: info.pages.saturating_sub(info.free_pages) * info.page_bytes,
            free_bytes: info.free_pages * info.page_bytes,
            page_count: info.pages,
            page_size: info.page_bytes,
            max_size_bytes: settings.max_bytes,
            max_age_s: settings.max_age.map(|age| age.as_secs()),
            oldest_arrival: info.oldest_arrival_ns.map(Text),
            schema_version: info.schema,
        },
        cardinality: Cardinality {
            services: info.services,
            texts: info.texts,
            resources: info.resources,
            metric_series: info.series,
            max_metric_names: settings.max_metric_names,
        },
        telemetry,
        memory_bytes: memory_bytes(),
    }))
}
