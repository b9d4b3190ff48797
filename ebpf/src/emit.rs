//! Sending events and counting what could not be sent.

use aya_ebpf::helpers::{bpf_ktime_get_ns, generated::bpf_ringbuf_output};
use otel_ebpf_events::{EVENT_VERSION, EventHeader, KernelDrop, ProcessEvent};

use crate::{
    filter::Caller,
    maps::{DOORBELL, DROPS, EVENTS, READER_ASLEEP},
};

/// `BPF_RB_NO_WAKEUP`: a wake-up costs the traced thread more than all the rest of the tap.
const NO_WAKEUP: u64 = 1;
/// `BPF_RB_FORCE_WAKEUP`.
const FORCE_WAKEUP: u64 = 2;

/// Monotonic time in nanoseconds.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: no arguments, no conditions.
    unsafe { bpf_ktime_get_ns() }
}

/// The header of an event that happens now.
#[inline(always)]
pub fn header(kind: u8, caller: Caller) -> EventHeader {
    EventHeader {
        ktime_ns: now_ns(),
        tgid: caller.tgid,
        tid: caller.tid,
        kind,
        version: EVENT_VERSION,
        _pad: [0; 6],
    }
}

/// Sends `len` bytes at `data`; a full ring buffer is counted as `lost`.
///
/// # Safety
///
/// `data` must be valid for reads of `len` bytes, in a way that the verifier can follow.
#[inline(always)]
pub unsafe fn send(data: *const u8, len: u64, lost: KernelDrop) {
    let flags = match READER_ASLEEP.get(0) {
        Some(1) => FORCE_WAKEUP,
        _ => NO_WAKEUP,
    };
    // SAFETY: promised by the caller.
    let result = unsafe {
        bpf_ringbuf_output((&raw const EVENTS).cast_mut().cast(), data.cast_mut().cast(), len, flags)
    };
    if result < 0 {
        count(lost);
    }
}

/// Sends an event of fixed size.
#[inline(always)]
pub fn send_event<T: Copy>(event: &T, lost: KernelDrop) {
    // SAFETY: a reference is valid for the size of its type; event types have no padding.
    unsafe { send(core::ptr::from_ref(event).cast(), size_of::<T>() as u64, lost) }
}

/// Sends a process event and wakes the reader for it.
#[inline(always)]
pub fn send_process_event(event: &ProcessEvent) {
    send_event(event, KernelDrop::ProcessRingFull);
    let mut nothing: u64 = 0;
    // SAFETY: the message is valid for reads of its size. Its content means nothing, so neither does a full ring.
    unsafe {
        bpf_ringbuf_output(
            (&raw const DOORBELL).cast_mut().cast(),
            (&raw mut nothing).cast(),
            size_of::<u64>() as u64,
            FORCE_WAKEUP,
        );
    }
}

/// Counts one loss.
#[inline(always)]
pub fn count(cause: KernelDrop) {
    if let Some(slot) = DROPS.get_ptr_mut(cause as u32) {
        // SAFETY: a per-CPU slot; a program that interrupts this one can at worst lose one count.
        unsafe { *slot += 1 }
    }
}
