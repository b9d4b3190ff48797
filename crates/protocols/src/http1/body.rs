//! Finding the end of a body, with or without its bytes.

/// Longest trailer section and longest chunk-size line that are believed.
const MAX_FRAMING_BYTES: u32 = 64 * 1024;

/// Where a body in progress stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes are still to come.
    Length(u64),
    /// Chunk framing is being followed.
    Chunked(Chunk),
    /// Chunk framing was lost; the end shows only where an operation ends with the last chunk.
    Blind,
    /// The connection's end is the body's end.
    UntilClose,
    /// This body may come or not: the final answer came before the `100 (Continue)` the sender asked for.
    Optional(Announced),
}

/// How a body that has not begun was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announced {
    Length(u64),
    Chunked,
}

impl From<Announced> for Body {
    fn from(announced: Announced) -> Self {
        match announced {
            Announced::Length(length) => Body::Length(length),
            Announced::Chunked => Body::CHUNKED,
        }
    }
}

/// Place within chunk framing (RFC 9112 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the size; how many digits there were.
    Size { value: u64, digits: u8 },
    /// After the size, up to the end of the line.
    Extension { value: u64, seen: u32 },
    /// In the data.
    Data(u64),
    /// Data is over, its line end is not; whether the carriage return was seen.
    DataEnd { cr: bool },
    /// After the last chunk: bytes so far, and whether the current line has any.
    Trailer { seen: u32, line_empty: bool },
}

/// What a stretch of a body did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Bytes of the stretch that belong to this body.
    pub(super) used: u64,
    /// Content bytes among them, framing left out.
    pub(super) content: u64,
    /// The body is over.
    pub(super) done: bool,
}

impl Body {
    /// A chunked body before its first byte.
    pub(super) const CHUNKED: Body = Body::Chunked(Chunk::Size { value: 0, digits: 0 });

    /// Returns how the body was announced, if nothing of it came yet and its end is marked.
    pub(super) fn untouched(self, content: u64) -> Option<Announced> {
        match self {
            Body::Length(left) if content == 0 => Some(Announced::Length(left)),
            Body::CHUNKED => Some(Announced::Chunked),
            _ => None,
        }
    }

    /// Takes bytes that were captured.
    pub(super) fn bytes(&mut self, data: &[u8]) -> Step {
        if let Body::Optional(announced) = *self {
            *self = announced.into();
        }
        match self {
            Body::Chunked(_) => self.chunked_bytes(data),
            _ => self.gap(data.len() as u64),
        }
    }

    /// Takes `length` bytes that were not captured.
    pub(super) fn gap(&mut self, length: u64) -> Step {
        if let Body::Optional(announced) = *self {
            *self = announced.into();
        }
        match self {
            Body::Length(left) => {
                let used = length.min(*left);
                *left -= used;
                Step { used, content: used, done: *left == 0 }
            }
            Body::Chunked(chunk) => match chunk.gap(length) {
                Some(content) => Step { used: length, content, done: false },
                None => {
                    *self = Body::Blind;
                    all_of(length)
                }
            },
            Body::Blind | Body::UntilClose | Body::Optional(_) => all_of(length),
        }
    }

    fn chunked_bytes(&mut self, data: &[u8]) -> Step {
        let Body::Chunked(chunk) = self else {
            return all_of(data.len() as u64);
        };
        let mut at = 0;
        let mut content = 0;
        while at < data.len() {
            if let Chunk::Data(left) = chunk {
                let taken = (*left).min((data.len() - at) as u64);
                *left -= taken;
                content += taken;
                at += taken as usize;
                if *left == 0 {
                    *chunk = Chunk::DataEnd { cr: false };
                }
                continue;
            }
            match chunk.byte(data[at]) {
                Next::Go(next) => *chunk = next,
                Next::Done => {
                    return Step { used: at as u64 + 1, content, done: true };
                }
                Next::Broken => {
                    *self = Body::Blind;
                    return all_of(data.len() as u64);
                }
            }
            at += 1;
        }
        Step { used: at as u64, content, done: false }
    }
}

enum Next {
    Go(Chunk),
    Done,
    Broken,
}

impl Chunk {
    /// Moves over bytes that were not captured, as long as what they were is certain: chunk data and the line end
    /// that must follow it. Returns the content among them.
    fn gap(&mut self, length: u64) -> Option<u64> {
        let (content, mut framing) = match *self {
            Chunk::Data(left) => (left.min(length), length.saturating_sub(left)),
            Chunk::DataEnd { .. } => (0, length),
            _ => return None,
        };
        if let Chunk::Data(left) = *self {
            if content < left {
                *self = Chunk::Data(left - content);
                return Some(content);
            }
            *self = Chunk::DataEnd { cr: false };
        }
        while framing > 0 {
            framing -= 1;
            *self = match *self {
                Chunk::DataEnd { cr: false } => Chunk::DataEnd { cr: true },
                Chunk::DataEnd { cr: true } => Chunk::Size { value: 0, digits: 0 },
                _ => return None,
            };
        }
        Some(content)
    }

    /// Takes one byte outside of chunk data.
    fn byte(self, byte: u8) -> Next {
        match self {
            Chunk::Size { value, digits } => Self::size_byte(value, digits, byte),
            Chunk::Extension { value, seen } => match byte {
                b'\n' => Next::Go(Self::after_size(value)),
                _ if seen >= MAX_FRAMING_BYTES => Next::Broken,
                _ => Next::Go(Chunk::Extension { value, seen: seen + 1 }),
            },
            Chunk::DataEnd { cr: false } if byte == b'\r' => Next::Go(Chunk::DataEnd { cr: true }),
            // A bare line feed is a line end for many recipients (RFC 9112 section 2.2).
            Chunk::DataEnd { .. } if byte == b'\n' => Next::Go(Chunk::Size { value: 0, digits: 0 }),
            Chunk::Trailer { line_empty: true, .. } if byte == b'\n' => Next::Done,
            Chunk::Trailer { seen, .. } if seen >= MAX_FRAMING_BYTES => Next::Broken,
            Chunk::Trailer { seen, line_empty } => Next::Go(Chunk::Trailer {
                seen: seen + 1,
                line_empty: byte == b'\n' || (line_empty && byte == b'\r'),
            }),
            Chunk::DataEnd { .. } | Chunk::Data(_) => Next::Broken,
        }
    }

    fn size_byte(value: u64, digits: u8, byte: u8) -> Next {
        if let Some(digit) = char::from(byte).to_digit(16) {
            let Some(shifted) = value.checked_mul(16) else {
                return Next::Broken;
            };
            return Next::Go(Chunk::Size {
                value: shifted + u64::from(digit),
                digits: digits.saturating_add(1),
            });
        }
        match byte {
            _ if digits == 0 => Next::Broken,
            b'\n' => Next::Go(Self::after_size(value)),
            b'\r' | b';' | b' ' | b'\t' => Next::Go(Chunk::Extension { value, seen: 0 }),
            _ => Next::Broken,
        }
    }

    fn after_size(value: u64) -> Chunk {
        if value == 0 { Chunk::Trailer { seen: 0, line_empty: true } } else { Chunk::Data(value) }
    }
}

/// Tells whether an operation whose captured last bytes are `suffix` ends a chunked body. `whole` says that the
/// suffix is the operation.
pub(super) fn ends_with_last_chunk(suffix: &[u8], whole: bool) -> bool {
    suffix.ends_with(b"\r\n0\r\n\r\n") || (whole && suffix == b"0\r\n\r\n")
}

fn all_of(length: u64) -> Step {
    Step { used: length, content: length, done: false }
}
