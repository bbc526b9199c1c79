//! From the payload of a PES to access units, by codec.
//!
//! Not here: PES and packets (`demux`), what NAL units and headers say (`media`).

use super::psi::Entry;
use super::{SECOND, opus, stream_type};
use crate::entrance::NalCodec;
use bytes::Bytes;
use media::{
    AacError, AacParams, AdtsFrames, AnnexB, ClockRate, CodecParams, H264Entrance, H265Entrance, MediaTime,
    MpegAudioHeader, NalRole, UnitKind, opus_packet_samples,
};
use std::sync::Arc;

/// A unit without its track.
#[derive(Debug)]
pub(super) struct Piece {
    /// 90 kHz.
    pub(super) dts: i64,
    pub(super) pts: i64,
    pub(super) kind: UnitKind,
    pub(super) params: Arc<CodecParams>,
    pub(super) payload: Bytes,
}

/// One stream's way from bytes to units.
#[derive(Debug)]
pub(super) enum Elementary {
    H264(Pictures<H264Entrance>),
    H265(Pictures<H265Entrance>),
    Adts(Frames),
    MpegAudio(Frames),
    Opus(Arc<CodecParams>),
}

/// Pictures, of which a PES may hold more than one.
#[derive(Debug)]
pub(super) struct Pictures<C> {
    entrance: C,
    last: Option<i64>,
    /// From one picture to the next, ticks.
    step: i64,
}

/// Frames of sound that say how long they are, and may reach over the end of a PES.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The beginning of a frame, and so at most [`MAX_FRAME`].
    rest: Vec<u8>,
    /// Time of a frame that began a PES, and samples since.
    since: Option<(i64, i64)>,
    params: Option<Arc<CodecParams>>,
}

/// A frame at most: ADTS has 13 bits for it, and MPEG audio stays below.
const MAX_FRAME: usize = (1 << 13) - 1;

/// What a PES gave besides units: things that could not be read.
pub(super) type Broken = u64;

impl Elementary {
    /// `None` for what is not read.
    pub(super) fn new(entry: &Entry) -> Option<Self> {
        match entry.kind {
            stream_type::H264 => Some(Self::H264(Pictures::new())),
            stream_type::H265 => Some(Self::H265(Pictures::new())),
            stream_type::ADTS => Some(Self::Adts(Frames::default())),
            stream_type::MPEG1_AUDIO | stream_type::MPEG2_AUDIO => Some(Self::MpegAudio(Frames::default())),
            stream_type::PRIVATE => opus::params(entry).map(|params| Self::Opus(Arc::new(CodecParams::Opus(params)))),
            _ => None,
        }
    }

    /// What is known before the first unit.
    pub(super) fn params(&self) -> Option<Arc<CodecParams>> {
        match self {
            Self::Opus(params) => Some(Arc::clone(params)),
            Self::H264(_) | Self::H265(_) | Self::Adts(_) | Self::MpegAudio(_) => None,
        }
    }

    /// Something is missing before what comes next.
    pub(super) fn lost(&mut self) {
        match self {
            Self::Adts(frames) | Self::MpegAudio(frames) => frames.rest.clear(),
            Self::H264(_) | Self::H265(_) | Self::Opus(_) => {}
        }
    }

    /// Takes the payload of a PES with its times (PTS, DTS), and hands units to `found`.
    pub(super) fn push(&mut self, payload: Bytes, times: Option<(i64, i64)>, found: &mut impl FnMut(Piece)) -> Broken {
        match self {
            Self::H264(pictures) => pictures.push(&payload, times, found),
            Self::H265(pictures) => pictures.push(&payload, times, found),
            Self::Adts(frames) => frames.push(payload, times, adts, found),
            Self::MpegAudio(frames) => frames.push(payload, times, mpeg_audio, found),
            Self::Opus(params) => push_opus(&payload, times, params, found),
        }
    }
}

impl<C: NalCodec> Pictures<C> {
    fn new() -> Self {
        Self { entrance: C::new(), last: None, step: 0 }
    }

    fn push(&mut self, payload: &[u8], times: Option<(i64, i64)>, found: &mut impl FnMut(Piece)) -> Broken {
        // Only the first picture of a PES has times of its own, and one without belongs to nothing.
        let Some((pts, dts)) = times else { return 1 };
        let nals: Vec<&[u8]> = AnnexB::new(payload).collect();
        // Delimiters part them; what stands before the first belongs to it.
        let delimited = |nal: &&[u8]| C::role(nal) == NalRole::Delimiter;
        let mut starts: Vec<usize> =
            nals.iter().enumerate().filter(|(_, nal)| delimited(nal)).map(|(at, _)| at).skip(1).collect();
        starts.push(nals.len());
        let count = i64::try_from(starts.len()).unwrap_or(1);
        if let Some(step) = self.last.map(|last| dts.saturating_sub(last)).filter(|step| (1..SECOND).contains(step)) {
            self.step = step;
        }
        self.last = Some(dts);
        let (mut from, mut broken, mut at) = (0, 0, 0);
        for end in starts {
            match self.entrance.unit(nals.get(from..end).unwrap_or_default().iter().copied()) {
                Ok(Some(unit)) => found(Piece {
                    dts: dts.saturating_add(at),
                    pts: pts.saturating_add(at),
                    kind: unit.kind,
                    params: unit.params,
                    payload: unit.payload,
                }),
                Ok(None) => {}
                Err(_before_its_parameters_or_broken) => broken += 1,
            }
            at += self.step / count;
            from = end;
        }
        broken
    }
}

/// What stands at the beginning of some bytes.
enum Parsed {
    Frame {
        /// Bytes it takes, header included.
        total: usize,
        payload: Bytes,
        params: CodecParams,
        samples: u32,
        rate: ClockRate,
    },
    /// A frame whose end is not there yet.
    Partial,
    Noise,
}

fn adts(bytes: &Bytes) -> Parsed {
    let mut frames = AdtsFrames::new(bytes.clone());
    match frames.next() {
        Some(Ok(frame)) => Parsed::Frame {
            total: frames.position(),
            payload: frame.frame,
            rate: frame.params.rate(),
            samples: AacParams::FRAME,
            params: CodecParams::Aac(frame.params),
        },
        None => Parsed::Partial,
        Some(Err(AacError::Short)) if bytes.len() <= MAX_FRAME && could_be_adts(bytes) => Parsed::Partial,
        Some(Err(_)) => Parsed::Noise,
    }
}

/// Does it begin as a frame does, as far as it goes?
fn could_be_adts(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0xFF) && bytes.get(1).is_none_or(|b| b & 0xF6 == 0xF0)
}

fn mpeg_audio(bytes: &Bytes) -> Parsed {
    match MpegAudioHeader::parse(bytes) {
        Ok(header) if header.bytes < 4 => Parsed::Noise,
        Ok(header) if header.bytes > bytes.len() => Parsed::Partial,
        Ok(header) => Parsed::Frame {
            total: header.bytes,
            payload: bytes.slice(..header.bytes),
            samples: u32::from(header.params.frame_samples),
            rate: header.params.rate,
            params: CodecParams::MpegAudio(header.params),
        },
        Err(_) if bytes.len() < 4 => Parsed::Partial,
        Err(_) => Parsed::Noise,
    }
}

impl Frames {
    fn push(
        &mut self,
        payload: Bytes,
        times: Option<(i64, i64)>,
        parse: fn(&Bytes) -> Parsed,
        found: &mut impl FnMut(Piece),
    ) -> Broken {
        let carried = self.rest.len();
        let bytes = if carried == 0 { payload } else { [&self.rest[..], &payload].concat().into() };
        self.rest.clear();
        let mut own = times.map(|(pts, _)| pts);
        let (mut at, mut broken) = (0, 0);
        while at < bytes.len() {
            // The PES' time is that of the first frame that begins in it (§2.4.3.7).
            if at >= carried
                && let Some(time) = own.take()
            {
                self.since = Some((time, 0));
            }
            match parse(&bytes.slice(at..)) {
                Parsed::Frame { total, payload, params, samples, rate } => {
                    at += total.max(1);
                    let known = self.params.take().filter(|known| **known == params);
                    let params = known.unwrap_or_else(|| Arc::new(params));
                    self.params = Some(Arc::clone(&params));
                    let Some((base, before)) = &mut self.since else { continue };
                    let dts = base.saturating_add(MediaTime::new(*before, rate).rescale(ClockRate::VIDEO).ticks());
                    *before += i64::from(samples);
                    if !payload.is_empty() {
                        found(Piece { dts, pts: dts, kind: UnitKind::Audio, params, payload });
                    }
                }
                Parsed::Partial => {
                    self.rest = bytes.slice(at..).to_vec();
                    break;
                }
                Parsed::Noise => {
                    broken += 1;
                    let next = bytes.iter().skip(at + 1).position(|&byte| byte == 0xFF);
                    at = next.map_or(bytes.len(), |next| at + 1 + next);
                }
            }
        }
        broken
    }
}

fn push_opus(
    payload: &Bytes,
    times: Option<(i64, i64)>,
    params: &Arc<CodecParams>,
    found: &mut impl FnMut(Piece),
) -> Broken {
    let Some((mut dts, _)) = times else { return 1 };
    let mut at = 0;
    while at < payload.len() {
        let Some((packet, taken)) = opus::split(&payload[at..]) else { return 1 };
        let packet = payload.slice(at + packet.start..at + packet.end);
        at += taken;
        let Ok(samples) = opus_packet_samples(&packet) else { return 1 };
        let length = MediaTime::new(i64::from(samples), ClockRate::AUDIO_48K).rescale(ClockRate::VIDEO).ticks();
        found(Piece { dts, pts: dts, kind: UnitKind::Audio, params: Arc::clone(params), payload: packet });
        dts = dts.saturating_add(length);
    }
    0
}
