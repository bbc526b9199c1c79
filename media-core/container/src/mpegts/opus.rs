//! Opus in MPEG-TS, as its authors' draft for ETSI (v0.1.3) and everybody since has it: descriptors and the header before each packet.
//!
//! Not here: what a packet says of its length (`media`).

use super::psi::Entry;
use media::OpusParams;

const REGISTRATION: u8 = 0x05;
const EXTENSION: u8 = 0x7F;
/// The extension's own tag, from the range left to users.
const OPUS_EXTENSION: u8 = 0x80;
/// The eleven bits every header begins with.
const PREFIX: u16 = 0x7FE0;

/// What the map says of an Opus stream.
pub(super) fn descriptors(params: &OpusParams) -> Vec<u8> {
    let mut out = vec![REGISTRATION, 4];
    out.extend_from_slice(b"Opus");
    out.extend_from_slice(&[EXTENSION, 2, OPUS_EXTENSION, params.channels]);
    out
}

/// What the map's entry says: `None` where it is not Opus, or of more than two channels.
pub(super) fn params(entry: &Entry) -> Option<OpusParams> {
    if !entry.descriptors().any(|(tag, content)| tag == REGISTRATION && content.starts_with(b"Opus")) {
        return None;
    }
    let config = entry.descriptors().find_map(|(tag, content)| match content {
        &[OPUS_EXTENSION, config, ..] if tag == EXTENSION => Some(config),
        _ => None,
    });
    // Without the descriptor, what almost all are; 0 is two languages, each a channel.
    let channels = match config.unwrap_or(2) {
        0 | 2 => 2,
        1 => 1,
        _ => return None,
    };
    Some(OpusParams { channels, pre_skip: 0 })
}

/// Appends the header of a packet of `length` bytes.
pub(super) fn put_header(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&PREFIX.to_be_bytes());
    let mut rest = length;
    while rest >= 255 {
        out.push(255);
        rest -= 255;
    }
    out.push(rest as u8);
}

/// Splits the first packet off: it, and how many bytes it took with its header. `None` where there is none.
pub(super) fn split(bytes: &[u8]) -> Option<(std::ops::Range<usize>, usize)> {
    let &[high, low] = bytes.first_chunk::<2>()?;
    if u16::from_be_bytes([high, low]) & 0xFFE0 != PREFIX {
        return None;
    }
    let mut at = 2;
    let mut length = 0;
    loop {
        let byte = *bytes.get(at)?;
        at += 1;
        length += usize::from(byte);
        if byte != 255 {
            break;
        }
    }
    // Start and end trim; an extension says its own length.
    at += if low & 0x10 != 0 { 2 } else { 0 };
    at += if low & 0x08 != 0 { 2 } else { 0 };
    if low & 0x04 != 0 {
        at += 1 + usize::from(*bytes.get(at)?);
    }
    let end = at.checked_add(length)?;
    (end <= bytes.len()).then_some((at..end, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_split() {
        for length in [1, 254, 255, 256, 600] {
            let mut out = Vec::new();
            put_header(&mut out, length);
            let head = out.len();
            out.resize(head + length, 7);
            assert_eq!(split(&out), Some((head..head + length, head + length)));
            assert_eq!(split(&out[..out.len() - 1]), None);
        }
        // Both trims and an extension of two bytes.
        let full = [0x7F, 0xFC, 2, 0, 1, 0, 1, 2, 9, 9, 5, 6];
        assert_eq!(split(&full), Some((10..12, 12)));
        assert_eq!(split(b"\x00\x00\x01"), None);
    }
}
