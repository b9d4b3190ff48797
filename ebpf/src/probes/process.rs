//! Processes that start, turn into another program, or end.
//!
//! `tp_btf/sched_process_exec` (fs/exec.c: `(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`),
//! `tp_btf/sched_process_fork` (kernel/fork.c: `(struct task_struct *parent, struct task_struct *child)`) and
//! `tp_btf/sched_process_exit` (kernel/exit.c: `(struct task_struct *p, …)`). Emits `ProcessEvent`.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use otel_ebpf_events::{KernelDrop, ProcessEvent, config::target, kind, process};

use crate::{
    emit::{count, header, send_process_event},
    filter::{Caller, is_target, is_target_by},
    kernel::task::Task,
    maps::{NEW_PROGRAMS, TARGETS, TASK_LAYOUTS},
    runtime::layout_of,
};

#[btf_tracepoint(function = "sched_process_exec")]
fn process_exec(_ctx: BtfTracePointContext) -> i32 {
    let caller = Caller::current();
    // The layout was that of another program.
    let _: Result<(), _> = TASK_LAYOUTS.remove(caller.tgid);
    let inherited = is_target_by(caller.tgid, target::INHERITED);
    let mut traced = !inherited && is_target(caller.tgid);
    if !traced {
        if NEW_PROGRAMS.get(0) == Some(&1) {
            traced = TARGETS.insert(caller.tgid, target::PROVISIONAL, 0).is_ok();
            if !traced {
                count(KernelDrop::TargetsFull);
            }
        } else if inherited {
            let _: Result<(), _> = TARGETS.remove(caller.tgid);
        }
    }
    // Where no rule goes by the program, one that is not a target's own cannot become one by starting.
    if traced || inherited {
        notify(caller, 0, process::what::EXEC, traced);
    }
    0
}

/// Runs in the parent, before the child's first instruction.
#[btf_tracepoint(function = "sched_process_fork")]
fn process_fork(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the hook's second argument is a `struct task_struct *`.
    let child = unsafe { Task::new(ctx.arg(1)) };
    let parent = Caller::current();
    let tgid = child.tgid();
    if tgid == parent.tgid || !is_target(parent.tgid) {
        return 0;
    }
    if TARGETS.insert(tgid, target::INHERITED, 0).is_err() {
        count(KernelDrop::TargetsFull);
        return 0;
    }
    if let Some(layout) = layout_of(parent.tgid) {
        // Where there is no room, its tasks are not followed.
        let _: Result<(), _> = TASK_LAYOUTS.insert(tgid, layout, 0);
    }
    notify(Caller { tgid, tid: child.tid() }, parent.tgid, process::what::FORK, true);
    0
}

/// Runs in the thread that ends. The main thread may end before the others: user space looks again before it
/// forgets the process.
#[btf_tracepoint(function = "sched_process_exit")]
fn process_exit(_ctx: BtfTracePointContext) -> i32 {
    let caller = Caller::current();
    if caller.tid == caller.tgid && is_target(caller.tgid) {
        notify(caller, 0, process::what::EXIT, true);
    }
    0
}

#[inline(always)]
fn notify(caller: Caller, parent_tgid: u32, what: u8, traced: bool) {
    let event = ProcessEvent {
        header: header(kind::PROCESS, caller),
        parent_tgid,
        port: 0,
        what,
        traced: u8::from(traced),
    };
    send_process_event(&event);
}
