//! The parts of an ELF file that the search for a runtime looks at.
//!
//! Places in memory are found through the program headers, which no tool removes; only names come from sections.

use std::ops::Range;

use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, ObjectSymbolTable as _, SymbolKind,
    elf::{
        DT_NULL, DT_RELA, DT_RELASZ, DT_RELR, DT_RELRSZ, DynamicTag, PF_X, PT_DYNAMIC, PT_GNU_EH_FRAME,
        PT_LOAD, PT_TLS, R_X86_64_RELATIVE,
    },
    read::elf::{ElfFile64, ProgramHeader as _},
};

/// A 64-bit little-endian x86-64 executable.
pub struct Executable<'data> {
    /// The file.
    pub file: ElfFile64<'data>,
    data: &'data [u8],
    /// What is loaded, in order of the address.
    segments: Vec<Segment>,
    /// `PT_DYNAMIC`, in the file.
    dynamic: &'data [u8],
    /// Address of `.eh_frame_hdr`.
    frames: Option<u64>,
    /// Size of a thread's block of thread-local variables.
    thread_local_size: u64,
}

#[derive(Clone, Copy)]
struct Segment {
    address: u64,
    file_offset: u64,
    file_size: u64,
    is_code: bool,
}

/// A name for a place.
#[derive(Clone, Copy, Debug)]
pub struct Symbol<'data> {
    /// As it stands in the file, mangled or not.
    pub name: &'data str,
    /// Where it is in memory, before the program is moved.
    pub address: u64,
}

impl<'data> Executable<'data> {
    /// Parses; `None` for anything else.
    pub fn parse(data: &'data [u8]) -> Option<Self> {
        let file: ElfFile64<'data> = ElfFile64::parse(data).ok()?;
        if file.architecture() != object::Architecture::X86_64 || !file.is_little_endian() {
            return None;
        }
        let mut executable =
            Self { data, segments: Vec::new(), dynamic: &[], frames: None, thread_local_size: 0, file };
        let endian = executable.file.endian();
        for header in executable.file.elf_program_headers() {
            let address = header.p_vaddr(endian);
            let (file_offset, file_size) = header.file_range(endian);
            match header.p_type(endian) {
                // One that runs over the end of the file or of memory is not loaded by the kernel either.
                PT_LOAD if slice(data, file_offset, file_size).is_some() => {
                    address.checked_add(file_size)?;
                    executable.segments.push(Segment {
                        address,
                        file_offset,
                        file_size,
                        is_code: header.p_flags(endian).contains(PF_X),
                    });
                }
                PT_DYNAMIC => executable.dynamic = slice(data, file_offset, file_size).unwrap_or_default(),
                PT_GNU_EH_FRAME => executable.frames = Some(address),
                PT_TLS => {
                    executable.thread_local_size =
                        header.p_memsz(endian).checked_next_multiple_of(header.p_align(endian).max(1))?;
                }
                _ => {}
            }
        }
        executable.segments.sort_by_key(|segment| segment.address);
        Some(executable)
    }

    /// Address and contents of a section.
    pub fn section(&self, name: &str) -> Option<(u64, &'data [u8])> {
        let section = self.file.section_by_name(name)?;
        Some((section.address(), section.data().ok()?))
    }

    /// What is in memory from an address to the end of what the file holds of its segment.
    pub fn memory(&self, address: u64) -> Option<&'data [u8]> {
        let segment = self.segment(address)?;
        let skipped = address - segment.address;
        slice(self.data, segment.file_offset + skipped, segment.file_size - skipped)
    }

    /// Some bytes of memory.
    pub fn bytes(&self, address: u64, length: u64) -> Option<&'data [u8]> {
        self.memory(address)?.get(..usize::try_from(length).ok()?)
    }

    /// A word of memory, as the file has it: where the loader writes, see [`Pointers`].
    pub fn word(&self, address: u64) -> Option<u64> {
        Some(u64::from_le_bytes(*self.memory(address)?.first_chunk()?))
    }

    /// Where in the file an address is.
    pub fn file_offset(&self, address: u64) -> Option<u64> {
        let segment = self.segment(address)?;
        Some(segment.file_offset + (address - segment.address))
    }

    /// Whether an address is in a segment that can be run.
    pub fn is_code(&self, address: u64) -> bool {
        self.segment(address).is_some_and(|segment| segment.is_code)
    }

    /// Addresses and contents of the segments that cannot be run.
    pub fn data_segments(&self) -> impl Iterator<Item = (u64, &'data [u8])> {
        self.segments_with(false)
    }

    /// Addresses and contents of the segments that can be run.
    pub fn code_segments(&self) -> impl Iterator<Item = (u64, &'data [u8])> {
        self.segments_with(true)
    }

    fn segments_with(&self, is_code: bool) -> impl Iterator<Item = (u64, &'data [u8])> {
        self.segments.iter().filter(move |segment| segment.is_code == is_code).filter_map(|segment| {
            Some((segment.address, slice(self.data, segment.file_offset, segment.file_size)?))
        })
    }

    /// Size of a thread's block of the executable's thread-local variables; it ends at the `fs` base.
    pub fn thread_local_size(&self) -> u64 {
        self.thread_local_size
    }

    /// The named functions and variables: of `.symtab`, else of `.dynsym`.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol<'data>> {
        let table = self.file.symbol_table().or_else(|| self.file.dynamic_symbol_table());
        let symbols = table.into_iter().flat_map(|table| table.symbols());
        symbols
            .filter(|symbol| {
                symbol.is_definition() && matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Data)
            })
            .filter_map(|symbol| Some(Symbol { name: symbol.name().ok()?, address: symbol.address() }))
    }

    /// Start and end of the function that an address is in, by `.eh_frame_hdr`, which stripped files have too.
    pub fn function(&self, address: u64) -> Option<Range<u64>> {
        let (start, frame, next) = self.frame(address)?;
        // The length as the function's frame description has it, if that is of the usual form.
        let length = self.bytes(frame, 16).and_then(|description| {
            let (field, pc) = (|at: usize| word32(description, at), frame.checked_add(8)?);
            let is_of_start = pc.wrapping_add_signed(i64::from(field(8)?.cast_signed())) == start;
            is_of_start.then_some(u64::from(field(12)?))
        });
        let end = length.and_then(|length| start.checked_add(length)).unwrap_or(next).min(next);
        (start..end).contains(&address).then_some(start..end)
    }

    /// Of the last function that begins at or before an address: its start, the address of its frame description, and
    /// where the next one starts.
    fn frame(&self, address: u64) -> Option<(u64, u64, u64)> {
        /// Relative to the start of the table, signed, four bytes; Linux Standard Base, `.eh_frame_hdr`.
        const DATA_RELATIVE_SIGNED_4: u8 = 0x3b;
        const UNSIGNED_4: u8 = 0x03;
        let base = self.frames?;
        let header = self.memory(base)?;
        let [1, _, UNSIGNED_4, DATA_RELATIVE_SIGNED_4] = *header.first_chunk::<4>()? else { return None };
        let count = usize::try_from(word32(header, 8)?).ok()?;
        let table = header.get(12..)?.get(..count.checked_mul(8)?)?;
        let (entries, _) = table.as_chunks::<8>();
        let at = |entry: &[u8; 8], field: usize| {
            let offset = word32(entry, field).unwrap_or_default().cast_signed();
            base.wrapping_add_signed(i64::from(offset))
        };
        let after = entries.partition_point(|entry| at(entry, 0) <= address);
        let entry = entries.get(after.checked_sub(1)?)?;
        let next = entries.get(after).map_or(u64::MAX, |next| at(next, 0));
        Some((at(entry, 0), at(entry, 4), next))
    }

    fn segment(&self, address: u64) -> Option<&Segment> {
        let after = self.segments.partition_point(|segment| segment.address <= address);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        (address - segment.address < segment.file_size).then_some(segment)
    }

    fn dynamic(&self, tag: DynamicTag) -> Option<u64> {
        let (entries, _) = self.dynamic.as_chunks::<16>();
        entries
            .iter()
            .map(|entry| (word64(entry, 0), word64(entry, 8)))
            .take_while(|(tag, _)| *tag != u64::try_from(DT_NULL.0).ok())
            .find_map(|(found, value)| (found? == u64::try_from(tag.0).ok()?).then_some(value?))
    }
}

/// Words in the data of an executable that hold the address of code, once the program is loaded.
///
/// In one that can be moved, the words that the loader adjusts; in one that cannot, those whose value is such an address.
pub struct CodePointers {
    /// Where, and what; in order of the first.
    pointers: Vec<(u64, u64)>,
    /// Words that the loader adjusts and that hold the address of something else.
    others: Vec<(u64, u64)>,
}

impl CodePointers {
    /// Collects them.
    pub fn of(executable: &Executable<'_>) -> Self {
        let mut pointers = Vec::new();
        executable.relocated(&mut pointers);
        let is_movable = executable.file.kind() == object::ObjectKind::Dynamic;
        if !is_movable {
            for (address, data) in executable.data_segments() {
                let padding = address.wrapping_neg() % 8;
                let words = data.get(padding as usize..).unwrap_or_default().as_chunks::<8>().0;
                let places = (address..).skip(padding as usize).step_by(8);
                pointers.extend(places.zip(words.iter().map(|word| u64::from_le_bytes(*word))));
            }
        }
        let code: Vec<_> = executable.segments.iter().filter(|segment| segment.is_code).collect();
        let is_code =
            |target: u64| code.iter().any(|segment| target.wrapping_sub(segment.address) < segment.file_size);
        pointers.sort_unstable();
        pointers.dedup_by_key(|(place, _)| *place);
        let others = if is_movable {
            pointers.extract_if(.., |(_, target)| !is_code(*target)).collect()
        } else {
            pointers.retain(|(_, target)| is_code(*target));
            Vec::new()
        };
        Self { pointers, others }
    }

    /// What the word at an address points to, code or not, if the loader adjusts it.
    pub fn adjusted(&self, address: u64) -> Option<u64> {
        let index = self.others.binary_search_by_key(&address, |(place, _)| *place).ok();
        index.map(|index| self.others[index].1).or_else(|| self.at(address))
    }

    /// What the word at an address points to.
    pub fn at(&self, address: u64) -> Option<u64> {
        let index = self.pointers.binary_search_by_key(&address, |(place, _)| *place).ok()?;
        Some(self.pointers[index].1)
    }

    /// Runs of them, each right behind the other: where the first is, and what they point to.
    pub fn runs(&self) -> impl Iterator<Item = (u64, Vec<u64>)> {
        self.pointers
            .chunk_by(|(one, _), (next, _)| one.checked_add(8) == Some(*next))
            .map(|run| (run[0].0, run.iter().map(|(_, target)| *target).collect()))
    }
}

impl Executable<'_> {
    /// Places that the loader adjusts by the distance that the program is moved, and what the file has for them.
    fn relocated(&self, into: &mut Vec<(u64, u64)>) {
        let table = |start, size| {
            let (address, size) = (self.dynamic(start)?, self.dynamic(size)?);
            self.bytes(address, size)
        };
        if let Some(entries) = table(DT_RELA, DT_RELASZ) {
            // Elf64_Rela: where, what (type and symbol), addend.
            for entry in entries.as_chunks::<24>().0 {
                if word64(entry, 8) == Some(u64::from(R_X86_64_RELATIVE.0)) {
                    into.extend(word64(entry, 0).zip(word64(entry, 16)));
                }
            }
        }
        if let Some(entries) = table(DT_RELR, DT_RELRSZ) {
            let mut place = 0_u64;
            let mut add = |place: u64| into.extend(self.word(place).map(|target| (place, target)));
            for entry in entries.as_chunks::<8>().0 {
                // An even word is a place; an odd one says which of the 63 words that follow are places too.
                let entry = u64::from_le_bytes(*entry);
                if entry & 1 == 0 {
                    add(entry);
                    place = entry.wrapping_add(8);
                } else {
                    let marked = (0..63).filter(|bit| entry >> (bit + 1) & 1 == 1);
                    marked.for_each(|bit| add(place.wrapping_add(8 * bit)));
                    place = place.wrapping_add(8 * 63);
                }
            }
        }
    }
}

fn slice(data: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    data.get(usize::try_from(offset).ok()?..)?.get(..usize::try_from(size).ok()?)
}

fn word32(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*data.get(at..)?.first_chunk()?))
}

fn word64(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*data.get(at..)?.first_chunk()?))
}
