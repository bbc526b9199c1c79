//! What the tests of both containers share: real parameter sets and made-up units.

use bytes::Bytes;
use media::{
    AacParams, AccessUnit, Av1Params, ClockRate, CodecParams, H264Params, H265Params, MediaTime, OpusParams, Track,
    TrackId, TrackSet, UnitKind, Vp9Params,
};
use std::sync::Arc;

/// 320×240 constrained baseline, as x264 writes it.
pub(crate) const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0xfb, 0x01, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3, 0xc0, 0xf1, 0x42, 0xa4,
    0x80,
];
pub(crate) const PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];

pub(crate) fn h264() -> H264Params {
    H264Params::new(Bytes::from_static(SPS), vec![Bytes::from_static(PPS)]).unwrap()
}

/// The same size at another level: a changed parameter set.
pub(crate) fn other_h264() -> H264Params {
    let mut sps = SPS.to_vec();
    sps[3] = 0x1f;
    H264Params::new(sps.into(), vec![Bytes::from_static(PPS)]).unwrap()
}

/// 320×240 main profile, as x265 writes it.
pub(crate) fn h265() -> H265Params {
    let vps =
        [0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 0x3c, 0xba, 0x02, 0x40];
    let sps = [
        0x42, 0x01, 0x01, 0x01, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 0x3c, 0xa0, 0x0a, 0x08, 0x0f, 0x16, 0x5b,
        0xa4, 0xa4, 0xc2, 0xe6, 0x80, 0x80, 0, 0, 3, 0, 0x80, 0, 0, 0x0f, 0x04, 0x22,
    ];
    let set = Bytes::copy_from_slice;
    H265Params::new(Some(set(&vps)), set(&sps), vec![set(&[0x44, 0x01, 0xc0, 0x71, 0x83, 0x12])]).unwrap()
}

/// 320×240 main profile, as SVT-AV1 writes it.
pub(crate) fn av1() -> Av1Params {
    Av1Params::from_obus(&[0x0a, 0x0b, 0, 0, 0, 4, 0x3c, 0xff, 0xbc, 2, 0xf8, 0, 0x40]).unwrap()
}

/// 320×240, as FFmpeg announces libvpx.
pub(crate) fn vp9() -> Vp9Params {
    Vp9Params::from_vpcc(&[1, 0, 0, 0, 0, 20, 0x82, 2, 2, 2, 0, 0], 320, 240).unwrap()
}

/// The beginning of a key picture of [`vp9`].
pub(crate) const VP9_KEY: &[u8] = &[0x82, 0x49, 0x83, 0x42, 0, 0x13, 0xf0, 0x0e, 0xf6, 6];

/// A key picture and a delta picture in canonical form for each codec that is neither H.264 nor sound.
pub(crate) fn newer_codecs() -> Vec<(Track, Bytes, Bytes)> {
    let of = |params, key: &[u8], delta: &[u8]| {
        (track(0, ClockRate::VIDEO, params), Bytes::copy_from_slice(key), Bytes::copy_from_slice(delta))
    };
    vec![
        of(CodecParams::H265(h265()), &[0, 0, 0, 3, 0x28, 1, 9], &[0, 0, 0, 3, 2, 1, 9]),
        of(CodecParams::Av1(av1()), &[0x32, 2, 0x10, 1], &[0x32, 2, 0x30, 1]),
        of(CodecParams::Vp9(vp9()), VP9_KEY, &[0x86, 0, 0x40]),
    ]
}

pub(crate) fn aac() -> AacParams {
    AacParams::lc(48_000, 2).unwrap()
}

pub(crate) fn track(id: u8, clock: ClockRate, params: CodecParams) -> Track {
    Track { id: TrackId(id), clock, params: Arc::new(params) }
}

/// H.264 and AAC on the clocks of their codecs.
pub(crate) fn av() -> TrackSet {
    TrackSet::new([
        track(0, ClockRate::VIDEO, CodecParams::H264(h264())),
        track(1, ClockRate::AUDIO_48K, CodecParams::Aac(aac())),
    ])
}

pub(crate) fn opus() -> Track {
    track(1, ClockRate::AUDIO_48K, CodecParams::Opus(OpusParams::WEBRTC))
}

/// A unit of `track` at `dts`/`pts` ticks of its clock. Pictures are `kind` with one NAL unit of `body`.
pub(crate) fn unit(track: &Track, kind: UnitKind, dts: i64, pts: i64, body: &[u8]) -> AccessUnit {
    let payload = match (kind, &*track.params) {
        (UnitKind::Audio, _) => body.to_vec(),
        (UnitKind::Key, CodecParams::H265(_)) => nal(&[0x28, 1], body),
        (UnitKind::Delta, CodecParams::H265(_)) => nal(&[2, 1], body),
        (UnitKind::Key, _) => nal(&[0x65], body),
        (UnitKind::Delta, _) => nal(&[0x41], body),
    };
    AccessUnit {
        track: track.id,
        dts: MediaTime::new(dts, track.clock),
        pts: MediaTime::new(pts, track.clock),
        duration: None,
        kind,
        captured: None,
        params: Arc::clone(&track.params),
        payload: payload.into(),
    }
}

fn nal(header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    media::append_length_prefixed(&mut out, &[header, body].concat());
    out
}
