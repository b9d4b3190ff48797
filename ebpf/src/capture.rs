//! Finding and copying the bytes that a system call moved.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use otel_ebpf_events::{PAYLOAD_MAX, TAIL_MAX, data::capture};

use crate::kernel::{Syscall, syscall};

/// Entries of an `iovec` array that are looked at for a message's head.
const VECTOR_MAX: u64 = 8;
/// Entries of an `iovec` array that are walked to find the operation's end: Node.js writes three for each chunk of a
/// body, and as many chunks as have waited.
const VECTOR_WALK_MAX: u64 = 32;
/// Bytes at the start of an operation that decide whether it may begin a message.
const PREFIX: u32 = 16;
/// Offsets in `struct msghdr` as user space knows it (`struct user_msghdr`, include/linux/socket.h).
const MSG_IOV: u64 = 16;

/// `struct iovec`.
#[repr(C)]
#[derive(Clone, Copy)]
struct IoVec {
    base: u64,
    len: u64,
}

/// How much was captured.
#[derive(Clone, Copy)]
pub struct Captured {
    /// Bytes at the operation's start.
    pub head: u32,
    /// Bytes at its end, stored right behind the head.
    pub tail: u32,
    /// One of [`capture`].
    pub how: u8,
    /// Whether the operation's first bytes look like the start of an HTTP message.
    pub starts_message: bool,
}

impl Captured {
    /// Nothing was captured.
    #[inline(always)]
    pub const fn nothing(how: u8) -> Self {
        Self { head: 0, tail: 0, how, starts_message: false }
    }
}

/// Copies up to `budget` bytes from the start of an operation of `total` bytes to `payload`, and its last few bytes
/// behind them.
///
/// With no budget left the first bytes are still looked at: if they look like the start of a message, the budget is
/// `fresh_budget` again. A pipelined message is found so behind a body of any length.
///
/// # Safety
///
/// `payload` must be valid for writes of twice [`PAYLOAD_MAX`] plus [`TAIL_MAX`] bytes.
#[inline(always)]
pub unsafe fn copy(payload: *mut u8, total: u32, budget: u32, fresh_budget: u32) -> Captured {
    let (address, count) = match syscall() {
        Syscall::Buffer(base) => {
            // SAFETY: promised by the caller.
            return unsafe { copy_flat(payload, base, total, budget, fresh_budget) };
        }
        Syscall::Vector { address, count } => (address, count),
        Syscall::Message(msghdr) => {
            // `msg_iov` and `msg_iovlen` are neighbours.
            let mut vector = IoVec { base: 0, len: 0 };
            if !read_iovec(&mut vector, msghdr + MSG_IOV) {
                return Captured::nothing(capture::FAULT);
            }
            (vector.base, vector.len)
        }
        Syscall::Other => return Captured::nothing(capture::NO_BUFFER),
    };
    // SAFETY: promised by the caller.
    unsafe { copy_vector(payload, address, count, total, budget, fresh_budget) }
}

/// # Safety
///
/// As [`copy`].
#[inline(always)]
unsafe fn copy_flat(payload: *mut u8, base: u64, total: u32, budget: u32, fresh_budget: u32) -> Captured {
    let mut want = budget;
    let mut starts_message = false;
    if budget < PREFIX {
        want = PREFIX;
        // SAFETY: the payload is longer than a prefix.
        if total >= 8 && read(payload, 8, base) && unsafe { looks_like_http(payload) } {
            want = fresh_budget;
            starts_message = true;
        }
    }
    if want > total {
        want = total;
    }
    if want > PAYLOAD_MAX as u32 {
        want = PAYLOAD_MAX as u32;
    }
    if !read(payload, want, base) {
        return Captured::nothing(capture::FAULT);
    }
    let mut captured = Captured { head: want, tail: 0, how: capture::READ, starts_message };
    let left = total - want;
    if left > 0 {
        // SAFETY: `want` is at most `PAYLOAD_MAX`, behind which there is room for a tail.
        captured.tail = unsafe { copy_end(payload, want, base + u64::from(total), left) };
    }
    captured
}

/// # Safety
///
/// As [`copy`].
#[inline(always)]
unsafe fn copy_vector(
    payload: *mut u8,
    address: u64,
    count: u64,
    total: u32,
    budget: u32,
    fresh_budget: u32,
) -> Captured {
    let mut want = budget;
    let mut starts_message = false;
    let mut entry = IoVec { base: 0, len: 0 };
    if budget < PREFIX {
        // What the operation begins with stands behind an entry that is empty, as of a head that was sent before.
        let second = address + size_of::<IoVec>() as u64;
        if !read_iovec(&mut entry, address)
            || (entry.len == 0 && count > 1 && !read_iovec(&mut entry, second))
        {
            return Captured::nothing(capture::FAULT);
        }
        want = PREFIX;
        // SAFETY: the payload is longer than a prefix.
        if entry.len >= 8 && total >= 8 && read(payload, 8, entry.base) && unsafe { looks_like_http(payload) }
        {
            want = fresh_budget;
            starts_message = true;
        }
    }
    if want > total {
        want = total;
    }
    let mut head: u32 = 0;
    let mut left = total;
    for index in 0..VECTOR_MAX {
        if index >= count || left == 0 {
            break;
        }
        if !read_iovec(&mut entry, address + index * size_of::<IoVec>() as u64) {
            return Captured { head, tail: 0, how: capture::FAULT, starts_message };
        }
        let len = if entry.len > u64::from(left) { left } else { entry.len as u32 };
        if head < want && head < PAYLOAD_MAX as u32 {
            let mut part = want - head;
            if part > len {
                part = len;
            }
            if part > PAYLOAD_MAX as u32 {
                part = PAYLOAD_MAX as u32;
            }
            // SAFETY: `head` is below `PAYLOAD_MAX` and `part` at most that, so that their sum is within the payload.
            let at = unsafe { payload.add(below_payload_max(head)) };
            if part > 0 && !read(at, part, entry.base) {
                return Captured { head, tail: 0, how: capture::FAULT, starts_message };
            }
            head += part;
        }
        left -= len;
    }
    let head = up_to_payload_max(head);
    let mut captured = Captured { head, tail: 0, how: capture::READ, starts_message };
    if head < total {
        // SAFETY: `head` is at most `PAYLOAD_MAX`, behind which there is room for a tail.
        captured.tail = unsafe { copy_vector_end(payload, head, address, count, total) };
    }
    captured
}

/// Copies the last bytes of an operation on a vector to `payload[offset..]`, also where they lie in two entries; returns
/// how many, 0 if they cannot be found or read.
///
/// # Safety
///
/// `payload` must be valid for writes of `offset` + [`TAIL_MAX`] bytes.
#[inline(always)]
unsafe fn copy_vector_end(payload: *mut u8, offset: u32, address: u64, count: u64, total: u32) -> u32 {
    let missing = u64::from(total - offset);
    let mut entry = IoVec { base: 0, len: 0 };
    let mut before = IoVec { base: 0, len: 0 };
    let mut left = u64::from(total);
    for index in 0..VECTOR_WALK_MAX {
        if index >= count {
            break;
        }
        before = entry;
        if !read_iovec(&mut entry, address + index * size_of::<IoVec>() as u64) {
            return 0;
        }
        if entry.len >= left {
            entry.len = left;
            left = 0;
            break;
        }
        left -= entry.len;
    }
    if left > 0 {
        return 0;
    }
    let end = entry.base + entry.len;
    if entry.len >= missing || entry.len >= TAIL_MAX as u64 {
        let len = if entry.len < missing { entry.len } else { missing };
        // SAFETY: promised by the caller.
        return unsafe { copy_end(payload, offset, end, clamp_tail(len)) };
    }
    let mut first = missing - entry.len;
    if first > before.len {
        first = before.len;
    }
    let second = clamp_tail(entry.len);
    let mut first = clamp_tail(first);
    if first > TAIL_MAX as u32 - second {
        first = TAIL_MAX as u32 - second;
    }
    // SAFETY: promised by the caller; both parts together are at most `TAIL_MAX` long.
    unsafe {
        if copy_end(payload, offset, before.base + before.len, first) != first {
            return 0;
        }
        let first = up_to_tail_max(first);
        let copied = copy_end(payload.add(first as usize), offset, end, second);
        if copied == second { first + second } else { 0 }
    }
}

#[inline(always)]
fn clamp_tail(len: u64) -> u32 {
    up_to_tail_max(if len > TAIL_MAX as u64 { TAIL_MAX as u32 } else { len as u32 })
}

/// A length of at most [`TAIL_MAX`], which the verifier knows to be below twice that. It is written as an instruction
/// because the compiler leaves a bound that it has proven to a comparison; before 6.8 the verifier does not apply that
/// to a copy of the value that was put on the stack.
#[inline(always)]
fn up_to_tail_max(len: u32) -> u32 {
    const { assert!(TAIL_MAX == 16) }
    let mut len = u64::from(len);
    // SAFETY: changes nothing but the register it is given.
    unsafe { core::arch::asm!("{0} &= 31", inout(reg) len, options(pure, nomem, nostack)) }
    len as u32
}

/// Copies up to `at_most` bytes that end at `end` to `payload[offset..]`; returns how many, 0 if they cannot be read.
///
/// # Safety
///
/// `payload` must be valid for writes of `offset` + [`TAIL_MAX`] bytes.
#[inline(always)]
unsafe fn copy_end(payload: *mut u8, offset: u32, end: u64, at_most: u32) -> u32 {
    let len = up_to_tail_max(if at_most > TAIL_MAX as u32 { TAIL_MAX as u32 } else { at_most });
    if len == 0 {
        return 0;
    }
    // SAFETY: promised by the caller.
    if read(unsafe { payload.add(offset as usize) }, len, end - u64::from(len)) { len } else { 0 }
}

/// Whether eight bytes look like the start of an HTTP/1 message. Decides only how much is captured, nothing else.
///
/// # Safety
///
/// `bytes` must be valid for reads of eight bytes.
#[inline(always)]
unsafe fn looks_like_http(bytes: *const u8) -> bool {
    // SAFETY: promised by the caller.
    let word = u32::from_ne_bytes(unsafe { [*bytes, *bytes.add(1), *bytes.add(2), *bytes.add(3)] });
    const fn tag(text: &[u8; 4]) -> u32 {
        u32::from_ne_bytes(*text)
    }
    word == tag(b"HTTP")
        || word == tag(b"GET ")
        || word == tag(b"POST")
        || word == tag(b"PUT ")
        || word == tag(b"HEAD")
        || word == tag(b"DELE")
        || word == tag(b"PATC")
        || word == tag(b"OPTI")
}

/// An offset that the verifier, too, knows to be below [`PAYLOAD_MAX`]. The mask is written as an instruction because the
/// compiler, which has already proven the bound, would leave it out.
#[inline(always)]
fn below_payload_max(offset: u32) -> usize {
    const { assert!(PAYLOAD_MAX == 8192) }
    let mut offset = u64::from(offset);
    // SAFETY: changes nothing but the register it is given.
    unsafe { core::arch::asm!("{0} &= 8191", inout(reg) offset, options(pure, nomem, nostack)) }
    offset as usize
}

/// An offset of at most [`PAYLOAD_MAX`], which the verifier knows to be below twice that, as [`below_payload_max`].
#[inline(always)]
fn up_to_payload_max(offset: u32) -> u32 {
    const { assert!(PAYLOAD_MAX == 8192) }
    let mut offset = u64::from(offset);
    // SAFETY: changes nothing but the register it is given.
    unsafe { core::arch::asm!("{0} &= 16383", inout(reg) offset, options(pure, nomem, nostack)) }
    offset as u32
}

#[inline(always)]
fn read_iovec(into: &mut IoVec, address: u64) -> bool {
    read(core::ptr::from_mut(into).cast(), size_of::<IoVec>() as u32, address)
}

/// Copies user memory. The hook runs after the copy that the system call made, so the pages are there.
#[inline(always)]
fn read(into: *mut u8, len: u32, address: u64) -> bool {
    // SAFETY: the helper checks the user address; the verifier has proven that `into` has room for `len` bytes.
    unsafe { bpf_probe_read_user(into.cast(), len, address as *const _) == 0 }
}
