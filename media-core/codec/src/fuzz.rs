//! Entry points for the fuzzers, built and replayed in ordinary tests.

use crate::{AacDecoder, H264Decoder, OpusDecoder, decode_jpeg};
use bytes::Bytes;
use media::{AacParams, AccessUnit, AnnexB, ClockRate, H264Entrance, MediaTime, MonoTime, Picture, TrackId};

/// Opus packets, one after another from length-prefixed pieces of `data`.
pub fn fuzz_opus(data: &[u8]) {
    let Ok(mut decoder) = OpusDecoder::new() else { return };
    for packet in pieces(data) {
        let mut out = Vec::new();
        match decoder.decode(packet, &mut out) {
            Ok(frames) => {
                assert_eq!(out.len(), frames * 2, "stereo");
                assert_eq!(
                    media::opus_packet_samples(packet),
                    Ok(u32::try_from(frames).unwrap_or(0)),
                    "exact duration"
                );
            }
            Err(_) => assert!(out.is_empty(), "nothing of a broken packet"),
        }
        let next = decoder.decode_lost(960, Some(packet), &mut out);
        assert!(next.is_err() || out.len() <= 5_760 * 4, "bounded");
    }
}

/// Raw AAC frames, LC and HE.
pub fn fuzz_aac(data: &[u8]) {
    for config in [&[0x11, 0x90][..], &[0x14, 0x08], &[0x2B, 0x11, 0x88, 0x00]] {
        let Ok(params) = AacParams::parse(Bytes::copy_from_slice(config)) else { continue };
        let Ok(mut decoder) = AacDecoder::new(&params) else { continue };
        for frame in pieces(data) {
            let mut out = Vec::new();
            match decoder.decode(frame, &mut out) {
                Ok(frames) => assert_eq!(out.len(), frames * usize::from(decoder.channels()), "interleaved"),
                Err(_) => assert!(out.is_empty(), "nothing of a broken frame"),
            }
        }
    }
}

/// An Annex B stream, whole, as one access unit.
pub fn fuzz_h264(data: &[u8]) {
    let (mut entrance, Ok(mut decoder)) = (H264Entrance::new(), H264Decoder::new()) else { return };
    let Ok(Some(unit)) = entrance.unit(AnnexB::new(data)) else { return };
    let at = MediaTime::new(0, ClockRate::VIDEO);
    let unit = AccessUnit {
        track: TrackId(0),
        dts: at,
        pts: at,
        duration: None,
        kind: unit.kind,
        captured: None,
        params: unit.params,
        payload: unit.payload,
    };
    let failed = decoder.decode(&unit).is_err();
    assert!(!failed || decoder.needs_key(), "after an error a key picture is wanted");
}

/// One JPEG.
pub fn fuzz_jpeg(data: &[u8]) {
    if let Ok(picture) = decode_jpeg(data, MonoTime::default()) {
        let want = Picture::bytes_of(picture.width(), picture.height());
        assert_eq!(want, Ok(picture.data().len()), "size and bytes go together");
    }
}

/// `data` as pieces, each behind a byte with its length.
fn pieces(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first()?;
        let (piece, next) = after.split_at(usize::from(*length).min(after.len()));
        rest = next;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz_replay::replay;
    use crate::h264::{EncoderConfig, H264Encoder};
    use crate::scale::tests::moving_card;

    #[test]
    fn corpora() {
        replay("opus", fuzz_opus, &[&[], &[1, 0xFC], &[3, 0xFF, 63, 1], &[0], &[2, 0x08, 0xFF, 9, 1, 2, 3]]);
        replay("aac", fuzz_aac, &[&[], &[4, 0x21, 0x10, 0x04, 0x60], &[255, 0xFF, 0xFF]]);
        let mut encoder = H264Encoder::new(EncoderConfig::new(64, 64, 30, 100_000)).unwrap();
        let unit = encoder.encode(&moving_card(64, 64, 1), false).unwrap().unwrap();
        let good = crate::h264::unit_for_fuzz(&unit);
        for at in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            fuzz_h264(&bad);
            fuzz_h264(&good[..at]);
        }
        replay("h264", fuzz_h264, &[&good]);
        let good = crate::jpeg::tests::ffmpeg(32, 32, &["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-f", "mjpeg"]);
        for at in (2..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            fuzz_jpeg(&bad);
            fuzz_jpeg(&good[..at]);
        }
        replay("jpeg", fuzz_jpeg, &[&good]);
    }
}
