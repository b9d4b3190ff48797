//! One direction of a connection: its place in the TCP stream, and the head it is assembling.

use super::body::Body;
use super::detect::{self, Fit};
use super::head::HeadError;

/// Furthest that an operation may lie behind what was expected and still count as seen before.
const REPEAT_WINDOW: u32 = 1 << 26;

/// What a direction expects next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// A head, or more of it.
    Head,
    /// More of a body.
    Body(Body),
    /// Nothing that could be understood; bytes are passed over.
    Skip,
    /// The answer to a CONNECT; whether bytes came before it.
    Hold { early_bytes: bool },
}

/// Where an operation lies relative to what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Next,
    /// So many bytes were moved unseen before it.
    Ahead(u32),
    /// So many of its first bytes were seen before.
    Overlap(u32),
    Repeat,
    /// So far behind that it cannot be a repetition.
    Elsewhere,
}

/// The first byte of a message.
#[derive(Clone, Debug)]
pub(super) struct Start<M> {
    pub(super) at_ns: u64,
    pub(super) seq: u32,
    pub(super) meta: M,
    /// It was the first byte of an operation.
    pub(super) opens_op: bool,
    /// The operation before it on this connection went the other way, or there was none.
    pub(super) after_turn: bool,
}

/// What assembling a head came to.
pub(super) enum HeadStep<H> {
    /// All bytes are taken and the head is not whole.
    More,
    /// So many bytes were taken and the head is whole.
    Whole(usize, H),
    /// It is none, or exceeds the limits; whether a whole request line was in it.
    Failed { with: Failure, has_line: bool },
}

/// Why a head was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Malformed,
    TooLarge,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Stream<M> {
    /// Sequence number of the next byte, once any was seen.
    pub(super) next_seq: Option<u32>,
    pub(super) expect: Expect,
    /// The head in progress was looked into on the chance that it is one.
    pub(super) tentative: bool,
    /// Set from the first byte of a head until it is whole.
    pub(super) start: Option<Start<M>>,
    /// Content bytes of the body in progress.
    pub(super) content: u64,
    /// An operation was lost since the message in progress began.
    pub(super) unseen: bool,
    /// Operations were lost after the last one, of either direction, that was seen.
    pub(super) lost_before_next: bool,
    /// Time of the last operation.
    pub(super) last_ns: u64,
    buffer: Vec<u8>,
    /// How far the buffer was searched for the head's end.
    searched: usize,
    /// The first line was seen whole and found good.
    line_checked: bool,
}

impl<M> Stream<M> {
    pub(super) fn new() -> Self {
        Stream {
            next_seq: None,
            expect: Expect::Skip,
            tentative: false,
            start: None,
            content: 0,
            unseen: false,
            lost_before_next: false,
            last_ns: 0,
            buffer: Vec::new(),
            searched: 0,
            line_checked: false,
        }
    }

    /// Places an operation in the stream, all arithmetic modulo 2^32.
    pub(super) fn place(&self, seq: u32, total_bytes: u32) -> Place {
        let Some(next) = self.next_seq else {
            return Place::Next;
        };
        let ahead = seq.wrapping_sub(next);
        let behind = next.wrapping_sub(seq);
        if ahead == 0 {
            Place::Next
        } else if ahead < 1 << 31 {
            Place::Ahead(ahead)
        } else if behind > REPEAT_WINDOW {
            Place::Elsewhere
        } else if behind >= total_bytes {
            Place::Repeat
        } else {
            Place::Overlap(behind)
        }
    }

    /// Forgets a head in progress and goes on with `expect`.
    pub(super) fn restart(&mut self, expect: Expect) {
        self.clear_head();
        self.expect = expect;
        self.content = 0;
        self.unseen = false;
    }

    /// Tells whether a request's head is in progress that is certainly one.
    pub(super) fn has_begun_request(&self) -> bool {
        self.start.is_some() && (!self.tentative || detect::has_request_line(&self.buffer))
    }

    /// Takes captured bytes where a head is expected. `parse` reads a head from the start of a slice; `fits` judges
    /// the first bytes of one.
    pub(super) fn head_bytes<H>(
        &mut self,
        data: &[u8],
        max_head_bytes: usize,
        fits: impl Fn(&[u8]) -> Fit,
        parse: impl Fn(&[u8]) -> Result<(usize, H), HeadError>,
    ) -> HeadStep<H> {
        let taken = if self.buffer.is_empty() {
            self.first_bytes(data, max_head_bytes, fits, parse)
        } else {
            self.more_bytes(data, max_head_bytes, fits, parse)
        };
        let step = match taken {
            Ok(None) => return HeadStep::More,
            Ok(Some((consumed, head))) => HeadStep::Whole(consumed, head),
            Err(with) => {
                let seen = if self.buffer.is_empty() { data } else { &self.buffer };
                HeadStep::Failed { with, has_line: detect::has_request_line(seen) }
            }
        };
        self.clear_buffer();
        step
    }

    /// Tries without copying: most heads come whole.
    fn first_bytes<H>(
        &mut self,
        data: &[u8],
        max_head_bytes: usize,
        fits: impl Fn(&[u8]) -> Fit,
        parse: impl Fn(&[u8]) -> Result<(usize, H), HeadError>,
    ) -> Result<Option<(usize, H)>, Failure> {
        match parse(data) {
            Ok((consumed, _)) if consumed > max_head_bytes => Err(Failure::TooLarge),
            Ok(whole) => Ok(Some(whole)),
            Err(HeadError::Partial) if data.len() > max_head_bytes => Err(Failure::TooLarge),
            Err(HeadError::Partial) if fits(data) == Fit::No => Err(Failure::Malformed),
            Err(HeadError::Partial) => {
                self.buffer.extend_from_slice(data);
                self.searched = data.len();
                self.line_checked = data.contains(&b'\n');
                Ok(None)
            }
            Err(HeadError::Malformed) => Err(Failure::Malformed),
            Err(HeadError::TooManyHeaders) => Err(Failure::TooLarge),
        }
    }

    fn more_bytes<H>(
        &mut self,
        data: &[u8],
        max_head_bytes: usize,
        fits: impl Fn(&[u8]) -> Fit,
        parse: impl Fn(&[u8]) -> Result<(usize, H), HeadError>,
    ) -> Result<Option<(usize, H)>, Failure> {
        let before = self.buffer.len();
        // One byte above the limit is enough to see that it is exceeded.
        let room = (max_head_bytes + 1).saturating_sub(before);
        self.buffer.extend_from_slice(&data[..data.len().min(room)]);
        let prefix = &self.buffer[..self.buffer.len().min(PREFIX_BYTES)];
        if before < PREFIX_BYTES && fits(prefix) == Fit::No {
            return Err(Failure::Malformed);
        }
        if !self.line_checked && !self.check_line(&parse) {
            return Err(Failure::Malformed);
        }
        match self.find_end() {
            Some(end) if end > max_head_bytes => Err(Failure::TooLarge),
            Some(end) => match parse(&self.buffer[..end]) {
                Ok((consumed, head)) => Ok(Some((consumed.saturating_sub(before), head))),
                Err(HeadError::TooManyHeaders) => Err(Failure::TooLarge),
                Err(HeadError::Malformed | HeadError::Partial) => Err(Failure::Malformed),
            },
            None if self.buffer.len() > max_head_bytes => Err(Failure::TooLarge),
            None => Ok(None),
        }
    }

    /// Reads the first line as soon as it is whole, so that another protocol is not collected for long.
    fn check_line<H>(&mut self, parse: impl Fn(&[u8]) -> Result<(usize, H), HeadError>) -> bool {
        let unseen = &self.buffer[self.searched..];
        let Some(end) = unseen.iter().position(|byte| *byte == b'\n') else {
            return true;
        };
        self.line_checked = true;
        let line = &self.buffer[..=self.searched + end];
        !matches!(parse(line), Err(HeadError::Malformed))
    }

    /// Finds the empty line that ends a head, from where the last search stopped.
    fn find_end(&mut self) -> Option<usize> {
        let from = self.searched.saturating_sub(2);
        self.searched = self.buffer.len();
        let unseen = &self.buffer[from..];
        let line_ends = unseen.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        for (at, _) in line_ends {
            match &unseen[at + 1..] {
                [b'\n', ..] => return Some(from + at + 2),
                [b'\r', b'\n', ..] => return Some(from + at + 3),
                _ => {}
            }
        }
        None
    }

    fn clear_head(&mut self) {
        self.clear_buffer();
        self.start = None;
        self.tentative = false;
    }

    /// Gives the buffer's memory back: most heads never need one, and connections idle in great numbers.
    fn clear_buffer(&mut self) {
        self.buffer = Vec::new();
        self.searched = 0;
        self.line_checked = false;
    }
}

/// Enough of a head for `fits` to judge it.
const PREFIX_BYTES: usize = 72;
