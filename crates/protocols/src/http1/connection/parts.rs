//! One operation's bytes, as far as they were captured.

use crate::http1::body::ends_with_last_chunk;
use crate::http1::types::Op;

/// An operation's captured bytes and the length of what lies between them.
pub(super) struct Parts<'a> {
    /// Bytes of the operation ahead of `head` that were seen before.
    pub(super) offset: u32,
    pub(super) head: &'a [u8],
    pub(super) missing: u32,
    pub(super) tail: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(super) fn of<M>(op: &Op<'a, M>) -> Self {
        let total = op.total_bytes as usize;
        let head = &op.head[..op.head.len().min(total)];
        let tail = &op.tail[op.tail.len().saturating_sub(total - head.len())..];
        let (head, tail) = if tail.len() == total { (tail, head) } else { (head, tail) };
        Parts { offset: 0, head, missing: (total - head.len() - tail.len()) as u32, tail }
    }

    pub(super) fn skip(&mut self, length: u32) {
        self.offset += length;
        let from_head = self.head.len().min(length as usize);
        self.head = &self.head[from_head..];
        let left = length - from_head as u32;
        let from_missing = self.missing.min(left);
        self.missing -= from_missing;
        let from_tail = self.tail.len().min((left - from_missing) as usize);
        self.tail = &self.tail[from_tail..];
    }

    /// Tells whether the operation's last bytes were captured and are those of the last chunk.
    pub(super) fn ends_body(&self) -> bool {
        if self.missing > 0 {
            return ends_with_last_chunk(self.tail, false);
        }
        // Head and tail join; seven bytes decide.
        let mut joined = [0; 14];
        let from_head = &self.head[self.head.len().saturating_sub(7)..];
        let from_tail = &self.tail[self.tail.len().saturating_sub(7)..];
        let length = from_head.len() + from_tail.len();
        joined[..from_head.len()].copy_from_slice(from_head);
        joined[from_head.len()..length].copy_from_slice(from_tail);
        let whole = self.offset == 0 && self.head.len() + self.tail.len() == length;
        ends_with_last_chunk(&joined[..length], whole)
    }
}
