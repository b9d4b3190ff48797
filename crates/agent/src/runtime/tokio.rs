//! tokio: tasks.
//!
//! What is looked for, with the files of tokio's source that make it so:
//!
//! - Vtables of tasks (`runtime/task/raw.rs`): seven functions, of which the first is `poll`, then the offsets of the
//!   trailer, the scheduler and the task's number from the header (`runtime/task/core.rs`), which itself has the pointer
//!   to the vtable as its third word.
//! - The place of `CONTEXT.current_task_id` (`runtime/context.rs`) in the thread's block: where `poll` puts the task's
//!   number before it polls the future; see [`flow`].
//! - `WAKER_VTABLE` (`runtime/task/waker.rs`), the functions that wake.
//! - `OwnedTasks::bind_inner` (`runtime/task/list.rs`), to which each new task is given, from 1.30 on.

mod flow;
mod shape;

use std::{collections::BTreeSet, ops::Range};

use iced_x86::Register;
use otel_ebpf_events::{TaskLayout, task::runtime};

use self::flow::{Current, Flow};
use super::{
    Found, Hook, Runtime, Tasks,
    elf::{CodePointers, Executable},
    site,
};

/// In a task's header: `state`, `queue_next`, `vtable`.
const VTABLE: u32 = 0x10;
/// In the vtable: behind seven functions, the trailer's offset and the scheduler's.
const ID_OFFSET: u32 = 9 * 8;
/// More functions than this tell nothing new.
const POLLS: usize = 48;

/// Looks for tokio's runtime.
pub fn examine(file: &Executable<'_>) -> Runtime {
    let versions = shape::versions(file);
    let pointers = CodePointers::of(file);
    let vtables = shape::task_vtables(file, &pointers);
    let wakers = shape::waker_vtables(file, &pointers);
    if versions.is_empty() && (vtables.is_empty() || wakers.is_empty()) {
        return Runtime::None;
    }
    let version = versions.first().filter(|_| versions.len() == 1);
    let name = version.map_or_else(|| "tokio".to_owned(), |version| format!("tokio {version}"));
    match follow(file, &pointers, &vtables, &wakers, version) {
        Ok(Places { layout, sites, found, lacks }) => {
            Runtime::Tasks(Tasks { name, layout, sites, found, lacks })
        }
        Err(lacks) => Runtime::Opaque { name, lacks: lacks.to_owned() },
    }
}

struct Places {
    layout: TaskLayout,
    sites: Vec<(Hook, super::Site)>,
    found: Found,
    lacks: Option<&'static str>,
}

fn follow(
    file: &Executable<'_>,
    pointers: &CodePointers,
    vtables: &[shape::TaskVtable],
    wakers: &[shape::WakerVtable],
    version: Option<&shape::Version>,
) -> Result<Places, &'static str> {
    if vtables.is_empty() {
        return Err("no tasks of a form known here: it spawns none, or the version is older than 1.30");
    }
    let named = Named::of(file);
    let wakes: BTreeSet<u64> = match (named.wakes.len(), wakers) {
        (2, []) => named.wakes,
        (_, [waker]) if named.wakes.is_subset(&waker.wakes) => waker.wakes.clone(),
        (0, []) => {
            return Err(
                "the functions that wake tasks were not found: built for size or without optimization",
            );
        }
        _ => {
            return Err("the functions that wake tasks are not unique: two versions of tokio in one program");
        }
    };
    let (spawns, found) = if named.spawns.is_empty() {
        (shape::spawns(file, pointers), Found::Shape)
    } else {
        let known = named.spawns.iter().copied().filter(|entry| shape::is_spawn(file, pointers, *entry));
        (known.collect::<BTreeSet<_>>(), Found::Symbols)
    };
    let (spawns, lacks) = if spawns.is_empty() {
        (
            spawns,
            Some(
                "tasks are seen, not which one makes which: the function that takes them up is part of others",
            ),
        )
    } else if !named.spawns.is_subset(&spawns) {
        let lacks =
            "tasks are seen, not which one makes which: the function that takes them up has another form";
        (BTreeSet::new(), Some(lacks))
    } else {
        (spawns, None)
    };
    let current = current(file, pointers, vtables, version)?;
    let small = |offset: i64| i32::try_from(offset).map_err(|_| "the thread's variables are too far away");
    let layout = TaskLayout {
        runtime: runtime::TOKIO,
        current_tag: small(current.tag.unwrap_or_default())?,
        current: small(current.id)?,
        vtable: VTABLE,
        id_offset: ID_OFFSET,
        ..TaskLayout::default()
    };
    let place = |entry: u64, register| site::choose(file, function(file, entry)?, &[register]);
    let wakes = wakes.iter().map(|entry| Some((Hook::TokioWake, place(*entry, Register::RDI)?)));
    let spawns = spawns.iter().map(|entry| Some((Hook::TokioSpawn, place(*entry, Register::RSI)?)));
    let sites: Option<Vec<_>> = wakes.chain(spawns).collect();
    let sites = sites.ok_or("the file does not say where its functions end")?;
    Ok(Places { layout, sites, found, lacks })
}

/// Where the current task's number is: where every task's `poll` that can be followed puts it.
fn current(
    file: &Executable<'_>,
    pointers: &CodePointers,
    vtables: &[shape::TaskVtable],
    version: Option<&shape::Version>,
) -> Result<Current, &'static str> {
    let mut flow = Flow::new(file, pointers);
    let polls: BTreeSet<(u64, u64)> = vtables.iter().map(|vtable| (vtable.poll, vtable.id_offset)).collect();
    let found: BTreeSet<Current> =
        polls.iter().take(POLLS).flat_map(|(poll, id_offset)| flow.currents(*poll, *id_offset)).collect();
    let mut found = found.into_iter();
    let current = match (found.next(), found.next()) {
        (Some(current), None) => current,
        (None, _) => return Err("where a thread keeps the number of its task was not found in the code"),
        (Some(_), Some(_)) => {
            return Err("where a thread keeps the number of its task is ambiguous in the code");
        }
    };
    let lowest = i64::try_from(file.thread_local_size()).unwrap_or(i64::MAX).wrapping_neg();
    let is_inside = (lowest..=-8).contains(&current.tag.unwrap_or(current.id)) && current.id <= -8;
    let is_as_in_version =
        version.and_then(shape::Version::has_tag).is_none_or(|has_tag| has_tag == current.tag.is_some());
    (is_inside && is_as_in_version)
        .then_some(current)
        .ok_or("where a thread keeps the number of its task is not as this version does it")
}

/// Start and end of a function that begins at an address.
fn function(file: &Executable<'_>, entry: u64) -> Option<Range<u64>> {
    file.function(entry).filter(|function| function.start == entry)
}

/// Functions found by name.
#[derive(Default)]
struct Named {
    wakes: BTreeSet<u64>,
    spawns: BTreeSet<u64>,
}

impl Named {
    fn of(file: &Executable<'_>) -> Self {
        let mut named = Self::default();
        for symbol in file.symbols() {
            // Mangled in the older way, `_ZN5tokio7runtime4task…`, or the newer, `_RNvNtNtNtCs…_5tokio7runtime4task…`.
            let name = symbol.name;
            if !(name.starts_with("_ZN") || name.starts_with("_R")) || !name.contains("5tokio7runtime4task") {
                continue;
            }
            let is = |path: &str| name.contains(path);
            if is("5tokio7runtime4task5waker11wake_by_ref") || is("5tokio7runtime4task5waker11wake_by_val") {
                named.wakes.insert(symbol.address);
            } else if is("5tokio7runtime4task4list")
                && is("10bind_inner")
                && !is("8{closure")
                && !is("$closure$")
            {
                named.spawns.insert(symbol.address);
            }
        }
        named
    }
}
