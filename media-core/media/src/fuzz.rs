//! Entry points for the fuzzers, built and replayed in ordinary tests.

use crate::{
    AacParams, AdtsFrames, AnnexB, Av1Entrance, Av1Params, CodecParams, H264Entrance, H264Params, H265Entrance,
    H265Params, Jpeg, JpegHead, LengthPrefixed, MjpegEntrance, MpegAudioHeader, OpusParams, Vp8Entrance, Vp9Entrance,
    Vp9Params, amf0,
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

/// H.265: the configuration record with its sequence parameter set, and the entrance behind both framings.
pub fn fuzz_h265(data: &[u8]) {
    if let Ok((params, _)) = H265Params::from_hvcc(&Bytes::copy_from_slice(data)) {
        let again = H265Params::from_hvcc(&params.hvcc().into()).map(|(p, _)| p);
        assert_eq!(again.as_ref(), Ok(&params), "what we write reads back the same");
        assert!(params.codec_string().starts_with("hvc1."), "an RFC 6381 name");
    }
    let mut entrance = H265Entrance::new();
    let _unit = entrance.unit(AnnexB::new(data));
    if let Ok(nals) = LengthPrefixed::parse(data)
        && let Ok(Some(unit)) = entrance.unit(nals)
    {
        assert!(LengthPrefixed::parse(&unit.payload).is_ok(), "what the entrance makes is well framed");
    }
}

/// AV1: the configuration record with its sequence header, and temporal units.
pub fn fuzz_av1(data: &[u8]) {
    if let Ok(Some(params)) = Av1Params::from_av1c(data) {
        assert_eq!(Av1Params::from_av1c(&params.av1c()), Ok(Some(params.clone())), "what we write reads back the same");
        assert!(params.codec_string().starts_with("av01."), "an RFC 6381 name");
    }
    let mut entrance = Av1Entrance::new();
    if let Ok(Some(unit)) = entrance.unit(&Bytes::copy_from_slice(data)) {
        let again = entrance.unit(&unit.payload).expect("what the entrance makes is well framed").expect("a picture");
        assert_eq!((again.kind, &again.payload), (unit.kind, &unit.payload), "what is canonical stays");
        assert_eq!(again.payload.as_ptr(), unit.payload.as_ptr(), "without a copy");
    }
}

/// What stands before a JPEG's scan; what RTP could carry is written and read back the same.
pub fn fuzz_jpeg_head(data: &[u8]) {
    let Ok(jpeg) = Jpeg::parse(data) else { return };
    assert!(jpeg.scan.len() < data.len(), "a part of it");
    assert!(MjpegEntrance::new().unit(&Bytes::copy_from_slice(data)).is_ok(), "a picture");
    let Some(head) = jpeg.head else { return };
    let again = [&head.write()[..], jpeg.scan, &JpegHead::END].concat();
    assert_eq!(Jpeg::parse(&again).expect("what we write reads back").head, Some(head));
}

/// VP8: the headers of frames.
pub fn fuzz_vp8(data: &[u8]) {
    if let Ok(Some(unit)) = Vp8Entrance::new().unit(&Bytes::copy_from_slice(data)) {
        let (width, height) = unit.params.size().expect("a picture has a size");
        assert!((1..1 << 14).contains(&width) && (1..1 << 14).contains(&height), "of fourteen bits");
    }
}

/// VP9: the configuration record and the headers of frames.
pub fn fuzz_vp9(data: &[u8]) {
    let mut entrance = Vp9Entrance::new();
    if let Ok(params) = Vp9Params::from_vpcc(data, 320, 240) {
        let again = Vp9Params::from_vpcc(&params.vpcc(), 320, 240);
        assert_eq!(again.map(|p| p.vpcc()), Ok(params.vpcc()), "what we write reads back the same");
        assert!(params.codec_string().starts_with("vp09."), "an RFC 6381 name");
        entrance.set_params(params);
    }
    let _unit = entrance.unit(&Bytes::copy_from_slice(data));
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
        let [h265, av1, vp9] = picture_seeds();
        replay("h265", super::fuzz_h265, &slices(&h265));
        replay("av1", super::fuzz_av1, &slices(&av1));
        replay("vp8", super::fuzz_vp8, &[crate::vp8::tests::KEY]);
        replay("vp9", super::fuzz_vp9, &slices(&vp9));
        replay("jpeg_head", super::fuzz_jpeg_head, &slices(&jpeg_seeds()));
    }

    fn slices(seeds: &[Vec<u8>]) -> Vec<&[u8]> {
        seeds.iter().map(Vec::as_slice).collect()
    }

    /// What real encoders wrote of H.265, AV1 and VP9: records, key pictures with their parameters in band, and in every framing.
    fn picture_seeds() -> [Vec<Vec<u8>>; 3] {
        use crate::{append_annex_b, append_length_prefixed, av1, h265, vp9};
        let nals = [h265::tests::VPS, h265::tests::SPS, h265::tests::PPS, &[0x28, 1, 9]];
        let (mut annex, mut prefixed) = (Vec::new(), Vec::new());
        nals.iter().for_each(|nal| append_annex_b(&mut annex, nal));
        nals.iter().for_each(|nal| append_length_prefixed(&mut prefixed, nal));
        let temporal = [&[0x12, 0], av1::tests::SEQUENCE, &[0x7a, 1, 0x80], &[0x30, 0x10, 1, 2]].concat();
        let h265 = vec![h265::tests::params().hvcc(), annex, prefixed];
        let vp9 = vec![vp9::tests::params().vpcc().to_vec(), vp9::tests::KEY.to_vec()];
        [h265, vec![av1::tests::params().av1c(), temporal], vp9]
    }

    fn jpeg_seeds() -> Vec<Vec<u8>> {
        use crate::mjpeg::tests::{HEAD, jpeg};
        vec![jpeg(&HEAD), jpeg(&crate::JpegHead { restart: 8, sampling: crate::JpegSampling::Yuv420, ..HEAD })]
    }

    proptest! {
        #[test]
        fn damaged_jpegs_are_survived(damage in prop::collection::vec((any::<usize>(), any::<u8>()), 1..8)) {
            for mut seed in jpeg_seeds() {
                for &(at, value) in &damage {
                    let at = at % seed.len();
                    seed[at] = value;
                }
                super::fuzz_jpeg_head(&seed);
            }
        }

        #[test]
        fn damaged_pictures_are_survived(damage in prop::collection::vec((any::<usize>(), any::<u8>()), 1..8)) {
            let targets = [super::fuzz_h265, super::fuzz_av1, super::fuzz_vp9];
            for (target, seeds) in targets.into_iter().zip(picture_seeds()) {
                for mut seed in seeds {
                    for &(at, value) in &damage {
                        let at = at % seed.len();
                        seed[at] = value;
                    }
                    target(&seed);
                }
            }
        }

        #[test]
        fn nothing_panics(data in prop::collection::vec(any::<u8>(), 0..200)) {
            super::fuzz_nal(&data);
            super::fuzz_avcc(&data);
            super::fuzz_h265(&data);
            super::fuzz_av1(&data);
            super::fuzz_vp8(&data);
            super::fuzz_vp9(&data);
            super::fuzz_jpeg_head(&data);
            super::fuzz_audio_headers(&data);
            super::fuzz_amf0(&data);
        }
    }
}
