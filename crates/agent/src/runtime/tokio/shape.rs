//! What tokio's data and code look like, whatever their names.

use std::{collections::BTreeSet, fmt};

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};

use super::{ID_OFFSET, VTABLE, function};
use crate::runtime::elf::{CodePointers, Executable};

/// A version of tokio.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    text: String,
    major: u32,
    minor: u32,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        parts.next()?.chars().next().filter(char::is_ascii_digit)?;
        Some(Self { text: text.to_owned(), major, minor })
    }

    /// Whether `Option<Id>` is two words: `Id` was any number up to 1.38, and is never 0 from 1.41 on.
    pub fn has_tag(&self) -> Option<bool> {
        match (self.major, self.minor) {
            (1, ..=38) => Some(true),
            (1, 39 | 40) => None,
            _ => Some(false),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The versions of tokio that paths of its source files, kept for messages, name.
pub fn versions(file: &Executable<'_>) -> BTreeSet<Version> {
    const BEFORE: &[u8] = b"/tokio-";
    let mut versions = BTreeSet::new();
    for (_, data) in file.data_segments() {
        let mut rest = data;
        while let Some(at) = rest.iter().position(|byte| *byte == b'/') {
            rest = &rest[at..];
            let text = rest.strip_prefix(BEFORE).and_then(|text| text.split(|byte| *byte == b'/').next());
            if let Some(text) =
                text.filter(|text| text.len() < 40 && rest[BEFORE.len() + text.len()..].starts_with(b"/src/"))
            {
                versions.extend(str::from_utf8(text).ok().and_then(Version::parse));
            }
            rest = &rest[1..];
        }
    }
    versions
}

/// A kind of task.
pub struct TaskVtable {
    /// The function that runs one.
    pub poll: u64,
    /// Where its number is, from its header.
    pub id_offset: u64,
}

/// Finds the vtables of tasks.
pub fn task_vtables(file: &Executable<'_>, pointers: &CodePointers) -> Vec<TaskVtable> {
    const FUNCTIONS: usize = 7;
    /// The header's four words, which may be followed by others in builds with unstable features.
    const HEADERS: std::ops::RangeInclusive<u64> = 32..=96;
    let mut vtables = Vec::new();
    for (start, targets) in pointers.runs() {
        let Some(poll) = targets.len().checked_sub(FUNCTIONS).map(|first| targets[first]) else { continue };
        let end = start.wrapping_add(8 * targets.len() as u64);
        let word = |index: u64| file.word(end.wrapping_add(8 * index));
        let (Some(trailer), Some(scheduler), Some(id)) = (word(0), word(1), word(2)) else { continue };
        let is_one = HEADERS.contains(&scheduler)
            && id >= scheduler
            && id - scheduler <= 64
            && trailer > id
            && trailer < 1 << 32
            && (trailer | scheduler | id) % 8 == 0;
        if is_one {
            vtables.push(TaskVtable { poll, id_offset: id });
        }
    }
    vtables
}

/// A `RawWakerVTable`.
#[derive(PartialEq, Eq)]
pub struct WakerVtable {
    /// `wake_by_val`, `wake_by_ref`.
    pub wakes: BTreeSet<u64>,
}

/// Finds the vtables of wakers: four functions, of which the first counts a reference more and gives back the vtable.
pub fn waker_vtables(file: &Executable<'_>, pointers: &CodePointers) -> Vec<WakerVtable> {
    let mut vtables = Vec::new();
    for (start, targets) in pointers.runs() {
        for (index, functions) in targets.windows(4).enumerate() {
            let vtable = start.wrapping_add(8 * index as u64);
            if is_clone(file, pointers, functions[0], vtable) {
                let found = WakerVtable { wakes: BTreeSet::from([functions[1], functions[2]]) };
                if !vtables.contains(&found) {
                    vtables.push(found);
                }
            }
        }
    }
    vtables
}

/// `clone_waker`: adds 0x40 to the word that its argument points to, and returns the vtable.
fn is_clone(file: &Executable<'_>, pointers: &CodePointers, entry: u64, vtable: u64) -> bool {
    // mov $0x40, %eax; push $0x40; lock addq $0x40, (%rdi); behind what makes a frame.
    let Some(code) = file.memory(entry) else { return false };
    let code = &code[..code.len().min(64)];
    // Most functions are told apart by that they neither count nor call this early.
    if !code.iter().take(24).any(|byte| matches!(*byte, 0x40 | 0xE8 | 0x15)) {
        return false;
    }
    let (mut is_counted, mut has_count) = (false, false);
    for instruction in &mut Decoder::with_ip(64, code, entry, DecoderOptions::NONE) {
        let immediate =
            (0..instruction.op_count()).find_map(|operand| instruction.try_immediate(operand).ok());
        has_count |= immediate == Some(0x40);
        is_counted |= has_count && adds_to_argument(&instruction);
        // Where the compiler has left the counting in a function of its own.
        is_counted |= called(&instruction, pointers).is_some_and(|function| counts(file, function));
        // The address itself, or a word of the global offset table that holds it.
        let place = instruction.is_ip_rel_memory_operand().then(|| instruction.ip_rel_memory_address());
        let given = match instruction.mnemonic() {
            Mnemonic::Lea => place,
            Mnemonic::Mov => place.map_or(immediate, |place| pointers.adjusted(place)),
            _ => None,
        };
        if is_counted && given == Some(vtable) {
            return true;
        }
        if instruction.is_invalid() || instruction.flow_control() == FlowControl::Return {
            return false;
        }
    }
    false
}

/// Whether an instruction adds to the word that the function's argument points to, for all threads to see.
fn adds_to_argument(instruction: &Instruction) -> bool {
    instruction.has_lock_prefix()
        && matches!(instruction.mnemonic(), Mnemonic::Xadd | Mnemonic::Add)
        && instruction.op0_kind() == OpKind::Memory
        && instruction.memory_base() == Register::RDI
        && instruction.memory_displacement64() == 0
}

/// The function that an instruction calls, by its address or by a word of the global offset table.
fn called(instruction: &Instruction, pointers: &CodePointers) -> Option<u64> {
    match instruction.flow_control() {
        FlowControl::Call => Some(instruction.near_branch_target()),
        FlowControl::IndirectCall if instruction.is_ip_rel_memory_operand() => {
            pointers.adjusted(instruction.ip_rel_memory_address())
        }
        _ => None,
    }
}

/// `State::ref_inc` (`runtime/task/state.rs`): adds 0x40 to the word that its argument points to.
fn counts(file: &Executable<'_>, entry: u64) -> bool {
    let Some(code) = file.memory(entry) else { return false };
    let mut has_count = false;
    for instruction in
        Decoder::with_ip(64, &code[..code.len().min(32)], entry, DecoderOptions::NONE).iter().take(6)
    {
        has_count |= (0..instruction.op_count())
            .any(|operand| instruction.try_immediate(operand).is_ok_and(|it| it == 0x40));
        if has_count && adds_to_argument(&instruction) {
            return true;
        }
        if instruction.is_invalid() || instruction.flow_control() != FlowControl::Next {
            return false;
        }
    }
    false
}

/// Finds `bind_inner` in all code, by the bytes of what [`is_spawn`] looks for.
pub fn spawns(file: &Executable<'_>, pointers: &CodePointers) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for (address, code) in file.code_segments() {
        for (index, bytes) in code.windows(28).enumerate() {
            // mov r64, 0x18(r64): REX.W, opcode, operands, displacement.
            let is_store =
                bytes[3] == 0x18 && bytes[1] == 0x89 && bytes[0] & 0xf8 == 0x48 && bytes[2] >> 6 == 1;
            if !is_store {
                continue;
            }
            // mov 0x10(r64), r64; mov 0x48(r64), r64.
            let is_load = |load: &[u8]| load[1] == 0x8b && load[0] & 0xf8 == 0x48 && load[2] >> 6 == 1;
            let has_load = |offset: u8| bytes[4..].windows(4).any(|load| load[3] == offset && is_load(load));
            let has_loads = has_load(VTABLE as u8) && has_load(ID_OFFSET as u8);
            // Or, where a function called later has those, right before a load of what is stored.
            let before = index.checked_sub(4).and_then(|before| code.get(before..index));
            if !has_loads && !before.is_some_and(|load| is_load(load) && (load[2] ^ bytes[2]) & 0x38 == 0) {
                continue;
            }
            let function = file.function(address.wrapping_add(index as u64));
            found.extend(
                function.map(|function| function.start).filter(|entry| is_spawn(file, pointers, *entry)),
            );
        }
    }
    found
}

/// `bind_inner`: before any branch, writes the owner's number into its second argument's header, and reads that task's
/// number by way of the vtable, or calls a function that does, with a pointer to the task.
pub fn is_spawn(file: &Executable<'_>, pointers: &CodePointers, entry: u64) -> bool {
    Straight { tasks: vec![Register::RSI], ..Straight::default() }.reads_id(file, pointers, entry)
}

/// What registers hold on the way through the first instructions of a function.
#[derive(Default)]
struct Straight {
    /// A task's header.
    tasks: Vec<Register>,
    /// Its vtable.
    vtables: Vec<Register>,
    /// The offset of its number.
    offsets: Vec<Register>,
    /// The address of a word that holds the header.
    cells: Vec<Register>,
    /// Such words, from the stack pointer.
    slots: Vec<u64>,
    /// Whether the owner's number was written.
    is_owned: bool,
    /// Whether this is a function that was called.
    is_inner: bool,
}

impl Straight {
    fn reads_id(mut self, file: &Executable<'_>, pointers: &CodePointers, entry: u64) -> bool {
        let Some(code) = function(file, entry).and_then(|function| file.bytes(entry, function.end - entry))
        else {
            return false;
        };
        let mut info = InstructionInfoFactory::new();
        for instruction in &mut Decoder::with_ip(64, code, entry, DecoderOptions::NONE) {
            match instruction.flow_control() {
                FlowControl::Next if !instruction.is_invalid() => {}
                FlowControl::Call | FlowControl::IndirectCall if self.is_owned && !self.is_inner => {
                    let target = match instruction.op0_kind() {
                        OpKind::NearBranch64 => Some(instruction.near_branch_target()),
                        OpKind::Memory if instruction.is_ip_rel_memory_operand() => {
                            pointers.at(instruction.ip_rel_memory_address())
                        }
                        _ => None,
                    };
                    let inner = Self {
                        cells: self.cells,
                        tasks: self.tasks,
                        is_owned: true,
                        is_inner: true,
                        ..Self::default()
                    };
                    return target.is_some_and(|target| inner.reads_id(file, pointers, target));
                }
                _ => return false,
            }
            if self.step(&instruction, &mut info) {
                return true;
            }
        }
        false
    }

    /// Whether the instruction reads the number of a task that has an owner.
    fn step(&mut self, instruction: &Instruction, info: &mut InstructionInfoFactory) -> bool {
        let (base, offset) = (instruction.memory_base(), instruction.memory_displacement64());
        let index = instruction.memory_index();
        let is_plain = index == Register::None;
        let (from, to) = (instruction.op1_register(), instruction.op0_register());
        let is_move = instruction.mnemonic() == Mnemonic::Mov;
        let is_load = is_move && instruction.op1_kind() == OpKind::Memory && to.is_gpr64();
        let is_store = is_move && instruction.op0_kind() == OpKind::Memory && from.is_gpr64() && is_plain;
        let is_id = is_load
            && [(base, index), (index, base)]
                .iter()
                .any(|(task, index)| self.tasks.contains(task) && self.offsets.contains(index));
        if is_id && self.is_owned {
            return true;
        }
        if is_store && base == Register::RSP {
            self.slots.retain(|slot| *slot != offset);
            self.slots.extend(Some(offset).filter(|_| self.tasks.contains(&from)));
        } else if is_store && self.tasks.contains(&base) && offset == 0x18 {
            self.is_owned = true;
        }
        let is_copy = is_move && instruction.op1_kind() == OpKind::Register && to.is_gpr64();
        let is_task = is_copy && self.tasks.contains(&from)
            || is_load && is_plain && offset == 0 && self.cells.contains(&base)
            || is_load && is_plain && base == Register::RSP && self.slots.contains(&offset);
        let is_vtable = is_load && is_plain && self.tasks.contains(&base) && offset == u64::from(VTABLE);
        let is_offset = is_load && is_plain && self.vtables.contains(&base) && offset == u64::from(ID_OFFSET);
        let is_cell = is_copy && self.cells.contains(&from)
            || instruction.mnemonic() == Mnemonic::Lea
                && is_plain
                && base == Register::RSP
                && self.slots.contains(&offset);
        for used in info.info(instruction).used_registers() {
            if matches!(
                used.access(),
                OpAccess::Read | OpAccess::CondRead | OpAccess::None | OpAccess::NoMemAccess
            ) {
                continue;
            }
            let written = used.register().full_register();
            if written == Register::RSP {
                self.slots.clear();
            }
            for set in [&mut self.tasks, &mut self.vtables, &mut self.offsets, &mut self.cells] {
                set.retain(|register| *register != written);
            }
        }
        let becomes = [
            (is_task, &mut self.tasks),
            (is_vtable, &mut self.vtables),
            (is_offset, &mut self.offsets),
            (is_cell, &mut self.cells),
        ];
        becomes.into_iter().filter(|(is, _)| *is).for_each(|(_, set)| set.push(to));
        false
    }
}
