//! Types that may be map values or globals.

use crate::{ConnState, KernelOffsets, TapConfig, TaskLayout};

// SAFETY: `bytemuck::Pod` is derived for each, which proves at compile time that it is `repr(C)`, has no padding and
// accepts every bit pattern.
unsafe impl aya::Pod for KernelOffsets {}
// SAFETY: as above.
unsafe impl aya::Pod for TapConfig {}
// SAFETY: as above.
unsafe impl aya::Pod for ConnState {}
// SAFETY: as above.
unsafe impl aya::Pod for TaskLayout {}
