//! The init segment: `ftyp` and `moov` without samples.
//!
//! Not here: fragments (`fragment`), the contents of avcC, hvcC, av1C, vpcC, AudioSpecificConfig and OpusHead (`media`).

use super::{Fmp4Error, NON_SYNC, SYNC};
use bytes::Bytes;
use media::{AacParams, ClockRate, CodecParams, MediaKind, OpusParams, Track, TrackSet};
use mp4_atom::esds::{DecoderConfig, DecoderSpecific, EsDescriptor, Esds, SLConfig};
use mp4_atom::{
    Atom, Audio, Av01, Avc1, Codec, Dinf, Dops, Dref, Encode, FourCC, Ftyp, Hdlr, Hvc1, Mdhd, Mdia, Minf, Moov, Mp4a,
    Mvex, Mvhd, Opus, Smhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url, Visual, Vmhd, Vp09,
};

/// `ftyp` and `moov` for `tracks`, in their order; track ids count from 1. One track makes a CMAF header.
///
/// # Errors
/// [`Fmp4Error::NoTracks`] for an empty set, [`Fmp4Error::Content`] for what the boxes cannot say.
pub fn init_segment(tracks: &TrackSet) -> Result<Bytes, Fmp4Error> {
    if tracks.is_empty() {
        return Err(Fmp4Error::NoTracks);
    }
    let mut out = Vec::new();
    put(&mut out, "ftyp", &file_type(tracks.len() == 1))?;
    put(&mut out, "moov", &movie(tracks)?)?;
    Ok(out.into())
}

/// The clock of a track in the file: 90 kHz for pictures, the sample rate for sound.
pub(super) fn timescale(params: &CodecParams) -> ClockRate {
    match params {
        CodecParams::Aac(params) => params.rate(),
        CodecParams::Opus(_) => ClockRate::AUDIO_48K,
        CodecParams::G711(params) => params.rate,
        CodecParams::MpegAudio(params) => params.rate,
        CodecParams::H264(_)
        | CodecParams::H265(_)
        | CodecParams::Av1(_)
        | CodecParams::Vp8(_)
        | CodecParams::Vp9(_)
        | CodecParams::Mjpeg(_) => ClockRate::VIDEO,
    }
}

/// The id of the `index`-th track in the file.
pub(super) fn file_id(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1)
}

pub(super) fn put(out: &mut Vec<u8>, kind: &'static str, value: &impl Encode) -> Result<(), Fmp4Error> {
    value.encode(out).map_err(|e| Fmp4Error::Content { kind, at: 0, reason: e.to_string() })
}

fn file_type(single: bool) -> Ftyp {
    let mut compatible_brands: Vec<FourCC> = vec![b"iso6".into(), b"mp41".into()];
    if single {
        // ISO/IEC 23000-19 §7.2: a CMAF header describes one track.
        compatible_brands.push(b"cmfc".into());
    }
    Ftyp { major_brand: b"iso6".into(), minor_version: 0, compatible_brands }
}

fn movie(tracks: &TrackSet) -> Result<Moov, Fmp4Error> {
    let trak =
        tracks.iter().enumerate().map(|(index, track)| self::track(file_id(index), track)).collect::<Result<_, _>>()?;
    let trex = tracks.iter().enumerate().map(|(index, track)| Trex {
        track_id: file_id(index),
        default_sample_description_index: 1,
        default_sample_duration: 0,
        default_sample_size: 0,
        default_sample_flags: match track.kind() {
            MediaKind::Video => NON_SYNC,
            MediaKind::Audio => SYNC,
        },
    });
    Ok(Moov {
        mvhd: Mvhd {
            timescale: 1000,
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: file_id(tracks.len()),
            ..Mvhd::default()
        },
        mvex: Some(Mvex { mehd: None, trex: trex.collect() }),
        trak,
        ..Moov::default()
    })
}

fn track(id: u32, track: &Track) -> Result<Trak, Fmp4Error> {
    let kind = track.kind();
    let (handler, name) = match kind {
        MediaKind::Video => (b"vide", "video"),
        MediaKind::Audio => (b"soun", "sound"),
    };
    let mut tkhd = Tkhd { track_id: id, enabled: true, in_movie: true, ..Tkhd::default() };
    match track.params.size() {
        Some((width, height)) => {
            tkhd.width = pixels(width).into();
            tkhd.height = pixels(height).into();
        }
        None => {
            tkhd.volume = 1.into();
            tkhd.alternate_group = 1;
        }
    }
    let visual = visual(&track.params);
    let codec = match &*track.params {
        CodecParams::H264(params) => {
            Codec::Avc1(Avc1 { visual, avcc: record("avcC", &params.avcc())?, ..Avc1::default() })
        }
        CodecParams::H265(params) => {
            Codec::Hvc1(Hvc1 { visual, hvcc: record("hvcC", &params.hvcc())?, ..Hvc1::default() })
        }
        CodecParams::Av1(params) => {
            Codec::Av01(Av01 { visual, av1c: record("av1C", &params.av1c())?, ..Av01::default() })
        }
        CodecParams::Vp9(params) => {
            Codec::Vp09(Vp09 { visual, vpcc: record("vpcC", &params.vpcc())?, ..Vp09::default() })
        }
        CodecParams::Aac(params) => Codec::Mp4a(mp4a(params)),
        CodecParams::Opus(params) => Codec::Opus(opus(*params)),
        CodecParams::Vp8(_) | CodecParams::Mjpeg(_) | CodecParams::G711(_) | CodecParams::MpegAudio(_) => {
            return Err(Fmp4Error::NotCarried(track.codec().label()));
        }
    };
    Ok(Trak {
        tkhd,
        mdia: Mdia {
            mdhd: Mdhd { timescale: timescale(&track.params).hz(), language: "und".into(), ..Mdhd::default() },
            hdlr: Hdlr { handler: handler.into(), name: name.into() },
            minf: Minf {
                vmhd: (kind == MediaKind::Video).then(Vmhd::default),
                smhd: (kind == MediaKind::Audio).then(Smhd::default),
                dinf: Dinf { dref: Dref { entries: vec![Url::default().into()] } },
                stbl: Stbl { stsd: Stsd { codecs: vec![codec] }, stco: Some(Stco::default()), ..Stbl::default() },
                ..Minf::default()
            },
        },
        ..Trak::default()
    })
}

/// Sizes above 16 bits do not pass the parsers of `media`.
fn pixels(size: u32) -> u16 {
    u16::try_from(size).unwrap_or(u16::MAX)
}

fn visual(params: &CodecParams) -> Visual {
    let (width, height) = params.size().unwrap_or_default();
    Visual { data_reference_index: 1, width: pixels(width), height: pixels(height), ..Visual::default() }
}

/// A configuration record as the box layer wants it.
fn record<T: Atom>(kind: &'static str, bytes: &[u8]) -> Result<T, Fmp4Error> {
    T::decode_body(&mut &*bytes).map_err(|e| Fmp4Error::Content { kind, at: 0, reason: e.to_string() })
}

fn mp4a(params: &AacParams) -> Mp4a {
    Mp4a {
        audio: audio(params.channels(), params.rate()),
        esds: Esds {
            es_desc: EsDescriptor {
                dec_config: DecoderConfig {
                    // ISO/IEC 14496-1 table 5: MPEG-4 Audio; table 6: audio stream.
                    object_type_indication: 0x40,
                    stream_type: 5,
                    dec_specific: Some(DecoderSpecific { raw: params.config().to_vec(), ..DecoderSpecific::default() }),
                    ..DecoderConfig::default()
                },
                sl_config: SLConfig::default(),
                ..EsDescriptor::default()
            },
        },
        btrt: None,
        taic: None,
    }
}

fn opus(params: OpusParams) -> Opus {
    Opus {
        audio: audio(params.channels, ClockRate::AUDIO_48K),
        dops: Dops {
            output_channel_count: params.channels,
            pre_skip: params.pre_skip,
            input_sample_rate: 48_000,
            output_gain: 0,
            channel_mapping: None,
        },
        btrt: None,
    }
}

fn audio(channels: u8, rate: ClockRate) -> Audio {
    Audio {
        data_reference_index: 1,
        channel_count: u16::from(channels),
        sample_size: 16,
        // 16.16 fixed point: rates above 65535 Hz are written as zero, and the codec's header says them.
        sample_rate: u16::try_from(rate.hz()).unwrap_or(0).into(),
    }
}
