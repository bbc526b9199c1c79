//! Entry points for the fuzzers, built and replayed in ordinary tests.

use crate::{
    AacParams, AdtsFrames, AnnexB, CodecParams, H264Entrance, H264Params, LengthPrefixed, MpegAudioHeader, OpusParams,
    amf0,
};
use bytes::Bytes;

/// Annex B and length-prefixed splitting, and the H.264 entrance behind them.
pub fn fuzz_nal(data: &[u8]) {
    let mut entrance = H264Entrance::new();
    let _unit = entrance.unit(AnnexB::new(data));
    if let Ok(nals) = LengthPrefixed::parse(data)
        && let Ok(Some(unit)) = entrance.unit(nals)
    {
        assert!(LengthPrefixed::parse(&unit.payload).is_ok(), "what the entrance makes is well framed");
    }
}

/// The AVC configuration record.
pub fn fuzz_avcc(data: &[u8]) {
    if let Ok((params, _)) = H264Params::from_avcc(&Bytes::copy_from_slice(data)) {
        let again = H264Params::from_avcc(&params.avcc().into()).map(|(p, _)| p);
        assert_eq!(again.as_ref(), Ok(&params), "what we write reads back the same");
        assert!(CodecParams::H264(params).codec_string().starts_with("avc1."), "an RFC 6381 name");
    }
}

/// AudioSpecificConfig, ADTS and Opus headers.
pub fn fuzz_audio_headers(data: &[u8]) {
    if let Ok(params) = AacParams::parse(Bytes::copy_from_slice(data)) {
        assert!(matches!(params.frame_samples(), 1024 | 2048), "one or two core frames");
    }
    for frame in AdtsFrames::new(Bytes::copy_from_slice(data)) {
        if frame.is_err() {
            break;
        }
    }
    let _head = OpusParams::from_head(data);
    let _samples = crate::opus_packet_samples(data);
    if let Ok(header) = MpegAudioHeader::parse(data) {
        assert!((24..=MpegAudioHeader::MAX_BYTES).contains(&header.bytes), "a frame is bounded");
    }
}

/// AMF0 values: what was read is written and read again to the same bytes.
pub fn fuzz_amf0(data: &[u8]) {
    if let Ok(values) = amf0::decode_all(data) {
        let written = amf0::encode_all(&values);
        let again = amf0::decode_all(&written).map(|values| amf0::encode_all(&values));
        assert_eq!(again.as_ref(), Ok(&written), "what we write reads back the same");
    }
}

#[cfg(test)]
mod tests {
    use crate::fuzz_replay::replay;
    use crate::h264::tests::{PPS, SPS, params};
    use proptest::prelude::*;

    #[test]
    fn corpora() {
        let parts = [SPS, PPS, &[0x06, 5, 1, 0xFF, 0x80], &[0x65, 0x88, 0x84], &[0x41, 0x9A]];
        let annex_b: Vec<u8> = parts.iter().flat_map(|nal| [&[0, 0, 0, 1], *nal].concat()).collect();
        let prefixed: Vec<u8> = parts.iter().flat_map(|nal| [&[0, 0, 0, nal.len() as u8], *nal].concat()).collect();
        replay("nal", super::fuzz_nal, &[&annex_b, &prefixed, b"\0\0\x01\0\0\x01", b"\xFF\xFF\xFF\xFF\x65"]);
        replay("avcc", super::fuzz_avcc, &[&params().avcc(), b"\x01\x42\xC0\x0D\xFC\xE0\0"]);
        let adts = [0xFF, 0xF1, 0x4C, 0x80, 0x01, 0x7F, 0xFC, 1, 2, 3, 4];
        let headers: &[&[u8]] = &[
            &[0x11, 0x90],
            &[0x14, 0x08],
            &[0x2B, 0x11, 0x88, 0x00],
            &[0x12, 0x10, 0x56, 0xE5, 0x00],
            &adts,
            &[adts, adts].concat(),
            b"OpusHead\x01\x02\x38\x01\x80\xBB\0\0\0\0\0",
            &[0xFC, 0xFF, 0xFE],
            &[0xFF, 0x83, 1, 2, 3],
            // The longest frame of MPEG audio.
            &[0xFF, 0xE5, 0xEB, 0x00],
        ];
        replay("audio_headers", super::fuzz_audio_headers, headers);
        let values: &[&[u8]] = &[
            b"\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0\x03\0\x03app\x02\0\x04live\0\0\x09",
            b"\x08\0\0\0\x02\0\x05width\0\x40\x84\0\0\0\0\0\0\0\x06stereo\x01\x01\0\0\x09",
            b"\x0A\0\0\0\x02\x05\x06\x0B\x42\x75\x80\0\0\0\0\0\0\0\x0C\0\0\0\x01a",
        ];
        replay("amf0", super::fuzz_amf0, values);
    }

    proptest! {
        #[test]
        fn nothing_panics(data in prop::collection::vec(any::<u8>(), 0..200)) {
            super::fuzz_nal(&data);
            super::fuzz_avcc(&data);
            super::fuzz_audio_headers(&data);
            super::fuzz_amf0(&data);
        }
    }
}
