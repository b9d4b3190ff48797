//! How the detail of a span, log record or data point is packed into its blob column.
//!
//! The first byte says which packing: [`RAW`], or [`ZSTD_V1`] followed by the unpacked length and a zstd frame
//! without its constant magic number. The zstd packing leans on a dictionary of the attribute keys that the semantic
//! conventions name: single spans are too short to compress by themselves. The dictionary is part of the file format;
//! a better one is a new packing beside it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::LazyLock;

use prost::Message;
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

use super::StoreError;

const RAW: u8 = 0;
const ZSTD_V1: u8 = 1;
/// Below this size a frame's own overhead eats what is saved.
const WORTH_PACKING: usize = 48;
/// Blobs above this use are refused when read: no request that was accepted can have made one.
const MAX_UNPACKED: usize = 1 << 30;
const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
const LEVEL: i32 = 1;

/// Keys and common values, as the protobuf encoding of attributes spells them; the most frequent ones last, where
/// zstd reaches them with the shortest offsets.
static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = Vec::new();
    for line in include_str!("dictionary_v1.txt").lines() {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        bytes.extend([0x0a, key.len() as u8]);
        bytes.extend(key.as_bytes());
        if let Some(number) = value.strip_prefix('#').and_then(|n| n.parse::<u64>().ok()) {
            let mut varint = Vec::new();
            prost::encoding::encode_varint(number, &mut varint);
            bytes.extend([0x12, 1 + varint.len() as u8, 0x18]);
            bytes.extend(varint);
        } else {
            bytes.extend([0x12, 2 + value.len() as u8, 0x0a, value.len() as u8]);
            bytes.extend(value.as_bytes());
        }
        bytes.push(0x4a);
    }
    bytes
});
static ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(&DICTIONARY, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(&DICTIONARY));

thread_local! {
    static PACKER: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Packs a message; an empty one is `None`, which costs nothing in its row.
pub fn pack(message: &impl Message) -> Option<Vec<u8>> {
    let plain = message.encode_to_vec();
    if plain.is_empty() {
        return None;
    }
    if plain.len() >= WORTH_PACKING
        && let Some(packed) = compress(&plain)
    {
        return Some(packed);
    }
    let mut raw = Vec::with_capacity(plain.len() + 1);
    raw.push(RAW);
    raw.extend(plain);
    Some(raw)
}

fn compress(plain: &[u8]) -> Option<Vec<u8>> {
    PACKER.with_borrow_mut(|slot| {
        let packer = match slot {
            Some(packer) => packer,
            None => {
                let mut packer = Compressor::with_prepared_dictionary(&ENCODER).ok()?;
                // The unpacked length stands before the frame and the dictionary has no number.
                packer.include_contentsize(false).ok()?;
                packer.include_dictid(false).ok()?;
                slot.insert(packer)
            }
        };
        let frame = packer.compress(plain).ok()?;
        let frame = frame.strip_prefix(&MAGIC)?;
        let mut packed = Vec::with_capacity(frame.len() + 4);
        packed.push(ZSTD_V1);
        prost::encoding::encode_varint(plain.len() as u64, &mut packed);
        packed.extend(frame);
        (packed.len() <= plain.len()).then_some(packed)
    })
}

/// Unpacks what [`pack`] made.
///
/// # Errors
/// When the bytes are not what [`pack`] makes: the file is damaged.
pub fn unpack<M: Message + Default>(blob: Option<&[u8]>) -> Result<M, StoreError> {
    match plain(blob)? {
        Some(plain) => decode(&plain),
        None => Ok(M::default()),
    }
}

/// The encoded message in what [`pack`] made; `None` for an empty one.
///
/// # Errors
/// As [`unpack`].
pub fn plain(blob: Option<&[u8]>) -> Result<Option<Cow<'_, [u8]>>, StoreError> {
    let Some((packing, mut rest)) = blob.and_then(|b| b.split_first()) else {
        return Ok(None);
    };
    match *packing {
        RAW => Ok(Some(Cow::Borrowed(rest))),
        ZSTD_V1 => {
            let length =
                prost::encoding::decode_varint(&mut rest).map_err(|e| StoreError::Damaged(e.to_string()))?;
            let length = usize::try_from(length).ok().filter(|n| *n <= MAX_UNPACKED);
            let length = length.ok_or_else(|| StoreError::Damaged("blob length out of range".into()))?;
            let plain = decompress(rest, length).map_err(|e| StoreError::Damaged(e.to_string()))?;
            Ok(Some(Cow::Owned(plain)))
        }
        other => Err(StoreError::Damaged(format!("unknown blob packing {other}"))),
    }
}

/// The message that [`plain`] gave.
///
/// # Errors
/// When the bytes are no such message.
pub fn decode<M: Message + Default>(plain: &[u8]) -> Result<M, StoreError> {
    M::decode(plain).map_err(|e| StoreError::Damaged(e.to_string()))
}

fn decompress(frame: &[u8], length: usize) -> std::io::Result<Vec<u8>> {
    UNPACKER.with_borrow_mut(|slot| {
        let unpacker = match slot {
            Some(unpacker) => unpacker,
            None => slot.insert(Decompressor::with_prepared_dictionary(&DECODER)?),
        };
        let mut whole = Vec::with_capacity(MAGIC.len() + frame.len());
        whole.extend(MAGIC);
        whole.extend(frame);
        unpacker.decompress(&whole, length)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};
    use opentelemetry_proto::tonic::trace::v1::Span;

    fn attribute(key: &str, value: &str) -> KeyValue {
        let value = Some(AnyValue { value: Some(Value::StringValue(value.into())) });
        KeyValue { key: key.into(), value, ..Default::default() }
    }

    #[test]
    fn what_is_packed_comes_back() {
        for n in [0, 1, 3, 50, 5000] {
            let attributes =
                (0..n).map(|i| attribute("http.request.method", &format!("value {i}"))).collect();
            let span = Span { attributes, ..Default::default() };
            assert_eq!(unpack::<Span>(pack(&span).as_deref()).unwrap(), span, "{n} attributes");
        }
        let noise: Vec<u8> = (0..4000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let values = vec![AnyValue { value: Some(Value::BytesValue(noise)) }];
        let array = ArrayValue { values };
        assert_eq!(unpack::<ArrayValue>(pack(&array).as_deref()).unwrap(), array);
    }

    #[test]
    fn an_empty_message_takes_no_blob() {
        assert!(pack(&Span::default()).is_none());
        assert_eq!(unpack::<Span>(None).unwrap(), Span::default());
    }

    #[test]
    fn a_common_span_shrinks_to_less_than_half() {
        let attributes = vec![
            attribute("http.request.method", "GET"),
            attribute("url.path", "/orders/17"),
            attribute("url.scheme", "http"),
            attribute("server.address", "localhost"),
            attribute("network.protocol.version", "1.1"),
            attribute("user_agent.original", "curl/8.5.0"),
        ];
        let span = Span { attributes, ..Default::default() };
        let packed = pack(&span).unwrap();
        assert!(packed.len() * 2 < span.encoded_len(), "{} of {}", packed.len(), span.encoded_len());
    }

    #[test]
    fn damaged_blobs_are_errors() {
        for blob in [&[9u8][..], &[1], &[1, 5, 1, 2, 3], &[0, 0xff], &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]]
        {
            assert!(unpack::<Span>(Some(blob)).is_err(), "{blob:?}");
        }
    }

    #[test]
    fn the_dictionary_is_part_of_the_file_format() {
        assert_eq!(
            super::super::intern::digest(&DICTIONARY),
            7_685_714_282_849_294_198,
            "a change here makes stored blobs unreadable"
        );
    }
}
