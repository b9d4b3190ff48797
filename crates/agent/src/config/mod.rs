//! Configuration: defaults, then a YAML file in OBI's shape, then the environment, then flags.
//!
//! [`load`] turns them into checked [`Settings`] once. It reads neither the process environment nor, by itself, any
//! file: both come in as arguments. All problems are reported together, each with the name, the value and the accepted
//! form. `docs/configuration.md` lists every setting.

mod duration;
mod keys;
mod layers;
mod load;
mod names;
mod otlp;
mod ports;
mod problem;
mod read;
mod read_export;
mod read_metrics;
mod sampler;
mod selection;
mod settings;
mod targets;
mod values;
mod yaml;

pub use layers::{Environment, Flags, Override};
pub use load::{Loaded, load, load_health_file};
pub use otlp::{ExportSettings, OtlpProtocol, OtlpSettings, OwnMetricsSettings};
pub use ports::{PortSet, PortSetError};
pub use problem::{ConfigError, Problem};
pub use sampler::{RootSampler, SamplerSettings};
pub use selection::{Glob, ProcessFacts, Rule, Selection};
pub use settings::{
    HttpSettings, MetricsSettings, Naming, PrometheusSettings, QueueThreshold, Routes, Settings, TapSettings,
};
pub use values::{IgnoreMode, LogLevel, TapChoice, TracePrinter, Unmatched};
