//! A sequence parameter set that keeps the decoder's library from reordering.
//!
//! OpenH264 reorders streams of Main and High profile by itself, by the low bits of the picture order count: these wrap within a GOP
//! of many encoders, and until the first B picture it takes decode order for display order. Flushed after each picture it loses count
//! of its buffers and refuses after some thirty (`FlushFrame` passes no context). For Scalable Baseline (83) it gives every picture at
//! once and changes nothing else: the syntax read is that of High, and what is allowed in slices does not go by the profile.
//!
//! Not here: what the set says (`media`), display order (`display`).

/// Longer than any set of real streams; scaling lists and all.
const MAX_SPS: usize = 1024;

const MAIN: u8 = 77;
const SCALABLE_BASELINE: u8 = 83;
const EXTENDED: u8 = 88;
const HIGH: u8 = 100;

/// `chroma_format_idc` 1, eight bits of luma and chroma, no transform bypass, no scaling matrices (7.3.2.1.1): what Main leaves out
/// because it has no choice.
const HIGH_FIELDS: [bool; 7] = [false, true, false, true, true, false, false];

/// `sps` under the other profile; as it is where there is nothing to do.
pub(super) fn without_reordering(sps: &[u8]) -> Vec<u8> {
    let mut out = sps.to_vec();
    match sps.get(1) {
        Some(&HIGH) => out[1] = SCALABLE_BASELINE,
        Some(&(MAIN | EXTENDED)) if sps.len() <= MAX_SPS => {
            if let Some(inserted) = with_high_fields(sps) {
                out = inserted;
            }
        }
        _ => {}
    }
    out
}

/// The set with the fields of High behind its number.
fn with_high_fields(sps: &[u8]) -> Option<Vec<u8>> {
    let (mut rbsp, mut zeros) = (Vec::with_capacity(sps.len()), 0);
    for &byte in sps {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        rbsp.push(byte);
    }
    let mut bits: Vec<bool> = rbsp.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1 == 1)).collect();
    // Header, profile, constraints and level; then an Exp-Golomb number: zeros, a one, as many bits again.
    let leading = bits.get(32..)?.iter().take_while(|bit| !**bit).count();
    let behind_id = 32 + 2 * leading + 1;
    // The stop bit is the last one that is set; what follows only fills the byte.
    let end = bits.iter().rposition(|bit| *bit)? + 1;
    if behind_id >= end {
        return None;
    }
    bits.truncate(end);
    bits.splice(behind_id..behind_id, HIGH_FIELDS);
    let bytes = bits
        .chunks(8)
        .map(|chunk| chunk.iter().zip((0..8).rev()).fold(0_u8, |byte, (bit, at)| byte | u8::from(*bit) << at));
    let (mut out, mut zeros) = (Vec::with_capacity(sps.len() + 4), 0);
    for byte in bytes {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out[1] = SCALABLE_BASELINE;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use media::H264Params;

    /// 320×240 by x264 with two references and a B-pyramid, Main profile.
    const MAIN_SPS: &[u8] = &[
        0x67, 0x4d, 0x40, 0x0d, 0xec, 0xa0, 0xa0, 0xfd, 0x80, 0x88, 0x00, 0x00, 0x03, 0x00, 0x08, 0x00, 0x00, 0x03,
        0x01, 0xe0, 0x78, 0xa1, 0x4c, 0xb0,
    ];

    #[test]
    fn says_the_same_otherwise() {
        let facts = |sps: Vec<u8>| {
            let params = H264Params::new(Bytes::from(sps), Vec::new()).unwrap();
            (params.width(), params.height(), params.reorder(), params.frame_rate().map(f64::to_bits))
        };
        let other = without_reordering(MAIN_SPS);
        assert_eq!(other[..2], [0x67, SCALABLE_BASELINE]);
        assert_eq!(facts(other), facts(MAIN_SPS.to_vec()));
    }

    #[test]
    fn short_and_other_sets_stay() {
        for cut in 0..MAIN_SPS.len() {
            let out = without_reordering(&MAIN_SPS[..cut]);
            assert!(out.len() <= cut + 4, "cut at {cut}");
        }
        for sps in [&[0x67, 66, 0xC0, 13, 0xDA][..], &[0x67, 244, 0, 13, 0x91], &[]] {
            assert_eq!(without_reordering(sps), sps);
        }
    }
}
