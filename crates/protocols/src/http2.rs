//! What an HTTP/2 client asks for (RFC 9113, RFC 7541), as far as its requests spell it out.
//!
//! [`RequestPaths`] follows the frames that the client of one connection sends and yields the `:path` of each request
//! that carries it as a literal. A path that was sent before is usually named by its place in a table that both ends keep;
//! that table is not kept here, so a path is told when it is new to the connection and need not be when it comes again.
//! What is told was read: a connection of which parts were not captured can hide a path and cannot make one up.

mod fields;

/// Opens every connection (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Length of a frame's header (RFC 9113 section 4.1).
const FRAME_HEADER: usize = 9;
/// Frame type of a request's header fields.
const HEADERS: u8 = 1;
/// Most of a header section that is looked through. The path is among the first fields.
const FIELDS_MAX: usize = 2048;
/// Longest header section with which the place in the stream is found again; what an endpoint accepts unasked
/// (`SETTINGS_MAX_FRAME_SIZE`, RFC 9113 section 6.5.2).
const PLAUSIBLE_FRAME: usize = 16_384;

/// Follows what the client of one connection sends.
#[derive(Debug)]
pub struct RequestPaths {
    place: Place,
    next_seq: Option<u32>,
    /// Beginning of the preface, of a frame's header or of a header section, until there is enough of it.
    begun: Vec<u8>,
}

/// Where in the stream the next byte lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Preface,
    Frame,
    /// In the header section of a request. So many bytes of its frame are still to come.
    Fields {
        left: usize,
        flags: u8,
    },
    /// In a frame of which nothing is wanted.
    Rest {
        left: usize,
    },
    /// Unknown, as bytes were not captured where a frame began.
    Lost,
    /// This is not HTTP/2.
    Foreign,
}

/// The header of a frame.
struct FrameHeader {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl FrameHeader {
    fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, d, e, f, g] = *bytes.first_chunk::<FRAME_HEADER>()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Some(Self { length, kind, flags, stream: u32::from_be_bytes([d, e, f, g]) })
    }

    /// Whether this can be nothing but the beginning of a request, where a frame need not begin.
    fn is_surely_request(&self) -> bool {
        // Flags that HEADERS has: END_STREAM, END_HEADERS, PADDED, PRIORITY. Streams of a client are odd.
        self.kind == HEADERS
            && self.flags & !0x2d == 0
            && self.stream % 2 == 1
            && self.stream < 1 << 31
            && (1..=PLAUSIBLE_FRAME).contains(&self.length)
    }
}

impl Default for RequestPaths {
    fn default() -> Self {
        Self { place: Place::Preface, next_seq: None, begun: Vec::new() }
    }
}

impl RequestPaths {
    /// Whether bytes can be the first that a client sends, as far as they go.
    pub fn may_open(bytes: &[u8]) -> bool {
        let length = bytes.len().min(PREFACE.len());
        length > 0 && bytes[..length] == PREFACE[..length]
    }

    /// Takes what one send moved: `total_bytes` from the TCP sequence number `seq` on, of which `head` and `tail` were
    /// captured. `tell` gets each path.
    pub fn sent(&mut self, seq: u32, total_bytes: u32, head: &[u8], tail: &[u8], mut tell: impl FnMut(&str)) {
        let total = total_bytes as usize;
        let head = &head[..head.len().min(total)];
        let tail = &tail[tail.len() - tail.len().min(total - head.len())..];
        match self.next_seq.map(|next| seq.wrapping_sub(next)) {
            None | Some(0) => {}
            // It was sent before what came last, and is told late.
            Some(ahead) if ahead > u32::MAX / 2 => return,
            Some(ahead) => self.missing(ahead as usize, &mut tell),
        }
        self.next_seq = Some(seq.wrapping_add(total_bytes));
        if self.place == Place::Lost
            && FrameHeader::read(head).is_some_and(|header| header.is_surely_request())
        {
            self.at_frame();
        }
        self.captured(head, &mut tell);
        self.missing(total - head.len() - tail.len(), &mut tell);
        self.captured(tail, &mut tell);
    }

    /// Whether the place in the stream is known.
    pub fn is_following(&self) -> bool {
        !matches!(self.place, Place::Lost | Place::Foreign)
    }

    fn captured(&mut self, mut bytes: &[u8], tell: &mut impl FnMut(&str)) {
        while !bytes.is_empty() {
            let used = match self.place {
                Place::Lost | Place::Foreign => return,
                Place::Rest { left } => {
                    let used = left.min(bytes.len());
                    self.pass(left - used);
                    used
                }
                Place::Preface => self.preface(bytes),
                Place::Frame => self.frame(bytes),
                Place::Fields { left, flags } => self.fields(bytes, left, flags, tell),
            };
            bytes = &bytes[used..];
        }
    }

    fn missing(&mut self, count: usize, tell: &mut impl FnMut(&str)) {
        if count == 0 || matches!(self.place, Place::Lost | Place::Foreign) {
            return;
        }
        let left = match self.place {
            Place::Rest { left } => left,
            Place::Fields { left, flags } => {
                self.tell(flags, tell);
                left
            }
            _ => 0,
        };
        self.begun = Vec::new();
        match left.checked_sub(count) {
            Some(left) => self.pass(left),
            None => self.place = Place::Lost,
        }
    }

    /// The rest of a frame lies ahead.
    fn pass(&mut self, left: usize) {
        match left {
            0 => self.at_frame(),
            left => self.place = Place::Rest { left },
        }
    }

    fn at_frame(&mut self) {
        self.begun = Vec::new();
        self.place = Place::Frame;
    }

    fn preface(&mut self, bytes: &[u8]) -> usize {
        let used = self.collect(bytes, PREFACE.len());
        if !Self::may_open(&self.begun) {
            self.begun = Vec::new();
            self.place = Place::Foreign;
        } else if self.begun.len() == PREFACE.len() {
            self.at_frame();
        }
        used
    }

    fn frame(&mut self, bytes: &[u8]) -> usize {
        let used = self.collect(bytes, FRAME_HEADER);
        let Some(header) = FrameHeader::read(&self.begun) else { return used };
        self.begun.clear();
        if header.kind == HEADERS && header.length > 0 {
            self.place = Place::Fields { left: header.length, flags: header.flags };
        } else {
            self.pass(header.length);
        }
        used
    }

    fn fields(&mut self, bytes: &[u8], left: usize, flags: u8, tell: &mut impl FnMut(&str)) -> usize {
        let wanted = (self.begun.len() + left).min(FIELDS_MAX);
        let used = self.collect(bytes, wanted);
        let left = left - used;
        if self.begun.len() == wanted {
            self.tell(flags, tell);
            self.pass(left);
        } else {
            self.place = Place::Fields { left, flags };
        }
        used
    }

    /// Adds bytes to what has begun until it is as long as wanted; returns how many.
    fn collect(&mut self, bytes: &[u8], wanted: usize) -> usize {
        let used = (wanted - self.begun.len()).min(bytes.len());
        self.begun.extend_from_slice(&bytes[..used]);
        used
    }

    fn tell(&mut self, flags: u8, tell: &mut impl FnMut(&str)) {
        if let Some(path) = fields::path(&self.begun, flags) {
            tell(&path);
        }
        self.begun = Vec::new();
    }
}
