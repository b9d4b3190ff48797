//! Tasks of a runtime that has its own scheduler: which one a thread runs, and which one wakes or makes which.

use crate::EventHeader;

/// Values of [`TaskLayout::runtime`].
pub mod runtime {
    /// None: threads have no tasks.
    pub const NONE: u32 = 0;
    /// tokio: the number of the current task stands in a thread-local variable.
    pub const TOKIO: u32 = 1;
    /// Go: a thread-local variable points to the current `g`, which holds the goroutine's number and its maker's.
    pub const GO: u32 = 2;
}

/// Where the numbers of tasks are in a process's memory. Offsets in a thread-local block are relative to the thread's
/// `fs` base, and negative on x86-64.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct TaskLayout {
    /// One of [`runtime`].
    pub runtime: u32,
    /// tokio: offset of the word that says whether there is a current task (0 for none), from the `fs` base; 0 where the
    /// number itself is 0 for none.
    pub current_tag: i32,
    /// tokio: offset of the current task's number, from the `fs` base. Go: offset of the pointer to the current `g`.
    pub current: i32,
    /// tokio: offset of the pointer to the vtable, in a task's header.
    pub vtable: u32,
    /// tokio: offset of the place in the vtable that holds the offset of a task's number from its header.
    pub id_offset: u32,
    /// Go: offset of `goid` in `g`.
    pub goid: u32,
    /// Go: offset of `parentGoid` in `g`.
    pub parent_goid: u32,
    /// Zero.
    pub _pad: u32,
}

const _: () = assert!(size_of::<TaskLayout>() == 32);

/// Values of [`TaskEvent::what`].
pub mod what {
    /// The current task woke another.
    pub const WAKE: u8 = 1;
    /// The current task made another.
    pub const SPAWN: u8 = 2;
    /// The current task hands a request to the tasks of a connection, which [`super::TaskEvent::to`] names by its address.
    pub const ASK: u8 = 3;
    /// The current task sends the requests of a connection, which [`super::TaskEvent::to`] names by its address.
    pub const SEND_FOR: u8 = 4;
}

/// One task did something to another.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct TaskEvent {
    /// [`crate::kind::TASK`], and when.
    pub header: EventHeader,
    /// The task that did it.
    pub from: u64,
    /// The other task, or the connection.
    pub to: u64,
    /// One of [`what`].
    pub what: u8,
    /// Zero.
    pub _pad: [u8; 7],
}

const _: () = assert!(size_of::<TaskEvent>() == 24 + 24 && align_of::<TaskEvent>() == 8);
