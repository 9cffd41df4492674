//! Which compression a stream has, by its first bytes: media types of registries are not to be trusted.

use std::io::{self, BufRead, BufReader, Read};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Largest zstd window that we decode: 128 MiB, what `zstd -d` accepts without being asked.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// The plain bytes of `reader`.
pub(super) fn plain<'r>(reader: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let mut reader = BufReader::with_capacity(128 * 1024, reader);
    let start = reader.fill_buf()?;
    if start.starts_with(&GZIP) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(reader)));
    }
    if start.starts_with(&ZSTD) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(reader))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        plain(bytes).unwrap().read_to_end(&mut text).unwrap();
        text
    }

    #[test]
    fn gzip_zstd_and_plain_read_the_same() {
        let text = b"text ".repeat(1000);
        let gzip = || {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&text).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(read(&text), text);
        assert_eq!(read(&gzip()), text);
        assert_eq!(read(&zstd::encode_all(&text[..], 1).unwrap()), text);
        let members = [gzip(), gzip()].concat();
        assert_eq!(read(&members), text.repeat(2), "gzip of several members");
        assert_eq!(read(b""), b"");
    }
}
