//! Where in a function a probe is cheap and still sees an argument.

use std::ops::Range;

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    OpKind, Register,
};

use super::{Site, elf::Executable};

/// How far behind the entry a place may lie: what makes a function's frame is not longer.
const FARTHEST: u64 = 96;

/// Chooses the place in a function where to see what `registers` hold at its entry.
///
/// The first instruction that the kernel emulates (arch/x86/kernel/uprobes.c: `branch_setup_xol_ops`,
/// `push_setup_xol_ops`), if each call comes to it, before any of the registers is written; else the entry.
pub fn choose(file: &Executable<'_>, function: Range<u64>, registers: &[Register]) -> Option<Site> {
    let entry = Site { file_offset: file.file_offset(function.start)?, is_cheap: false };
    let length = function.end.checked_sub(function.start)?;
    let code = file.bytes(function.start, length)?;
    let mut info = InstructionInfoFactory::new();
    let mut kept = function.start..function.start;
    for instruction in &mut Decoder::with_ip(64, code, function.start, DecoderOptions::NONE) {
        let at = instruction.ip();
        if instruction.is_invalid() || at - function.start > FARTHEST {
            break;
        }
        if is_emulated(&instruction, code.get((at - function.start) as usize..).unwrap_or_default()) {
            kept.end = at;
            if at > function.start && is_reached_otherwise(code, &kept, registers) {
                break;
            }
            return Some(Site { file_offset: file.file_offset(at)?, is_cheap: true });
        }
        if instruction.flow_control() != FlowControl::Next || writes(&mut info, &instruction, registers) {
            break;
        }
    }
    Some(entry)
}

/// Whether the kernel emulates an instruction instead of stepping through a copy of it.
fn is_emulated(instruction: &Instruction, code: &[u8]) -> bool {
    let has_size_prefix = code.first() == Some(&0x66);
    match instruction.mnemonic() {
        Mnemonic::Push => instruction.op0_kind() == OpKind::Register && instruction.code() == Code::Push_r64,
        // The longer forms only newer kernels know.
        Mnemonic::Nop => instruction.len() == 1,
        _ => {
            !has_size_prefix
                && (instruction.is_jcc_short_or_near()
                    || instruction.is_jmp_short_or_near()
                    || instruction.is_call_near())
        }
    }
}

/// Whether a jump leads behind the entry and then to the place, after the registers may have been written: the end of
/// a loop, at whose head the place is.
fn is_reached_otherwise(code: &[u8], kept: &Range<u64>, registers: &[Register]) -> bool {
    let mut info = InstructionInfoFactory::new();
    let mut is_written = false;
    for instruction in &mut Decoder::with_ip(64, code, kept.start, DecoderOptions::NONE) {
        // A jump through a table could lead anywhere.
        if instruction.flow_control() == FlowControl::IndirectBranch && is_written {
            return true;
        }
        let is_jump = instruction.is_jcc_short_or_near() || instruction.is_jmp_short_or_near();
        if is_jump && is_written && (kept.start + 1..=kept.end).contains(&instruction.near_branch_target()) {
            return true;
        }
        is_written |= writes(&mut info, &instruction, registers)
            || matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall);
    }
    false
}

fn writes(info: &mut InstructionInfoFactory, instruction: &Instruction, registers: &[Register]) -> bool {
    info.info(instruction).used_registers().iter().any(|used| {
        let is_write = matches!(
            used.access(),
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        );
        is_write && registers.contains(&used.register().full_register())
    })
}
