//! The task that a thread runs, in processes whose runtime schedules tasks of its own.

use aya_ebpf::helpers::bpf_probe_read_user;
use otel_ebpf_events::{TaskLayout, task::runtime};

use crate::{kernel::task::Task, maps::TASK_LAYOUTS};

/// A task of a runtime.
#[derive(Clone, Copy)]
pub struct TaskName {
    /// Its number; 0 for none.
    pub id: u64,
    /// Number of the task that made it; 0 where the runtime does not note it.
    pub parent: u64,
}

impl TaskName {
    /// No task.
    pub const NONE: Self = Self { id: 0, parent: 0 };
}

/// How tasks lie in the memory of a process; `None` where there are none, or nobody knows.
#[inline(always)]
pub fn layout_of(tgid: u32) -> Option<TaskLayout> {
    // SAFETY: the copy of a value that user space writes once.
    TASK_LAYOUTS.get_ptr(tgid).map(|layout| unsafe { *layout })
}

/// The task that the current thread runs.
#[inline(always)]
pub fn current_task(tgid: u32) -> TaskName {
    match layout_of(tgid) {
        Some(layout) => current_task_by(&layout),
        None => TaskName::NONE,
    }
}

/// The task that the current thread runs, in a process with this layout.
#[inline(always)]
pub fn current_task_by(layout: &TaskLayout) -> TaskName {
    let fs_base = Task::current().fs_base();
    if fs_base == 0 {
        return TaskName::NONE;
    }
    let at = |offset: i32| fs_base.wrapping_add(i64::from(offset) as u64);
    match layout.runtime {
        runtime::TOKIO => {
            if layout.current_tag != 0 && read::<u64>(at(layout.current_tag)) & 1 == 0 {
                return TaskName::NONE;
            }
            TaskName { id: read(at(layout.current)), parent: 0 }
        }
        runtime::GO => goroutine(read(at(layout.current)), layout),
        _ => TaskName::NONE,
    }
}

/// The goroutine of a `g`.
#[inline(always)]
pub fn goroutine(g: u64, layout: &TaskLayout) -> TaskName {
    if g == 0 {
        return TaskName::NONE;
    }
    let parent =
        if layout.parent_goid == 0 { 0 } else { read(g.wrapping_add(u64::from(layout.parent_goid))) };
    TaskName { id: read(g.wrapping_add(u64::from(layout.goid))), parent }
}

/// The tokio task of a header.
#[inline(always)]
pub fn tokio_task(header: u64, layout: &TaskLayout) -> TaskName {
    let vtable: u64 = read(header.wrapping_add(u64::from(layout.vtable)));
    if vtable == 0 {
        return TaskName::NONE;
    }
    let id_offset: u64 = read(vtable.wrapping_add(u64::from(layout.id_offset)));
    if id_offset == 0 {
        return TaskName::NONE;
    }
    TaskName { id: read(header.wrapping_add(id_offset)), parent: 0 }
}

/// A word of the process's memory; zero where it cannot be read.
#[inline(always)]
pub fn read<T: Copy + Default>(address: u64) -> T {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(address as *const T) }.unwrap_or_default()
}
