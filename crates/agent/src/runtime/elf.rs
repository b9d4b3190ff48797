//! The parts of an ELF file that the search for a runtime looks at.

use object::{Object as _, read::elf::ElfFile64};

/// A 64-bit little-endian x86-64 executable.
pub struct Executable<'data> {
    /// The file.
    pub file: ElfFile64<'data>,
}

impl<'data> Executable<'data> {
    /// Parses; `None` for anything else.
    pub fn parse(data: &'data [u8]) -> Option<Self> {
        let file = ElfFile64::parse(data).ok()?;
        (file.architecture() == object::Architecture::X86_64 && file.is_little_endian())
            .then_some(Self { file })
    }
}
