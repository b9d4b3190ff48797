//! The table of functions that Go's runtime reads itself, for stack traces (src/runtime/symtab.go).

use super::code;
use crate::runtime::elf::Executable;

/// Since Go 1.20 (src/internal/abi/symtab.go, `Go120PCLnTabMagic`).
const MAGIC: [u8; 4] = 0xffff_fff1_u32.to_le_bytes();

/// The functions of a program.
pub struct Functions<'data> {
    /// Pairs of where a function starts, from the start of the code, and where in `details` it is described; one more at
    /// the end, whose first half says where the last function ends.
    table: &'data [[u8; 8]],
    details: &'data [u8],
    names: &'data [u8],
    /// Where the header says that the code starts; 0 where it does not say: in programs that can be moved, and since
    /// Go 1.26.
    text: u64,
}

/// Where a function is, from the start of the code.
pub struct Moved {
    /// Its first byte.
    pub start: u64,
    /// Behind its last.
    pub end: u64,
}

impl<'data> Functions<'data> {
    /// Finds the table; `None` if there is none of the known form.
    pub fn of(file: &Executable<'data>) -> Option<Self> {
        // The second name is that of programs that can be moved, before Go 1.26.
        let (_, data) =
            [".gopclntab", ".data.rel.ro.gopclntab"].iter().find_map(|name| file.section(name))?;
        Self::parse(data)
    }

    fn parse(data: &'data [u8]) -> Option<Self> {
        // struct pcHeader: magic, two bytes of padding, smallest instruction, size of a pointer; then words: functions,
        // files, start of the code, and the offsets of five parts: names, units, files, line programs, functions.
        let [m0, m1, m2, m3, 0, 0, 1, 8] = *data.first_chunk::<8>()? else { return None };
        if [m0, m1, m2, m3] != MAGIC {
            return None;
        }
        let word = |index: usize| Some(u64::from_le_bytes(*data.get(8 + 8 * index..)?.first_chunk()?));
        let part = |index: usize| data.get(usize::try_from(word(index)?).ok()?..);
        let (count, text) = (usize::try_from(word(0)?).ok()?, word(2)?);
        let (names, details) = (part(3)?, part(7)?);
        let table = details.get(..count.checked_add(1)?.checked_mul(8)?);
        // The end of the last function stands alone in some versions.
        let table = table.or_else(|| details.get(..count.checked_mul(8)?))?;
        Some(Self { table: table.as_chunks().0, details, names, text })
    }

    /// Functions whose name is such.
    pub fn named(&self, is_it: impl Fn(&str) -> bool) -> impl Iterator<Item = Moved> {
        self.table.array_windows().filter_map(move |[entry, next]| {
            let details = usize::try_from(number(entry, 4)?).ok()?;
            let name = usize::try_from(number(self.details.get(details..)?, 4)?).ok()?;
            let name = self.names.get(name..)?;
            let name = &name[..name.iter().position(|byte| *byte == 0)?];
            let (start, end) = (number(entry, 0)?, number(next, 0)?);
            (start < end && is_it(str::from_utf8(name).ok()?)).then_some(Moved { start, end })
        })
    }

    /// Where the code may start. Only one of them is right; which one, the code tells.
    pub fn texts(&self, file: &Executable<'data>) -> impl Iterator<Item = u64> {
        let section = file.section(".text").map(|(address, _)| address);
        let symbol =
            || file.symbols().find(|symbol| symbol.name == "runtime.text").map(|symbol| symbol.address);
        // C code lies in front where another linker was at work.
        let by_shape = || {
            let switch = self.named(|name| name == "runtime.systemstack").next()?;
            code::find_switch(file)?.checked_sub(switch.start)
        };
        std::iter::once((self.text != 0).then_some(self.text))
            .chain([section])
            .chain(std::iter::once_with(symbol))
            .chain(std::iter::once_with(by_shape))
            .flatten()
    }
}

fn number(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u32::from_le_bytes(*data.get(at..)?.first_chunk()?)))
}
