//! Typed reads of kernel structures, at offsets that the loader took from the running kernel's BTF.
//!
//! The pointers are BTF pointers that the verifier trusts: a plain load at a constant offset is allowed and cannot
//! fault, with no helper that lockdown could forbid.

mod regs;
pub mod sock;
pub mod task;

pub use regs::{Syscall, syscall};

use crate::maps::CONFIG;

/// Reads one field of [`crate::maps::OFFSETS`] as the constant that the loader put there.
macro_rules! offset {
    ($field:ident) => {
        $crate::kernel::constant(&raw const $crate::maps::OFFSETS.$field) as usize
    };
}
pub(crate) use offset;

/// Reads a field of a read-only static; volatile keeps the compiler from folding the value it has at build time.
#[inline(always)]
pub fn constant(field: *const u32) -> u32 {
    // SAFETY: only called with fields of statics of this object.
    unsafe { core::ptr::read_volatile(field) }
}

/// Bytes captured of a run of operations.
#[inline(always)]
pub fn head_max() -> u32 {
    constant(&raw const CONFIG.head_max)
}

/// The agent's own process.
#[inline(always)]
pub fn agent_tgid() -> u32 {
    constant(&raw const CONFIG.agent_tgid)
}

/// Loads a field of a kernel structure.
///
/// # Safety
///
/// `base` must be a BTF pointer to a structure that has a `T` at `offset`.
#[inline(always)]
pub unsafe fn load<T: Copy>(base: *const u8, offset: usize) -> T {
    // SAFETY: promised by the caller, and checked by the verifier at load.
    unsafe { core::ptr::read_volatile(base.add(offset).cast::<T>()) }
}
