//! Where the number of the current task goes when a task is run.
//!
//! Follows what the code of `poll` does with the task's header, along its branches and calls, as far as it matters: the
//! header's address, the task's number read from it, addresses in the thread's block and on the stack, and constants.
//! What is not understood becomes unknown, so that a place is found or not, but not a wrong one.

use std::collections::HashMap;

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};

use crate::runtime::elf::{CodePointers, Executable};

/// How many calls deep to go.
const DEEPEST: u32 = 8;
/// How often to come to the same place by another way, in one call of a function.
const VISITS: u8 = 2;
/// Instructions for one `poll`.
const INSTRUCTIONS: u32 = 20_000;
/// Instructions of a function that may do no more than return an address in the thread's block.
const INSTRUCTIONS_OF_GETTER: u32 = 100;

/// What is known about a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Value {
    #[default]
    Unknown,
    /// Address of the task's header, and so many bytes.
    Header(i64),
    /// The task's number.
    Id,
    /// The `fs` base, and so many bytes.
    Thread(i64),
    /// The stack pointer when `poll` was called, and so many bytes.
    Stack(i64),
    Number(i64),
    /// A word of a table of distances of code from the table, which is at this address.
    Distance(i64),
    /// An address made from such a word.
    Jump(i64),
}

impl Value {
    fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => Self::Number(one.wrapping_add(other)),
            (value, Self::Number(more)) | (Self::Number(more), value) => match value {
                Self::Header(at) => Self::Header(at.wrapping_add(more)),
                Self::Thread(at) => Self::Thread(at.wrapping_add(more)),
                Self::Stack(at) => Self::Stack(at.wrapping_add(more)),
                Self::Distance(table) if table == more => Self::Jump(table),
                _ => Self::Unknown,
            },
            _ => Self::Unknown,
        }
    }
}

/// Where a function puts the number of the task that it is about to run, from the `fs` base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Current {
    /// The number.
    pub id: i64,
    /// The word before it that then says 1, if there is one.
    pub tag: Option<i64>,
}

/// A read or write of the thread's block.
#[derive(Clone, Copy)]
struct Access {
    at: i64,
    size: i64,
    /// What is written; `None` for a read.
    written: Option<Value>,
}

#[derive(Clone, Default)]
struct State {
    registers: [Value; 16],
    stack: Vec<(i64, Value)>,
    /// Since the last call.
    accesses: Vec<Access>,
}

impl State {
    fn get(&self, register: Register) -> Value {
        match register {
            Register::None => Value::Number(0),
            _ if register.is_gpr64() => self.registers[register.number()],
            _ => Value::Unknown,
        }
    }

    fn set(&mut self, register: Register, value: Value) {
        let full = register.full_register();
        if full.is_gpr64() {
            self.registers[full.number()] = value;
        }
    }

    fn load(&self, at: i64) -> Value {
        self.stack.iter().find(|(slot, _)| *slot == at).map_or(Value::Unknown, |(_, value)| *value)
    }

    fn store(&mut self, at: i64, size: i64, value: Value) {
        self.stack.retain(|(slot, _)| slot.wrapping_add(8) <= at || at.wrapping_add(size) <= *slot);
        if size == 8 && value != Value::Unknown {
            self.stack.push((at, value));
        }
    }

    /// Whether something that is followed is in these words, or where they point to.
    fn is_of_interest(&self, value: Value) -> bool {
        match value {
            Value::Header(_) | Value::Id => true,
            Value::Stack(at) => self.stack.iter().any(|(slot, value)| {
                (0..64).contains(&slot.wrapping_sub(at)) && matches!(value, Value::Header(_) | Value::Id)
            }),
            _ => false,
        }
    }
}

const ARGUMENTS: [Register; 6] =
    [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];
const LOST_IN_CALL: [Register; 9] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
];

/// Follows the code of a program.
pub struct Flow<'a, 'data> {
    file: &'a Executable<'data>,
    pointers: &'a CodePointers,
    info: InstructionInfoFactory,
    /// Of the task being followed.
    id_offset: i64,
    left: u32,
    found: Vec<Current>,
    /// What functions return that were called with nothing of interest.
    getters: HashMap<u64, Value>,
    /// The same for those that were followed, in this `poll`.
    followed: HashMap<(u64, [Value; 6]), Value>,
}

impl<'a, 'data> Flow<'a, 'data> {
    /// Begins.
    pub fn new(file: &'a Executable<'data>, pointers: &'a CodePointers) -> Self {
        Self {
            file,
            pointers,
            info: InstructionInfoFactory::new(),
            id_offset: 0,
            left: 0,
            found: Vec::new(),
            getters: HashMap::new(),
            followed: HashMap::new(),
        }
    }

    /// The places where a `poll` puts the task's number, each once.
    pub fn currents(&mut self, poll: u64, id_offset: u64) -> Vec<Current> {
        self.id_offset = i64::try_from(id_offset).unwrap_or(i64::MAX);
        self.left = INSTRUCTIONS;
        self.followed.clear();
        let mut state = State::default();
        state.set(Register::RDI, Value::Header(0));
        state.set(Register::RSP, Value::Stack(0));
        self.run(poll, state, 0);
        let mut found = std::mem::take(&mut self.found);
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Follows a function; gives what it returns.
    fn run(&mut self, entry: u64, state: State, depth: u32) -> Value {
        let Some(function) = self.file.function(entry).filter(|function| function.start == entry) else {
            return Value::Unknown;
        };
        let Some(code) = self.file.bytes(entry, function.end - entry) else { return Value::Unknown };
        let mut decoder = Decoder::with_ip(64, code, entry, DecoderOptions::NONE);
        let mut visits: HashMap<u64, u8> = HashMap::new();
        let mut results = Vec::new();
        let mut branches = vec![(entry, state)];
        while let Some((start, mut state)) = branches.pop() {
            let mut next = start;
            while let Some(at) = next.checked_sub(entry).filter(|_| function.contains(&next)) {
                if self.left == 0 || decoder.set_position(at as usize).is_err() {
                    return Value::Unknown;
                }
                self.left -= 1;
                decoder.set_ip(next);
                let instruction = decoder.decode();
                if instruction.is_invalid() {
                    break;
                }
                next = instruction.next_ip();
                if instruction.flow_control() == FlowControl::Next {
                    self.step(&instruction, &mut state);
                    continue;
                }
                self.note(&mut state);
                let target = self.target(&instruction);
                match instruction.flow_control() {
                    FlowControl::ConditionalBranch => {
                        let mut may_visit = |place| {
                            let count = visits.entry(place).or_default();
                            *count += 1;
                            *count <= VISITS
                        };
                        if let Some(target) =
                            target.filter(|target| function.contains(target) && may_visit(*target))
                        {
                            branches.push((target, state.clone()));
                        }
                        if !may_visit(next) {
                            break;
                        }
                    }
                    FlowControl::UnconditionalBranch | FlowControl::IndirectBranch => {
                        match target {
                            Some(target) if function.contains(&target) => {
                                let count = visits.entry(target).or_default();
                                *count += 1;
                                if *count <= VISITS {
                                    branches.push((target, state));
                                }
                            }
                            // The function's last call.
                            Some(target) => results.push(self.call(target, &state, depth)),
                            None => {
                                for target in self.cases(&instruction, &state) {
                                    let count = visits.entry(target).or_default();
                                    *count += 1;
                                    if *count <= VISITS && function.contains(&target) {
                                        branches.push((target, state.clone()));
                                    }
                                }
                            }
                        }
                        break;
                    }
                    FlowControl::Call | FlowControl::IndirectCall => {
                        let result = target.map_or(Value::Unknown, |target| {
                            let mut inside = state.clone();
                            inside.set(Register::RSP, state.get(Register::RSP).plus(Value::Number(-8)));
                            self.call(target, &inside, depth)
                        });
                        LOST_IN_CALL.iter().for_each(|register| state.set(*register, Value::Unknown));
                        state.set(Register::RAX, result);
                        state.accesses.clear();
                    }
                    FlowControl::Return => {
                        results.push(state.get(Register::RAX));
                        break;
                    }
                    _ => break,
                }
            }
        }
        // A pointer to a variable that may be gone already is null then.
        results.retain(|result| *result != Value::Number(0));
        match results.split_first() {
            Some((first @ Value::Thread(_), rest)) if rest.iter().all(|result| result == first) => *first,
            _ => Value::Unknown,
        }
    }

    fn call(&mut self, target: u64, state: &State, depth: u32) -> Value {
        if depth >= DEEPEST {
            return Value::Unknown;
        }
        let arguments = ARGUMENTS.map(|register| state.get(register));
        if arguments.iter().any(|value| state.is_of_interest(*value)) {
            let key = (target, arguments);
            if let Some(result) = self.followed.get(&key) {
                return *result;
            }
            self.followed.insert(key, Value::Unknown);
            let mut inside = state.clone();
            inside.accesses.clear();
            let result = self.run(target, inside, depth + 1);
            self.followed.insert(key, result);
            return result;
        }
        if let Some(result) = self.getters.get(&target) {
            return *result;
        }
        self.getters.insert(target, Value::Unknown);
        let left = self.left;
        self.left = left.min(INSTRUCTIONS_OF_GETTER);
        let allowed = self.left;
        let mut inside = State::default();
        inside.set(Register::RSP, Value::Stack(0));
        let result = self.run(target, inside, DEEPEST - 2);
        self.left = left - (allowed - self.left);
        self.getters.insert(target, result);
        result
    }

    /// Where a jump or call leads.
    fn target(&self, instruction: &Instruction) -> Option<u64> {
        match instruction.op0_kind() {
            OpKind::NearBranch64 => Some(instruction.near_branch_target()),
            OpKind::Memory if instruction.is_ip_rel_memory_operand() => {
                self.pointers.at(instruction.ip_rel_memory_address())
            }
            _ => None,
        }
    }

    /// Where a jump through a table leads: to its first four entries, as none has fewer (LLVM,
    /// `min-jump-table-entries`), and `poll` has four cases for what becomes of the task.
    fn cases(&self, instruction: &Instruction, state: &State) -> Vec<u64> {
        const CASES: u64 = 4;
        let word = |place: u64| {
            let bytes: &[u8; 4] = self.file.memory(place)?.first_chunk()?;
            Some(i64::from(i32::from_le_bytes(*bytes)))
        };
        if instruction.op0_kind() == OpKind::Register
            && let Value::Jump(table) = state.get(instruction.op0_register())
        {
            let table = table.cast_unsigned();
            let distances = (0..CASES).map_while(|case| word(table.wrapping_add(4 * case)));
            return distances.map(|distance| table.wrapping_add_signed(distance)).collect();
        }
        if instruction.op0_kind() == OpKind::Memory
            && instruction.memory_base() == Register::None
            && instruction.memory_index_scale() == 8
        {
            let table = instruction.memory_displacement64();
            return (0..CASES).map_while(|case| self.file.word(table.wrapping_add(8 * case))).collect();
        }
        Vec::new()
    }

    /// Looks whether the thread's block was given the task's number.
    ///
    /// `TaskIdGuard::enter` exchanges it for the previous one, so both a read and a write must be there.
    fn note(&mut self, state: &mut State) {
        for (index, access) in state.accesses.iter().enumerate() {
            let (Some(Value::Id), 8, at) = (access.written, access.size, access.at) else { continue };
            let is_exchanged = state.accesses[..index].iter().any(|before| {
                before.written.is_none() && before.at <= at && at + 8 <= before.at.wrapping_add(before.size)
            });
            let mut before =
                state.accesses.iter().filter(|access| access.at == at - 8 && access.written.is_some());
            let tag = match before.next_back() {
                None => None,
                Some(Access { written: Some(Value::Number(1)), size: 8, .. }) => Some(at - 8),
                Some(_) => continue,
            };
            if is_exchanged {
                self.found.push(Current { id: at, tag });
            }
        }
        state.accesses.retain(|access| access.written.is_none());
        let excess = state.accesses.len().saturating_sub(8);
        state.accesses.drain(..excess);
    }

    fn address(instruction: &Instruction, state: &State) -> Value {
        let base = if instruction.is_ip_rel_memory_operand() {
            return Value::Number(instruction.ip_rel_memory_address().cast_signed());
        } else {
            state.get(instruction.memory_base())
        };
        let scale = i64::from(instruction.memory_index_scale());
        let index = match state.get(instruction.memory_index()) {
            Value::Number(index) => Value::Number(index.wrapping_mul(scale)),
            value if scale == 1 => value,
            _ => Value::Unknown,
        };
        let offset = Value::Number(instruction.memory_displacement64().cast_signed());
        let sum = base.plus(index).plus(offset);
        match instruction.segment_prefix() {
            Register::FS => Value::Thread(0).plus(sum),
            _ => sum,
        }
    }

    fn read(&self, address: Value, size: i64, is_thread_relative: bool, state: &mut State) -> Value {
        match address {
            // The thread's block begins with its own address.
            Value::Thread(0) if is_thread_relative && size == 8 => Value::Thread(0),
            Value::Thread(at) => {
                state.accesses.push(Access { at, size, written: None });
                Value::Unknown
            }
            Value::Header(at) if at == self.id_offset && size == 8 => Value::Id,
            Value::Stack(at) if size == 8 => state.load(at),
            _ => Value::Unknown,
        }
    }

    fn step(&mut self, instruction: &Instruction, state: &mut State) {
        let has_memory =
            (0..instruction.op_count()).any(|operand| instruction.op_kind(operand) == OpKind::Memory);
        let address = if has_memory { Self::address(instruction, state) } else { Value::Unknown };
        let size = instruction.memory_size().size() as i64;
        let of_thread = instruction.segment_prefix() == Register::FS;
        let operand = |operand: u32, state: &mut State| match instruction.op_kind(operand) {
            OpKind::Register => state.get(instruction.op_register(operand)),
            OpKind::Memory => self.read(address, size, of_thread, state),
            _ => instruction
                .try_immediate(operand)
                .map_or(Value::Unknown, |number| Value::Number(number.cast_signed())),
        };
        let is_wide = instruction.op0_kind() == OpKind::Register && instruction.op0_register().is_gpr64();
        let to = instruction.op0_register();
        match instruction.mnemonic() {
            Mnemonic::Mov if is_wide || (to.is_gpr32() && instruction.op1_kind() == OpKind::Immediate32) => {
                let value = operand(1, state);
                state.set(to, value);
            }
            Mnemonic::Mov if instruction.op0_kind() == OpKind::Memory => {
                let value = operand(1, state);
                Self::write(address, size, value, state);
            }
            Mnemonic::Movsxd if is_wide && has_memory && instruction.memory_index_scale() == 4 => {
                let table = state.get(instruction.memory_base());
                let distance = match table {
                    Value::Number(table) if instruction.memory_displacement64() == 0 => {
                        Value::Distance(table)
                    }
                    _ => Value::Unknown,
                };
                state.set(to, distance);
            }
            Mnemonic::Lea if is_wide => state.set(to, address),
            Mnemonic::Add if is_wide => {
                let value = operand(0, state).plus(operand(1, state));
                state.set(to, value);
            }
            Mnemonic::Sub if is_wide => {
                let value = match operand(1, state) {
                    Value::Number(less) => operand(0, state).plus(Value::Number(less.wrapping_neg())),
                    _ => Value::Unknown,
                };
                state.set(to, value);
            }
            // Makes room for variables that must be aligned; how much does not matter.
            Mnemonic::And if to == Register::RSP => {
                let value = state.get(to).plus(Value::Number(-4096));
                state.set(to, value);
            }
            Mnemonic::Xor
                if instruction.op1_kind() == OpKind::Register && instruction.op1_register() == to =>
            {
                state.set(to, Value::Number(0));
            }
            Mnemonic::Push => {
                let value = operand(0, state);
                let top = state.get(Register::RSP).plus(Value::Number(-8));
                state.set(Register::RSP, top);
                Self::write(top, 8, value, state);
            }
            Mnemonic::Pop if is_wide => {
                let top = state.get(Register::RSP);
                let value = self.read(top, 8, false, state);
                state.set(Register::RSP, top.plus(Value::Number(8)));
                state.set(to, value);
            }
            _ => self.forget(instruction, address, size, state),
        }
    }

    fn write(address: Value, size: i64, value: Value, state: &mut State) {
        match address {
            Value::Thread(at) => state.accesses.push(Access { at, size, written: Some(value) }),
            Value::Stack(at) => state.store(at, size, value),
            _ => {}
        }
    }

    /// Any other instruction: what it writes is unknown then.
    fn forget(&mut self, instruction: &Instruction, address: Value, size: i64, state: &mut State) {
        let is_read = |access| {
            matches!(
                access,
                OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            )
        };
        let is_written = |access| {
            matches!(
                access,
                OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            )
        };
        let info = self.info.info(instruction);
        for used in info.used_registers().iter().filter(|used| is_written(used.access())) {
            state.set(used.register(), Value::Unknown);
        }
        for memory in info.used_memory() {
            if let Value::Thread(at) = address
                && is_read(memory.access())
            {
                state.accesses.push(Access { at, size, written: None });
            }
            if is_written(memory.access()) {
                Self::write(address, size.max(1), Value::Unknown, state);
            }
        }
    }
}
