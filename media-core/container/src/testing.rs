//! What the tests of both containers share: real parameter sets and made-up units.

use bytes::Bytes;
use media::{
    AacParams, AccessUnit, ClockRate, CodecParams, H264Params, MediaTime, OpusParams, Track, TrackId, TrackSet,
    UnitKind,
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
    let payload = match kind {
        UnitKind::Audio => body.to_vec(),
        UnitKind::Key => nal(0x65, body),
        UnitKind::Delta => nal(0x41, body),
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

fn nal(header: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    media::append_length_prefixed(&mut out, &[&[header], body].concat());
    out
}
