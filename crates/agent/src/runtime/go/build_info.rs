//! What the linker notes of the build (src/debug/buildinfo/buildinfo.go).

use crate::runtime::elf::Executable;

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Bit of the flags: the strings follow the header, since Go 1.18.
const INLINE: u8 = 2;
const HEADER: usize = 32;
/// Longer than any version: `devel go1.28-0123456789 Thu Jan 1 00:00:00 2026 +0000 X:experiment,…`.
const LONGEST: usize = 512;

/// A version of Go.
#[derive(Debug, PartialEq, Eq)]
pub struct Version {
    /// As the toolchain says it, without `go` in front: `1.27.3`, `1.28rc1`.
    pub text: String,
    /// The second number of Go 1; `None` for anything else.
    pub minor: Option<u32>,
}

/// The version that built a file; within, `None` where it stands in a form that only a running program shows. `None` if
/// the file is not of Go.
pub fn find(file: &Executable<'_>) -> Option<Option<Version>> {
    let (_, data) = file.section(".go.buildinfo")?;
    parse(data)
}

fn parse(data: &[u8]) -> Option<Option<Version>> {
    let rest = data.strip_prefix(MAGIC)?;
    let [_pointer_size, flags] = *rest.first_chunk()?;
    if flags & INLINE == 0 {
        return Some(None);
    }
    Some(data.get(HEADER..).and_then(string).map(version))
}

/// A length of seven bits a byte, the lowest first, and as many bytes.
fn string(data: &[u8]) -> Option<&str> {
    let [low, high, ..] = *data else { return None };
    let (length, skipped) = match low & 0x80 {
        0 => (usize::from(low), 1),
        _ if high & 0x80 == 0 => (usize::from(low & 0x7f) | usize::from(high) << 7, 2),
        _ => return None,
    };
    let text = data.get(skipped..)?.get(..length).filter(|text| text.len() <= LONGEST)?;
    str::from_utf8(text).ok()
}

fn version(text: &str) -> Version {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    // An unreleased one: "devel go1.28-…".
    let number = text.strip_prefix("devel ").unwrap_or(&text).strip_prefix("go");
    let minor = number.and_then(|number| number.strip_prefix("1.")).and_then(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok()
    });
    // Experiments and other notes follow after a space.
    let first = number.unwrap_or(&text).split(' ').next().unwrap_or_default();
    Version { text: first.to_owned(), minor }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(flags: u8, rest: &[u8]) -> Vec<u8> {
        let mut data = [MAGIC, &[8, flags]].concat();
        data.resize(HEADER, 0);
        data.extend(rest);
        data
    }

    fn release(text: &str, minor: Option<u32>) -> Option<Option<Version>> {
        Some(Some(Version { text: text.to_owned(), minor }))
    }

    #[test]
    fn versions() {
        let of = |text: &str| {
            let length = u8::try_from(text.len()).expect("short");
            parse(&info(INLINE, &[&[length], text.as_bytes()].concat()))
        };
        assert_eq!(of("go1.27.3"), release("1.27.3", Some(27)));
        assert_eq!(of("go1.21"), release("1.21", Some(21)));
        assert_eq!(of("go1.28rc1 X:simd"), release("1.28rc1", Some(28)));
        assert_eq!(of("devel go1.28-0a1b2c Thu Jan 1"), release("1.28-0a1b2c", Some(28)));
        assert_eq!(of("go2.0"), release("2.0", None));
        assert_eq!(of("gccgo 14"), release("gccgo", None));
    }

    #[test]
    fn long_strings_and_bad_ones() {
        let text = format!("go1.26.1 {}", "x".repeat(191));
        assert_eq!(
            parse(&info(INLINE, &[&[0xc8, 1], text.as_bytes()].concat())),
            release("1.26.1", Some(26))
        );
        assert_eq!(parse(&info(INLINE, &[0xff, 0xff, 0xff, 1])), Some(None), "length beyond the end");
        assert_eq!(parse(&info(INLINE, &[9, b'g', b'o'])), Some(None), "cut");
        assert_eq!(parse(&info(INLINE, &[])), Some(None), "nothing");
        assert_eq!(parse(&info(0, &[])), Some(None), "pointers, before 1.18");
        assert_eq!(parse(MAGIC), None);
        assert_eq!(parse(b""), None);
    }
}
