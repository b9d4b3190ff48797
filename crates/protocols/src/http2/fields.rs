//! Header fields as a HEADERS frame carries them (RFC 7541 sections 5 and 6).

use octets::Octets;

/// Flags of a HEADERS frame (RFC 9113 section 6.2).
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// Entries of the static table whose name is `:path` (RFC 7541 appendix A).
const PATH_ENTRIES: std::ops::RangeInclusive<u64> = 4..=5;
/// Longest string that is decoded.
const STRING_MAX: usize = 1024;

/// The `:path` that the beginning of a frame's payload spells out.
pub(super) fn path(payload: &[u8], flags: u8) -> Option<String> {
    let mut rest = payload;
    if flags & PADDED != 0 {
        rest = rest.get(1..)?;
    }
    if flags & PRIORITY != 0 {
        rest = rest.get(5..)?;
    }
    loop {
        let first = *rest.first()?;
        let prefix_bits = match first {
            // An entry of a table.
            0x80.. => 7,
            // A literal that enters the table.
            0x40.. => 6,
            // The size of the table, which is not kept.
            0x20.. => 5,
            // A literal that does not.
            _ => 4,
        };
        let number = integer(&mut rest, prefix_bits)?;
        if first >= 0x80 || (0x20..0x40).contains(&first) {
            continue;
        }
        let is_path = if number == 0 {
            string(&mut rest)?.decoded()? == b":path"
        } else {
            PATH_ENTRIES.contains(&number)
        };
        let value = string(&mut rest)?;
        if is_path {
            return String::from_utf8(value.decoded()?).ok();
        }
    }
}

/// A string as it was sent.
struct Text<'a> {
    huffman: bool,
    bytes: &'a [u8],
}

impl Text<'_> {
    fn decoded(&self) -> Option<Vec<u8>> {
        match self {
            Self { bytes, .. } if bytes.len() > STRING_MAX => None,
            Self { huffman: false, bytes } => Some(bytes.to_vec()),
            Self { bytes, .. } => Octets::with_slice(bytes).get_huffman_decoded().ok(),
        }
    }
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<Text<'a>> {
    let huffman = *rest.first()? & 0x80 != 0;
    let length = usize::try_from(integer(rest, 7)?).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(Text { huffman, bytes })
}

/// An integer whose first byte has so many bits to spare (RFC 7541 section 5.1).
fn integer(rest: &mut &[u8], prefix_bits: u32) -> Option<u64> {
    let (first, mut after) = rest.split_first()?;
    let most = (1_u64 << prefix_bits) - 1;
    let mut value = u64::from(*first) & most;
    if value == most {
        // Five bytes hold any length that fits a frame.
        let mut is_whole = false;
        for shift in [0, 7, 14, 21, 28] {
            let (byte, more) = after.split_first()?;
            after = more;
            value += u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                is_whole = true;
                break;
            }
        }
        if !is_whole {
            return None;
        }
    }
    *rest = after;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7541 appendix C.1.
    #[test]
    fn integers_are_read() {
        for (bytes, prefix_bits, expected) in
            [(&[0x0a][..], 5, 10), (&[0x1f, 0x9a, 0x0a], 5, 1337), (&[0x2a], 8, 42)]
        {
            let mut rest = bytes;
            assert_eq!(integer(&mut rest, prefix_bits), Some(expected));
            assert!(rest.is_empty());
        }
        assert_eq!(integer(&mut &[0x1f, 0x9a][..], 5), None, "cut short");
        assert_eq!(integer(&mut &[0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 1][..], 5), None, "too long");
    }

    /// The requests of RFC 7541 appendices C.2.2, C.3.1 and C.4.1.
    #[test]
    fn the_path_is_read_however_it_is_written() {
        let plain = b"\x04\x0c/sample/path";
        assert_eq!(path(plain, 0).as_deref(), Some("/sample/path"));
        let named = b"\x82\x86\x40\x05:path\x02/x";
        assert_eq!(path(named, 0).as_deref(), Some("/x"), "the name is spelled out");
        let indexed = b"\x82\x86\x84\x41\x0fwww.example.com";
        assert_eq!(path(indexed, 0), None, "the path is `/`, from the table");
        let huffman = b"\x82\x86\x44\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        assert_eq!(path(huffman, 0).as_deref(), Some("www.example.com"), "any string, encoded");
    }

    #[test]
    fn padding_and_priority_come_first() {
        let fields = b"\x04\x02/x";
        let padded = [&[2][..], fields, &[0, 0]].concat();
        assert_eq!(path(&padded, PADDED).as_deref(), Some("/x"));
        let with_priority = [&[0, 0, 0, 0, 16][..], fields].concat();
        assert_eq!(path(&with_priority, PRIORITY).as_deref(), Some("/x"));
        let both = [&[1, 0, 0, 0, 0, 16][..], fields, &[0]].concat();
        assert_eq!(path(&both, PADDED | PRIORITY).as_deref(), Some("/x"));
    }
}
