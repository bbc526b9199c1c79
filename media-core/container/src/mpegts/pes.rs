//! Packetised elementary streams (§2.4.3.6): the header before an access unit, with its times.
//!
//! Not here: the times' unwrapping (`demux`).

use super::CLOCK_BITS;

/// `stream_id` of pictures, of sound, and of what descriptors name.
pub(super) const VIDEO: u8 = 0xE0;
pub(super) const AUDIO: u8 = 0xC0;
pub(super) const PRIVATE: u8 = 0xBD;

/// Times are 33 bits.
pub(super) const CLOCK_MASK: u64 = (1 << CLOCK_BITS) - 1;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Where the payload begins.
    pub(super) payload: usize,
    pub(super) pts: Option<u64>,
    /// Equals `pts` where it is not written.
    pub(super) dts: Option<u64>,
}

/// Bytes of the whole PES, where it says so and enough of it is there to tell.
pub(super) fn total(bytes: &[u8]) -> Option<usize> {
    let &[_, _, _, _, high, low] = bytes.first_chunk::<6>()?;
    let length = usize::from(high) << 8 | usize::from(low);
    // Zero: as long as it lasts, which is allowed for pictures alone.
    (length > 0).then_some(6 + length)
}

/// Reads a header; `None` for what is none, and for streams that have no times (padding, maps).
pub(super) fn parse(bytes: &[u8]) -> Option<Header> {
    let &[0, 0, 1, id, _, _, marker, flags, length] = bytes.first_chunk::<9>()? else { return None };
    if !matches!(id, PRIVATE | 0xC0..=0xEF | 0xFD) || marker & 0xC0 != 0x80 {
        return None;
    }
    let fields = bytes.get(9..9 + usize::from(length))?;
    let pts = if flags & 0x80 != 0 { time(fields.get(..5)?) } else { None };
    let dts = if flags & 0xC0 == 0xC0 { time(fields.get(5..10)?) } else { None };
    Some(Header { payload: 9 + usize::from(length), pts, dts: dts.or(pts) })
}

/// A time of 33 bits between marker bits, which cheap multiplexers forget to set.
fn time(field: &[u8]) -> Option<u64> {
    let &[a, b, c, d, e] = field else { return None };
    Some(
        u64::from(a >> 1 & 7) << 30
            | u64::from(b) << 22
            | u64::from(c >> 1) << 15
            | u64::from(d) << 7
            | u64::from(e >> 1),
    )
}

/// Writes the header of a PES with `payload` bytes behind it. A DTS that equals the PTS is left out.
pub(super) fn write(out: &mut Vec<u8>, id: u8, payload: usize, pts: u64, dts: u64) {
    let with_dts = dts != pts;
    let fields: u8 = if with_dts { 10 } else { 5 };
    // What is too long for the field is a picture, and may say nothing.
    let length = u16::try_from(payload + 3 + usize::from(fields)).unwrap_or(0);
    let [high, low] = length.to_be_bytes();
    // 0x84: data_alignment_indicator, an access unit begins here.
    out.extend_from_slice(&[0, 0, 1, id, high, low, 0x84, if with_dts { 0xC0 } else { 0x80 }, fields]);
    put_time(out, if with_dts { 0x30 } else { 0x20 }, pts);
    if with_dts {
        put_time(out, 0x10, dts);
    }
}

fn put_time(out: &mut Vec<u8>, prefix: u8, time: u64) {
    let part = |shift: u32, mask: u64| ((time >> shift & mask) as u8) << 1 | 1;
    out.push(prefix | part(30, 0x07));
    out.push((time >> 22) as u8);
    out.push(part(15, 0x7F));
    out.push((time >> 7) as u8);
    out.push(part(0, 0x7F));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back() {
        for (pts, dts) in [(0, 0), (CLOCK_MASK, CLOCK_MASK - 3000), (0x1_2345_6789, 0x1_2345_6789)] {
            let mut out = Vec::new();
            write(&mut out, VIDEO, 10, pts, dts);
            let header = parse(&out).unwrap();
            assert_eq!(header, Header { payload: out.len(), pts: Some(pts), dts: Some(dts) });
            assert_eq!(total(&out), Some(out.len() + 10));
        }
        let mut out = Vec::new();
        write(&mut out, VIDEO, 70_000, 1, 1);
        assert_eq!(total(&out), None, "too long to say");
        assert_eq!(parse(&out[..8]), None);
        assert_eq!(parse(b"\0\0\x01\xBE\0\x03\xFF\xFF\xFF\0\0"), None, "padding");
    }
}
