//! BPF programs of the agent: they capture bytes, identity and time, and leave all meaning to user space.
//!
//! Each file in `probes/` says what it attaches to. `maps` holds every map, `kernel` every read of a kernel
//! structure, `filter` decides who is traced, `capture` finds and copies a process's bytes, `emit` sends and counts.
#![no_std]
#![no_main]
// Inline assembly for the BPF target is not stable; both toolchains that can build it allow the feature.
#![feature(asm_experimental_arch)]

mod capture;
mod emit;
mod filter;
mod kernel;
mod maps;
mod probes;
mod runtime;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier rejects a loop without end, so a panic that can be reached keeps the object from loading.
    loop {}
}

/// `bpf_get_current_task_btf`, `bpf_task_pt_regs` and the socket casts are reserved to GPL-compatible programs
/// (kernel/trace/bpf_trace.c), hence the second licence of these programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
