//! Writing and reading protobuf's wire format (protobuf.dev, "Encoding"), as far as OTLP needs it.
//!
//! Spans are written straight into the request that carries them: no message is built in between.

/// Wire types.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

/// Appends fields to a message. Fields that have their default value are the caller's to leave out.
pub(super) trait Write {
    /// A number without a tag.
    fn varint(&mut self, value: u64);
    /// `uint64`, `int64`, `bool` and enumerations.
    fn uint(&mut self, field: u32, value: u64);
    /// `fixed64` and, by its bits, `double`.
    fn fixed64(&mut self, field: u32, value: u64);
    /// `fixed32`.
    fn fixed32(&mut self, field: u32, value: u32);
    /// `string` and `bytes`.
    fn bytes(&mut self, field: u32, value: &[u8]);
    /// A message that `write` appends.
    fn message(&mut self, field: u32, write: impl FnOnce(&mut Self));
}

impl Write for Vec<u8> {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    fn uint(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field << 3 | VARINT));
        self.varint(value);
    }

    fn fixed64(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field << 3 | FIXED64));
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn fixed32(&mut self, field: u32, value: u32) {
        self.varint(u64::from(field << 3 | FIXED32));
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u32, value: &[u8]) {
        self.varint(u64::from(field << 3 | LENGTH));
        self.varint(value.len() as u64);
        self.extend_from_slice(value);
    }

    fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        self.varint(u64::from(field << 3 | LENGTH));
        // The length is known only behind the content. Most fit into one byte; the content of others is moved.
        let at = self.len();
        self.push(0);
        write(self);
        let len = self.len() - at - 1;
        let more = varint_len(len as u64) - 1;
        if more > 0 {
            self.extend_from_slice(&[0; 9][..more]);
            self.copy_within(at + 1..at + 1 + len, at + 1 + more);
        }
        let mut left = len;
        for byte in &mut self[at..at + more] {
            *byte = left as u8 | 0x80;
            left >>= 7;
        }
        self[at + more] = left as u8;
    }
}

/// Bytes that a number takes.
pub(super) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// A field as it was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// `uint64` and others of this wire type.
    Uint(u64),
    /// A string, bytes or a message.
    Bytes(&'a [u8]),
    /// Of a wire type that no message read here has.
    Other,
}

/// Reads the fields of a message; ends at its end, or where it is malformed.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let value = match tag as u32 & 7 {
            VARINT => Value::Uint(self.varint()?),
            FIXED64 => self.take(8).map(|_| Value::Other)?,
            FIXED32 => self.take(4).map(|_| Value::Other)?,
            LENGTH => {
                let len = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(len)?)
            }
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_messages_are_right_whatever_their_size() {
        for len in [0, 1, 127, 128, 300, 16_383, 16_384, 3_000_000] {
            let content = vec![7_u8; len];
            let mut buffer = vec![9];
            buffer.message(3, |buffer| buffer.extend_from_slice(&content));
            buffer.uint(4, 150);
            let mut expected = vec![9];
            expected.bytes(3, &content);
            expected.uint(4, 150);
            assert_eq!(buffer, expected, "{len}");
            let read: Vec<_> = Fields(&buffer[1..]).collect();
            assert_eq!(read, [(3, Value::Bytes(&content[..])), (4, Value::Uint(150))], "{len}");
        }
    }

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for value in [0, 1, 127, 128, 1 << 32, u64::MAX] {
            let mut buffer = Vec::new();
            buffer.uint(1, value);
            buffer.fixed64(2, value);
            buffer.fixed32(3, value as u32);
            assert_eq!(buffer.len(), 1 + varint_len(value) + 9 + 5);
            let read: Vec<_> = Fields(&buffer).collect();
            assert_eq!(read, [(1, Value::Uint(value)), (2, Value::Other), (3, Value::Other)]);
        }
    }

    #[test]
    fn what_is_malformed_ends_the_message() {
        for bytes in [&[0x0a, 0x05, 1][..], &[0xff; 12], &[0x08], &[0x0b], &[0x09, 1, 2]] {
            assert_eq!(Fields(bytes).count(), 0, "{bytes:?}");
        }
    }
}
