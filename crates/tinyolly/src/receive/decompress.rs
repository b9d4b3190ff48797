//! Bounded decompression of request bodies.

use std::io::Read;

use bytes::Bytes;

use super::Refusal;

/// Largest window a zstd frame may ask for, as a power of two: 8 MiB, what RFC 8878 section 3.1.1.1.2 asks of every
/// decoder.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Undoes a `Content-Encoding`, up to `limit` bytes.
pub(super) fn decompress(encoding: &str, body: Bytes, limit: usize) -> Result<Bytes, Refusal> {
    match encoding {
        "" | "identity" => Ok(body),
        "gzip" | "x-gzip" => bounded("gzip", flate2::read::MultiGzDecoder::new(body.as_ref()), limit),
        "zstd" => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body.as_ref())
                .map_err(|e| Refusal::Unavailable(format!("start zstd: {e}")))?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(|e| Refusal::Unavailable(format!("start zstd: {e}")))?;
            bounded("zstd", decoder, limit)
        }
        other => Err(Refusal::Unsupported(format!("content encoding {other:?}: use gzip, zstd or none"))),
    }
}

fn bounded(encoding: &str, decoder: impl Read, limit: usize) -> Result<Bytes, Refusal> {
    let mut plain = Vec::new();
    let read = decoder.take(limit as u64 + 1).read_to_end(&mut plain);
    read.map_err(|e| Refusal::Malformed(format!("the body is not valid {encoding}: {e}")))?;
    if plain.len() > limit {
        return Err(Refusal::TooLarge(limit));
    }
    Ok(plain.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;
    use std::io::Write;

    fn gzip(plain: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn both_encodings_are_undone() {
        let plain = b"hello hello hello".as_slice();
        assert_eq!(decompress("gzip", gzip(plain), 100).unwrap(), plain);
        assert_eq!(decompress("zstd", zstd::encode_all(plain, 3).unwrap().into(), 100).unwrap(), plain);
        assert_eq!(decompress("", Bytes::from_static(plain), 100).unwrap(), plain);
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        let zeros = vec![0; 50_000_000];
        assert_eq!(decompress("gzip", gzip(&zeros), 1000), Err(Refusal::TooLarge(1000)));
        let bomb = zstd::encode_all(zeros.as_slice(), 3).unwrap();
        assert_eq!(decompress("zstd", bomb.into(), 1000), Err(Refusal::TooLarge(1000)));
    }

    #[test]
    fn damaged_bodies_are_malformed() {
        let mut cut = gzip(b"hello hello hello").to_vec();
        cut.truncate(12);
        for (encoding, body) in [("gzip", cut), ("gzip", b"nope".to_vec()), ("zstd", b"nope".to_vec())] {
            let refused = decompress(encoding, body.into(), 100).unwrap_err();
            assert!(matches!(refused, Refusal::Malformed(_)), "{encoding}: {refused}");
        }
        assert!(matches!(decompress("br", Bytes::new(), 100), Err(Refusal::Unsupported(_))));
    }
}
