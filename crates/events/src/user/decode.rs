//! From ring buffer bytes to events.

use bytemuck::AnyBitPattern;

use crate::{
    DataEvent, EVENT_VERSION, EventHeader, PAYLOAD_MAX, ProcessEvent, SocketEvent, TAIL_MAX, TaskEvent, data,
    kind, process, socket, task,
};

/// A decoded event; payloads borrow from the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Bytes moved through a socket.
    Data {
        /// The fixed part.
        event: DataEvent,
        /// Captured start of the operation.
        head: &'a [u8],
        /// Captured end of the operation.
        tail: &'a [u8],
    },
    /// A connection changed its state.
    Socket(SocketEvent),
    /// A process changed.
    Process(ProcessEvent),
    /// A task did something to another.
    Task(TaskEvent),
}

/// Why a record is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The record ends before its fixed part, or before the payload it announces.
    #[error("record of {len} bytes is too short for event kind {kind}")]
    Short {
        /// Length of the record in bytes.
        len: usize,
        /// Kind announced, 0 where even that was missing.
        kind: u8,
    },
    /// The layout is of another build.
    #[error("event version {0} is not {EVENT_VERSION}")]
    Version(u8),
    /// No such kind.
    #[error("unknown event kind {0}")]
    Kind(u8),
    /// A field holds a value that its type does not have.
    #[error("{field} of event kind {kind} holds {value}")]
    Value {
        /// Kind of the event.
        kind: u8,
        /// Field at fault.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
}

/// Decodes one ring buffer record. Bytes behind the event (alignment) are ignored.
///
/// # Errors
///
/// Any input is accepted; what is not an event of this build is an error, never a panic.
pub fn decode(record: &[u8]) -> Result<Event<'_>, DecodeError> {
    let header: EventHeader = prefix(record, 0)?;
    if header.version != EVENT_VERSION {
        return Err(DecodeError::Version(header.version));
    }
    match header.kind {
        kind::DATA => decode_data(record),
        kind::SOCKET => {
            let event: SocketEvent = prefix(record, kind::SOCKET)?;
            within(kind::SOCKET, "what", event.what, socket::what::CONNECT_FAILED..=socket::what::CLOSED)?;
            Ok(Event::Socket(event))
        }
        kind::PROCESS => {
            let event: ProcessEvent = prefix(record, kind::PROCESS)?;
            within(kind::PROCESS, "what", event.what, process::what::EXEC..=process::what::LISTEN)?;
            Ok(Event::Process(event))
        }
        kind::TASK => {
            let event: TaskEvent = prefix(record, kind::TASK)?;
            within(kind::TASK, "what", event.what, task::what::WAKE..=task::what::SEND_FOR)?;
            Ok(Event::Task(event))
        }
        other => Err(DecodeError::Kind(other)),
    }
}

fn decode_data(record: &[u8]) -> Result<Event<'_>, DecodeError> {
    let event: DataEvent = prefix(record, kind::DATA)?;
    within(kind::DATA, "direction", event.direction, data::direction::RECEIVE..=data::direction::SEND)?;
    within(kind::DATA, "capture", event.capture, data::capture::READ..=data::capture::FAULT)?;
    within(kind::DATA, "blocking", event.blocking, 0..=1)?;
    let (head, tail) = (usize::from(event.head_bytes), usize::from(event.tail_bytes));
    if head > PAYLOAD_MAX {
        return Err(value(kind::DATA, "head_bytes", head));
    }
    if tail > TAIL_MAX {
        return Err(value(kind::DATA, "tail_bytes", tail));
    }
    if head + tail > event.total_bytes as usize {
        return Err(value(kind::DATA, "total_bytes", event.total_bytes as usize));
    }
    let short = DecodeError::Short { len: record.len(), kind: kind::DATA };
    let payload = record.get(size_of::<DataEvent>()..).ok_or(short)?;
    Ok(Event::Data {
        event,
        head: payload.get(..head).ok_or(short)?,
        tail: payload.get(head..head + tail).ok_or(short)?,
    })
}

fn prefix<T: AnyBitPattern>(record: &[u8], kind: u8) -> Result<T, DecodeError> {
    record
        .get(..size_of::<T>())
        .map(bytemuck::pod_read_unaligned)
        .ok_or(DecodeError::Short { len: record.len(), kind })
}

fn within(
    kind: u8,
    field: &'static str,
    byte: u8,
    range: std::ops::RangeInclusive<u8>,
) -> Result<(), DecodeError> {
    if range.contains(&byte) { Ok(()) } else { Err(value(kind, field, usize::from(byte))) }
}

fn value(kind: u8, field: &'static str, value: usize) -> DecodeError {
    DecodeError::Value { kind, field, value: value as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable as _;
    use proptest::prelude::*;

    fn data_record(head: &[u8], tail: &[u8], total: u32) -> Vec<u8> {
        let mut event = DataEvent::zeroed();
        event.header.kind = kind::DATA;
        event.header.version = EVENT_VERSION;
        event.total_bytes = total;
        event.head_bytes = head.len() as u16;
        event.tail_bytes = tail.len() as u16;
        [bytemuck::bytes_of(&event), head, tail].concat()
    }

    #[test]
    fn data_event_keeps_head_and_tail() {
        let record = data_record(b"GET / HTTP/1.1\r\n", b"\r\n0\r\n\r\n", 100);
        let Ok(Event::Data { event, head, tail }) = decode(&record) else {
            panic!("not a data event");
        };
        assert_eq!((head, tail, event.total_bytes), (&b"GET / HTTP/1.1\r\n"[..], &b"\r\n0\r\n\r\n"[..], 100));
    }

    #[test]
    fn every_short_record_is_an_error() {
        let record = data_record(b"GET /", b"", 5);
        for len in 0..record.len() {
            assert!(matches!(decode(&record[..len]), Err(DecodeError::Short { .. })), "length {len}");
        }
        assert!(decode(&record).is_ok());
    }

    #[test]
    fn another_version_and_an_unknown_kind_are_refused() {
        let mut record = data_record(b"", b"", 1);
        record[16] = 77;
        assert_eq!(decode(&record), Err(DecodeError::Kind(77)));
        record[17] = 9;
        assert_eq!(decode(&record), Err(DecodeError::Version(9)));
    }

    #[test]
    fn lengths_that_contradict_each_other_are_refused() {
        let record = data_record(b"abcdef", b"", 5);
        assert!(matches!(decode(&record), Err(DecodeError::Value { field: "total_bytes", .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _: Result<_, _> = decode(&bytes);
        }

        #[test]
        fn any_bytes_behind_a_valid_header_decode_without_panic(
            which in 0u8..6, bytes in proptest::collection::vec(any::<u8>(), 24..400)
        ) {
            let mut bytes = bytes;
            bytes[16] = which;
            bytes[17] = EVENT_VERSION;
            if let Ok(Event::Data { event, head, tail }) = decode(&bytes) {
                prop_assert_eq!(head.len(), usize::from(event.head_bytes));
                prop_assert_eq!(tail.len(), usize::from(event.tail_bytes));
            }
        }
    }
}
