//! tokio: tasks.

use super::{Runtime, elf::Executable};

/// Looks for tokio's runtime.
pub fn examine(_file: &Executable<'_>) -> Runtime {
    Runtime::None
}
