//! The kernel half's user side: resolving offsets, loading programs, choosing what to attach.

pub mod load;
pub mod maps;
pub mod offsets;
pub mod reader;
pub mod tasks;

pub use load::{Attached, LoadError, Loader, Tap, TapSettings, load};
pub use maps::{KernelMaps, Wake};
