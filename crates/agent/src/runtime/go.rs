//! Go: goroutines.

use super::{Runtime, elf::Executable};

/// Looks for Go's runtime.
pub fn examine(_file: &Executable<'_>) -> Runtime {
    Runtime::None
}
