//! The task that a thread runs, in processes whose runtime schedules tasks of its own.

use aya_ebpf::helpers::bpf_probe_read_user;
use otel_ebpf_events::{TaskLayout, task::runtime};

use crate::{kernel::task::Task, maps::TASK_LAYOUTS};

/// How tasks lie in the memory of a process; `None` where there are none, or nobody knows.
#[inline(always)]
pub fn layout_of(tgid: u32) -> Option<TaskLayout> {
    // SAFETY: the copy of a value that user space writes once.
    TASK_LAYOUTS.get_ptr(tgid).map(|layout| unsafe { *layout })
}

/// Number of the task that the current thread runs; 0 for none.
#[inline(always)]
pub fn current_task(tgid: u32) -> u64 {
    match layout_of(tgid) {
        Some(layout) => current_task_by(&layout),
        None => 0,
    }
}

/// Number of the task that the current thread runs, in a process with this layout; 0 for none.
#[inline(always)]
pub fn current_task_by(layout: &TaskLayout) -> u64 {
    let fs_base = Task::current().fs_base();
    if fs_base == 0 {
        return 0;
    }
    let at = |offset: i32| fs_base.wrapping_add(i64::from(offset) as u64);
    match layout.runtime {
        runtime::TOKIO => {
            if layout.current_tag != 0 && read::<u64>(at(layout.current_tag)) & 1 == 0 {
                return 0;
            }
            read(at(layout.current))
        }
        runtime::GO => goroutine(read(at(layout.current)), layout),
        _ => 0,
    }
}

/// Number of the goroutine of a `g`; 0 for none, as that of a thread's own.
#[inline(always)]
pub fn goroutine(g: u64, layout: &TaskLayout) -> u64 {
    field(g, layout.goid)
}

/// Number of the goroutine that made the one of a `g`; 0 for none.
#[inline(always)]
pub fn maker(g: u64, layout: &TaskLayout) -> u64 {
    field(g, layout.parent_goid)
}

/// Number of the tokio task of a header; 0 for none.
#[inline(always)]
pub fn tokio_task(header: u64, layout: &TaskLayout) -> u64 {
    let vtable = field(header, layout.vtable);
    let id_offset = if vtable == 0 { 0 } else { read(vtable.wrapping_add(u64::from(layout.id_offset))) };
    if id_offset == 0 { 0 } else { read(header.wrapping_add(id_offset)) }
}

/// A word of a structure; 0 where there is none.
#[inline(always)]
fn field(structure: u64, offset: u32) -> u64 {
    if structure == 0 { 0 } else { read(structure.wrapping_add(u64::from(offset))) }
}

/// A word of the process's memory; zero where it cannot be read.
#[inline(always)]
pub fn read<T: Copy + Default>(address: u64) -> T {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(address as *const T) }.unwrap_or_default()
}
