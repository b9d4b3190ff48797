//! What the code of the runtime tells. Each reader knows one form, which compilers from Go 1.21 to 1.27 make, and gives
//! nothing for any other.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};

use crate::runtime::elf::Executable;

/// Where numbers are in `runtime.g`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GOffsets {
    /// `goid`: the goroutine's number.
    pub goid: u32,
    /// `parentGoid`: its maker's.
    pub parent_goid: u32,
}

/// Longest of the functions that are read; `newproc1` has about 1 KiB.
const LONGEST: usize = 16 << 10;

fn decode(address: u64, code: &[u8]) -> impl Iterator<Item = Instruction> {
    let code = &code[..code.len().min(LONGEST)];
    Decoder::with_ip(64, code, address, DecoderOptions::NONE).into_iter()
}

/// `runtime.systemstack` (src/runtime/asm_amd64.s): where a thread keeps the pointer to its `g`, from the `fs` base.
///
/// Gives nothing unless that pointer is still in `rax` where the function jumps to what it was given, with the address of
/// the function literal in `rdx`: [`ready_site`] builds on that.
pub fn current_g(address: u64, code: &[u8]) -> Option<i32> {
    let mut info = InstructionInfoFactory::new();
    let mut constant = None;
    let mut current = None;
    let mut literal = None;
    for instruction in decode(address, code).take_while(|instruction| !instruction.is_invalid()) {
        let to = (instruction.op0_kind() == OpKind::Register).then(|| instruction.op0_register());
        let is_move = instruction.mnemonic() == Mnemonic::Mov;
        if is_move && instruction.memory_segment() == Register::FS && to == Some(Register::RAX) {
            // Either the offset stands in the instruction, or (in programs that can be moved) in a register, which the
            // linker made a constant.
            let base = match (instruction.memory_base(), constant) {
                (Register::None, _) => 0,
                (register, Some((loaded, value))) if register == loaded => value,
                _ => return None,
            };
            let offset = instruction.memory_displacement64().wrapping_add_signed(base).cast_signed();
            current = Some(i32::try_from(offset).ok().filter(|offset| *offset < 0)?);
            continue;
        }
        if is_move && to == Some(Register::RDX) && instruction.op1_kind() == OpKind::Register {
            literal = Some(instruction.op1_register());
            continue;
        }
        match instruction.flow_control() {
            FlowControl::IndirectCall => {
                // `call *%rdi` after `mov %rdi,%rdx; mov (%rdi),%rdi`.
                return current.filter(|_| literal == Some(Register::RDI));
            }
            FlowControl::Return | FlowControl::IndirectBranch => return None,
            _ => {}
        }
        // `gosave_systemstack_switch`, called in between, changes nothing but r9.
        for used in info.info(&instruction).used_registers() {
            let is_written = matches!(
                used.access(),
                OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite | OpAccess::ReadCondWrite
            );
            if is_written {
                let register = used.register().full_register();
                current = current.filter(|_| register != Register::RAX);
                literal = literal.filter(|_| register != Register::RDX);
                constant = constant.filter(|(loaded, _)| *loaded != register);
            }
        }
        if is_move
            && let Some(to) = to
            && matches!(instruction.op1_kind(), OpKind::Immediate32to64 | OpKind::Immediate64)
        {
            constant = Some((to, instruction.immediate(1).cast_signed()));
        }
    }
    None
}

/// `runtime.newproc1` (src/runtime/proc.go): the maker's number is copied from the maker's `g` to the new one, which also
/// gets a number of its own:
///
/// ```text
/// mov goid(%rax),%rcx
/// …
/// mov %rcx,parentGoid(%rdx)
/// …
/// mov %rcx,parentGoid+8(%rdx)    gopc, the next field
/// …
/// mov %rsi,goid(%rax)
/// ```
///
/// No other pair of fields is used like this there.
pub fn g_offsets(address: u64, code: &[u8]) -> Option<GOffsets> {
    /// From the load to the store that follows, and from there to the next.
    const NEAR: usize = 6;
    let instructions: Vec<_> = decode(address, code).collect();
    let loads = |i: &Instruction| {
        let is = i.mnemonic() == Mnemonic::Mov
            && i.op0_kind() == OpKind::Register
            && i.op1_kind() == OpKind::Memory;
        (is && i.op0_register().is_gpr64()).then(|| (i.op0_register(), field(i)))
    };
    let stores = |i: &Instruction| {
        let is = i.mnemonic() == Mnemonic::Mov
            && i.op0_kind() == OpKind::Memory
            && i.op1_kind() == OpKind::Register;
        (is && i.op1_register().is_gpr64()).then(|| (i.op1_register(), field(i)))
    };
    let mut found = Vec::new();
    for (at, load) in instructions.iter().enumerate() {
        let Some((value, Some((from, goid)))) = loads(load) else { continue };
        let near = &instructions[at + 1..];
        let near = &near[..near.len().min(NEAR)];
        // Up to the first that puts something else into the register.
        let overwritten =
            near.iter().position(|i| i.op0_kind() == OpKind::Register && i.op0_register() == value);
        let store = near[..overwritten.unwrap_or(near.len())].iter().enumerate().find_map(|(index, i)| {
            let (stored, Some((to, offset))) = stores(i)? else { return None };
            (stored == value && to != from).then_some((index, to, offset))
        });
        let Some((index, to, parent_goid)) = store else { continue };
        let after = &instructions[at + 1 + index + 1..];
        let is_next = |i: &&Instruction| {
            stores(i).is_some_and(|(_, stored)| stored == parent_goid.checked_add(8).map(|next| (to, next)))
        };
        let has_next = after.iter().take(NEAR).any(|i| is_next(&i));
        let has_number =
            after.iter().any(|i| stores(i).is_some_and(|(_, stored)| stored.is_some_and(|(_, o)| o == goid)));
        if has_next && has_number {
            found.push(GOffsets { goid, parent_goid });
        }
    }
    found.dedup();
    let [offsets] = *found else { return None };
    Some(offsets)
}

/// The field of a structure that an instruction uses: the register that points to it, and the offset.
fn field(instruction: &Instruction) -> Option<(Register, u32)> {
    let is_field = instruction.segment_prefix() == Register::None
        && instruction.memory_index() == Register::None
        && instruction.memory_base().is_gpr64()
        && instruction.memory_base() != Register::RSP
        && instruction.memory_displacement64().is_multiple_of(8);
    let offset = u32::try_from(instruction.memory_displacement64())
        .ok()
        .filter(|offset| (1..1 << 12).contains(offset))?;
    is_field.then_some((instruction.memory_base(), offset))
}

/// The function literal in `runtime.goready`: where a probe is cheap.
///
/// ```text
///     cmp 0x10(%r14),%rsp
///     jbe …                      here: emulated, and on every way through
///     …
///     mov 8(%rdx),%rax
///     …
///     call runtime.ready
/// ```
///
/// There `rax` still holds the `g` that called `systemstack` (see [`current_g`]), and `rdx` points to the literal, whose
/// second word is the `g` that becomes ready.
pub fn ready_site(address: u64, code: &[u8], ready: u64) -> Option<u64> {
    let mut instructions = decode(address, code);
    let check = instructions.next()?;
    let is_check = check.mnemonic() == Mnemonic::Cmp
        && check.op0_register() == Register::RSP
        && check.memory_base() == Register::R14;
    let jump = instructions.next().filter(|jump| is_check && jump.mnemonic() == Mnemonic::Jbe)?;

    let mut has_g = false;
    for instruction in instructions {
        let writes = |register| {
            instruction.op0_kind() == OpKind::Register
                && instruction.op0_register().full_register() == register
        };
        match instruction.flow_control() {
            FlowControl::Next => {}
            FlowControl::Call => {
                let is_ready = instruction.near_branch_target() == ready;
                return (has_g && is_ready).then_some(jump.ip());
            }
            _ => return None,
        }
        if instruction.mnemonic() == Mnemonic::Nop {
            continue;
        }
        if writes(Register::RDX) && !has_g {
            return None;
        }
        if writes(Register::RAX) {
            has_g = instruction.mnemonic() == Mnemonic::Mov
                && instruction.op1_kind() == OpKind::Memory
                && instruction.memory_base() == Register::RDX
                && instruction.memory_index() == Register::None
                && instruction.memory_displacement64() == 8;
        }
    }
    None
}

/// The function literal in `runtime.newproc`: where a probe sees each new goroutine, and is cheap.
///
/// ```text
/// call runtime.newproc1
/// …
/// mov %rax,%rbx
/// …
/// call runtime.runqput           here: emulated
/// ```
///
/// There `rbx` holds the new `g`, which has its number and its maker's.
pub fn spawn_site(address: u64, code: &[u8], maker: u64, queue: u64) -> Option<u64> {
    let is_call_of = |instruction: &Instruction, function| {
        instruction.flow_control() == FlowControl::Call && instruction.near_branch_target() == function
    };
    let mut after = decode(address, code).skip_while(|instruction| !is_call_of(instruction, maker));
    after.next()?;
    let (mut in_rax, mut in_rbx) = (true, false);
    for instruction in after {
        match instruction.flow_control() {
            FlowControl::Next => {}
            FlowControl::Call => {
                return (in_rbx && is_call_of(&instruction, queue)).then(|| instruction.ip());
            }
            _ => return None,
        }
        if instruction.mnemonic() == Mnemonic::Nop || instruction.op0_kind() != OpKind::Register {
            continue;
        }
        match instruction.op0_register().full_register() {
            Register::RAX => in_rax = false,
            Register::RBX => {
                let is_copy = instruction.mnemonic() == Mnemonic::Mov
                    && instruction.op1_kind() == OpKind::Register
                    && instruction.op1_register() == Register::RAX;
                in_rbx = is_copy && in_rax;
            }
            _ => {}
        }
    }
    None
}

/// Where `runtime.systemstack` begins, found by the comparisons with which it begins; `None` if that is not clear.
pub fn find_switch(file: &Executable<'_>) -> Option<u64> {
    // mov 0x30(%rax),%rbx; cmp signal(%rbx),%rax; je; mov (%rbx),%rdx; cmp %rdx,%rax; je: m.g0 is the first field of m,
    // and g.m the one at 0x30 in all versions.
    #[rustfmt::skip]
    const FORM: [Option<u8>; 17] = [
        Some(0x48), Some(0x8b), Some(0x58), Some(0x30), Some(0x48), Some(0x3b), Some(0x43), None, Some(0x74), None,
        Some(0x48), Some(0x8b), Some(0x13), Some(0x48), Some(0x39), Some(0xd0), Some(0x74),
    ];
    let is_form =
        |bytes: &[u8]| bytes.iter().zip(FORM).all(|(byte, form)| form.is_none_or(|form| form == *byte));
    let (address, code) = file.section(".text")?;
    let mut found =
        code.windows(FORM.len()).enumerate().filter(|(_, bytes)| bytes[0] == 0x48 && is_form(bytes));
    let (at, _) = found.next()?;
    if found.next().is_some() {
        return None;
    }
    // Functions in assembly are aligned to 32 bytes; the comparisons are about 20 bytes into this one.
    (address + at as u64).checked_sub(1).map(|before| before & !31)
}
