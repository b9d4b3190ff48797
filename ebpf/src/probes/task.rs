//! One task wakes or makes another.
//!
//! Uprobes, at places that user space finds in the program's file, where the registers named here still hold what the
//! function was given. Emit `TaskEvent`; nothing where no task is at work, as when the driver of timers and sockets wakes.

use aya_ebpf::{EbpfContext as _, macros::uprobe, programs::ProbeContext};
use otel_ebpf_events::{
    KernelDrop, TaskEvent, kind,
    task::{runtime, what},
};

use crate::{
    emit::{header, send_event},
    filter::Caller,
    runtime::{current_task_by, goroutine, layout_of, maker, read, tokio_task},
};

/// Offsets in `struct pt_regs` (arch/x86/include/asm/ptrace.h).
#[cfg(bpf_target_arch = "x86_64")]
mod register {
    pub const R14: usize = 8;
    pub const RBX: usize = 40;
    pub const RAX: usize = 80;
    pub const RDX: usize = 96;
    pub const RSI: usize = 104;
    pub const RDI: usize = 112;
}

/// Where a function value holds its first variable: behind the address of its code.
const HELD: u64 = 8;

/// tokio wakes a task: `wake_by_val` and `wake_by_ref` (tokio/src/runtime/task/waker.rs), its header in `rdi`.
#[uprobe]
fn tokio_wake(ctx: ProbeContext) -> u32 {
    tokio(&ctx, register::RDI, what::WAKE)
}

/// tokio takes up a new task: `bind_inner` (tokio/src/runtime/task/list.rs), its header in `rsi`.
#[uprobe]
fn tokio_spawn(ctx: ProbeContext) -> u32 {
    tokio(&ctx, register::RSI, what::SPAWN)
}

/// Go lets a goroutine run again: the function that `runtime.goready` gives to `systemstack` (src/runtime/proc.go). The `g`
/// of the goroutine that does it is left in `rax` by `systemstack`, that of the other is what the function holds, one word
/// behind where `rdx` points.
#[uprobe]
fn go_ready(ctx: ProbeContext) -> u32 {
    let caller = Caller::current();
    let Some(layout) = layout_of(caller.tgid).filter(|layout| layout.runtime == runtime::GO) else {
        return 0;
    };
    let from = goroutine(register(&ctx, register::RAX), &layout);
    let held = register(&ctx, register::RDX).wrapping_add(HELD);
    let to = goroutine(read(held), &layout);
    tell(caller, from, to, what::WAKE);
    0
}

/// Go makes a goroutine: where `runtime.newproc` (src/runtime/proc.go) queues the new `g`, which is in `rbx` and names its
/// maker.
#[uprobe]
fn go_spawn(ctx: ProbeContext) -> u32 {
    let caller = Caller::current();
    let Some(layout) = layout_of(caller.tgid).filter(|layout| layout.runtime == runtime::GO) else {
        return 0;
    };
    let made = register(&ctx, register::RBX);
    tell(caller, maker(made, &layout), goroutine(made, &layout), what::SPAWN);
    0
}

/// A goroutine hands a request to a connection: `net/http.(*persistConn).roundTrip` (src/net/http/transport.go), the
/// connection in `rax`, the current `g` in `r14`.
#[uprobe]
fn go_ask(ctx: ProbeContext) -> u32 {
    go_connection(&ctx, what::ASK)
}

/// A goroutine begins to send the requests of a connection: `net/http.(*persistConn).writeLoop`, with the same registers.
#[uprobe]
fn go_send_for(ctx: ProbeContext) -> u32 {
    go_connection(&ctx, what::SEND_FOR)
}

#[inline(always)]
fn go_connection(ctx: &ProbeContext, what: u8) -> u32 {
    let caller = Caller::current();
    let Some(layout) = layout_of(caller.tgid).filter(|layout| layout.runtime == runtime::GO) else {
        return 0;
    };
    tell(caller, goroutine(register(ctx, register::R14), &layout), register(ctx, register::RAX), what);
    0
}

#[inline(always)]
fn tokio(ctx: &ProbeContext, header: usize, what: u8) -> u32 {
    let caller = Caller::current();
    let Some(layout) = layout_of(caller.tgid).filter(|layout| layout.runtime == runtime::TOKIO) else {
        return 0;
    };
    let from = current_task_by(&layout);
    if from != 0 {
        tell(caller, from, tokio_task(register(ctx, header), &layout), what);
    }
    0
}

#[inline(always)]
fn tell(caller: Caller, from: u64, to: u64, what: u8) {
    if from == 0 || to == 0 || from == to {
        return;
    }
    let event = TaskEvent { header: header(kind::TASK, caller), from, to, what, _pad: [0; 7] };
    send_event(&event, KernelDrop::TaskRingFull);
}

/// A register of the probed thread.
#[inline(always)]
fn register(ctx: &ProbeContext, offset: usize) -> u64 {
    // SAFETY: the context is a `struct pt_regs`; the verifier checks the offset.
    unsafe { core::ptr::read_volatile(ctx.as_ptr().cast::<u8>().add(offset).cast::<u64>()) }
}
