//! Session descriptions (RFC 8866) of RTSP: written from the tracks of a path, read from what a publisher announces.
//!
//! Belongs here: `rtpmap` and `fmtp` of each codec, control URLs. Not here: WebRTC's descriptions (`whip::sdp`), payloads (`rtp`).

use super::target::TRACK;
use crate::rtp::{AacLayout, latm_config};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use media::{
    AacParams, AnnexB, ClockRate, Codec, CodecParams, G711Law, G711Params, H264Params, H265NalKind, H265Params,
    MediaKind, NalKind, OpusParams, TrackSet,
};
use sdp_types::{Attribute, Connection, Origin, Session, Time};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use thiserror::Error;

/// Most tracks of one description; cameras have three.
pub const MAX_MEDIA: usize = 16;
/// Payload types above these are free for anybody (RFC 3551 §3).
const FIRST_DYNAMIC: u8 = 96;

/// Why a text is no description.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SdpError {
    /// Not the form of RFC 8866.
    #[error("SDP: {0}")]
    Syntax(String),
    /// Nothing in it.
    #[error("the description has no media")]
    Empty,
    /// More than [`MAX_MEDIA`].
    #[error("the description has more than {MAX_MEDIA} media")]
    TooMany,
}

/// How one track is coded in RTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// RFC 6184, with the parameter sets where the description has them.
    H264(Option<H264Params>),
    /// RFC 7798, with the parameter sets where the description has them.
    H265(Option<H265Params>),
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9 {
        /// 0 to 3.
        profile: u8,
    },
    /// RTP Payload Format For AV1 1.0; the numbers are those of the sequence header.
    Av1 {
        /// 0 to 2.
        profile: u8,
        /// Of the first operating point.
        level: u8,
        /// The high one?
        high_tier: bool,
    },
    /// RFC 2435.
    Jpeg,
    /// RFC 3640.
    Aac(AacParams, AacLayout),
    /// RFC 6416.
    Latm(AacParams),
    /// RFC 7587.
    Opus(OpusParams),
    /// RFC 3551 §4.5.14.
    G711(G711Params),
    /// RFC 2250; every frame says what it is.
    MpegAudio,
    /// Something that is not carried, by its name and why.
    Other(String),
}

/// One `m=` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Picture or sound; `None` for other things.
    pub kind: Option<MediaKind>,
    /// 0–127.
    pub payload_type: u8,
    /// What its timestamps count.
    pub clock: ClockRate,
    /// How it is coded.
    pub format: Format,
    /// `a=control`, as it stands there.
    pub control: String,
}

/// What a session consists of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Presentation {
    /// Its tracks, in order.
    pub media: Vec<Media>,
}

impl Presentation {
    /// The tracks that RTSP carries as they are.
    pub fn of(tracks: &TrackSet) -> Self {
        let formats = tracks.iter().filter_map(|track| {
            let format = match &*track.params {
                CodecParams::H264(params) => Format::H264(Some(params.clone())),
                CodecParams::Aac(params) => Format::Aac(params.clone(), AacLayout::HIGH),
                CodecParams::Opus(params) => Format::Opus(*params),
                CodecParams::G711(params) => Format::G711(*params),
                CodecParams::MpegAudio(_) => Format::MpegAudio,
                CodecParams::H265(params) => Format::H265(Some(params.clone())),
                CodecParams::Vp8(_) => Format::Vp8,
                CodecParams::Vp9(params) => Format::Vp9 { profile: params.profile() },
                CodecParams::Av1(params) => {
                    let (profile, level, high_tier) = params.profile_level_tier();
                    Format::Av1 { profile, level, high_tier }
                }
                // What has no words for it is not described (and is made into H.264).
                CodecParams::Mjpeg(params) if !params.packs() => return None,
                CodecParams::Mjpeg(_) => Format::Jpeg,
            };
            // A publisher's own clock may be anything (FLV: 1 kHz); RTP's is the codec's.
            let clock = match &format {
                Format::H264(_)
                | Format::H265(_)
                | Format::Vp8
                | Format::Vp9 { .. }
                | Format::Av1 { .. }
                | Format::Jpeg => ClockRate::VIDEO,
                Format::MpegAudio | Format::Other(_) => ClockRate::VIDEO,
                Format::Aac(params, _) | Format::Latm(params) => params.rate(),
                Format::Opus(_) => ClockRate::AUDIO_48K,
                Format::G711(params) => params.rate,
            };
            Some((track.kind(), format, clock))
        });
        let media = (0..MAX_MEDIA).zip(FIRST_DYNAMIC..).zip(formats);
        let media = media.map(|((n, payload_type), (kind, format, clock))| Media {
            kind: Some(kind),
            payload_type: static_type(&format).unwrap_or(payload_type),
            clock,
            format,
            control: format!("{}{n}", TRACK.trim_start_matches('/')),
        });
        Self { media: media.collect() }
    }

    /// The description as text.
    pub fn to_sdp(&self) -> Vec<u8> {
        let mut session = Session::new(Origin::with_ip_addr("0", 0, Ipv4Addr::LOCALHOST), "Visavis");
        session.connection = Some(Connection::from(IpAddr::from(Ipv4Addr::UNSPECIFIED)));
        session.add_time(Time::new(0, 0));
        session.add_attribute(Attribute::with_value("control", "*"));
        for media in &self.media {
            session.add_media(media.section());
        }
        let mut out = Vec::new();
        session.write(&mut out).expect("writing to a Vec does not fail");
        out
    }

    /// Reads a description.
    ///
    /// # Errors
    /// [`SdpError`]. A track that is not understood is no error but [`Format::Other`].
    pub fn parse(text: &[u8]) -> Result<Self, SdpError> {
        let session = Session::parse(&with_our_origin(text)).map_err(|e| SdpError::Syntax(e.to_string()))?;
        match session.medias.len() {
            0 => Err(SdpError::Empty),
            1..=MAX_MEDIA => Ok(Self { media: session.medias.iter().map(Media::parse).collect() }),
            _ => Err(SdpError::TooMany),
        }
    }

    /// Which track a SETUP of `url` means, where `base` was announced: by its control URL, else by the number at its end, else the
    /// only one.
    pub(super) fn find(&self, base: &str, url: &str) -> Option<usize> {
        let base = base.trim_end_matches('/');
        let is = |media: &Media| {
            let control = media.control.trim();
            if control.is_empty() || control == "*" {
                return false;
            }
            let tail = url.strip_suffix(control).map(|head| head.trim_end_matches('/'));
            control == url || tail.is_some_and(|head| head == base || head.ends_with('/') || url.contains("://"))
        };
        self.media.iter().position(is).or_else(|| (self.media.len() == 1).then_some(0))
    }
}

impl Format {
    /// The codec of a picture, with its parameters where the description has them; `None` for sound and what is not carried.
    pub(super) fn picture(&self) -> Option<(Codec, Option<CodecParams>)> {
        match self {
            Self::H264(params) => Some((Codec::H264, params.clone().map(CodecParams::H264))),
            Self::H265(params) => Some((Codec::H265, params.clone().map(CodecParams::H265))),
            Self::Vp8 => Some((Codec::Vp8, None)),
            Self::Jpeg => Some((Codec::Mjpeg, None)),
            Self::Vp9 { .. } => Some((Codec::Vp9, None)),
            Self::Av1 { .. } => Some((Codec::Av1, None)),
            Self::Aac(..) | Self::Latm(_) | Self::Opus(_) | Self::G711(_) | Self::MpegAudio | Self::Other(_) => None,
        }
    }
}

impl Media {
    fn section(&self) -> sdp_types::Media {
        let kind = match self.kind {
            Some(MediaKind::Video) => "video",
            Some(MediaKind::Audio) => "audio",
            None => "application",
        };
        let clock = self.clock.hz();
        let (map, parameters) = match &self.format {
            Format::H264(params) => {
                (format!("H264/{clock}"), params.as_ref().map_or_else(String::new, h264_parameters))
            }
            Format::H265(params) => {
                (format!("H265/{clock}"), params.as_ref().map_or_else(String::new, h265_parameters))
            }
            Format::Vp8 => (format!("VP8/{clock}"), String::new()),
            Format::Jpeg => (format!("JPEG/{clock}"), String::new()),
            Format::Vp9 { profile } => (format!("VP9/{clock}"), format!("profile-id={profile}")),
            Format::Av1 { profile, level, high_tier } => {
                let tier = u8::from(*high_tier);
                (format!("AV1/{clock}"), format!("profile={profile};level-idx={level};tier={tier}"))
            }
            Format::Aac(params, layout) => {
                (format!("mpeg4-generic/{clock}/{}", params.channels()), aac_parameters(params, *layout))
            }
            Format::Latm(params) => (format!("MP4A-LATM/{clock}/{}", params.channels()), "cpresent=0".into()),
            // Always two channels (RFC 7587 §7); what is in it stands in the parameters.
            Format::Opus(params) => {
                (format!("opus/{clock}/2"), format!("sprop-stereo={}", u8::from(params.channels > 1)))
            }
            Format::G711(params) => {
                let law = if params.law == G711Law::A { "PCMA" } else { "PCMU" };
                (format!("{law}/{clock}/{}", params.channels), String::new())
            }
            Format::MpegAudio => (format!("MPA/{clock}"), String::new()),
            Format::Other(name) => (format!("{name}/{clock}"), String::new()),
        };
        let payload_type = self.payload_type;
        let mut attributes = vec![Attribute::with_value("control", &self.control)];
        attributes.push(Attribute::with_value("rtpmap", format!("{payload_type} {map}")));
        if !parameters.is_empty() {
            attributes.push(Attribute::with_value("fmtp", format!("{payload_type} {parameters}")));
        }
        sdp_types::Media {
            media: kind.into(),
            port: 0,
            num_ports: None,
            proto: "RTP/AVP".into(),
            fmt: payload_type.to_string(),
            media_title: None,
            connections: Vec::new(),
            bandwidths: Vec::new(),
            key: None,
            attributes,
        }
    }

    fn parse(section: &sdp_types::Media) -> Self {
        let kind = match section.media.to_ascii_lowercase().as_str() {
            "video" => Some(MediaKind::Video),
            "audio" => Some(MediaKind::Audio),
            _ => None,
        };
        let payload_type = section.fmt.split_whitespace().next().and_then(|t| t.parse().ok()).unwrap_or(127_u8) & 0x7F;
        let of_type = |name: &str| {
            let values = section.attributes.iter().filter(|a| a.attribute.eq_ignore_ascii_case(name));
            let mut values = values.filter_map(|a| a.value.as_deref()).map(str::trim);
            values.find_map(|value| {
                let (number, rest) = value.split_once(char::is_whitespace)?;
                (number.parse() == Ok(payload_type)).then(|| rest.trim().to_owned())
            })
        };
        let map = of_type("rtpmap").unwrap_or_else(|| static_map(payload_type).into());
        let parameters = Parameters(of_type("fmtp").unwrap_or_default());
        let mut parts = map.split('/').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_uppercase();
        let clock = parts.next().and_then(|hz| hz.parse().ok()).and_then(ClockRate::new).unwrap_or(ClockRate::VIDEO);
        let channels = parts.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0).unwrap_or(1);
        let format = match (kind, name.as_str()) {
            (Some(MediaKind::Video), "H264") => h264(&parameters),
            (Some(MediaKind::Video), "H265") => h265(&parameters),
            (Some(MediaKind::Video), "VP8") => Format::Vp8,
            (Some(MediaKind::Video), "JPEG") => Format::Jpeg,
            (Some(MediaKind::Video), "VP9") => Format::Vp9 { profile: parameters.number("profile-id").unwrap_or(0) },
            (Some(MediaKind::Video), "AV1") => Format::Av1 {
                profile: parameters.number("profile").unwrap_or(0),
                // What is meant where nothing is said (§7.2.1): level 3.1.
                level: parameters.number("level-idx").unwrap_or(5),
                high_tier: parameters.number("tier") == Some(1),
            },
            (Some(MediaKind::Audio), "MPEG4-GENERIC") => aac(&parameters, clock, channels),
            (Some(MediaKind::Audio), "MP4A-LATM") => latm(&parameters),
            (Some(MediaKind::Audio), "OPUS") => opus(&parameters, channels),
            (Some(MediaKind::Audio), "PCMA") if channels <= 2 => {
                Format::G711(G711Params { law: G711Law::A, rate: clock, channels })
            }
            (Some(MediaKind::Audio), "PCMU") if channels <= 2 => {
                Format::G711(G711Params { law: G711Law::Mu, rate: clock, channels })
            }
            (Some(MediaKind::Audio), "MPA") => Format::MpegAudio,
            _ => Format::Other(name),
        };
        let control = section.get_first_attribute_value("control").flatten().unwrap_or_default();
        Self { kind, payload_type, clock, format, control: control.trim().into() }
    }
}

/// The payload type that every receiver knows the format by (RFC 3551 §6).
fn static_type(format: &Format) -> Option<u8> {
    match format {
        Format::G711(params) if *params == G711Params::telephone(G711Law::Mu) => Some(0),
        Format::G711(params) if *params == G711Params::telephone(G711Law::A) => Some(8),
        Format::MpegAudio => Some(14),
        Format::Jpeg => Some(26),
        _ => None,
    }
}

/// Names of the payload types that need no map (RFC 3551 §6) and that cameras send.
const fn static_map(payload_type: u8) -> &'static str {
    match payload_type {
        0 => "PCMU/8000",
        3 => "GSM/8000",
        8 => "PCMA/8000",
        9 => "G722/8000",
        10 => "L16/44100/2",
        11 => "L16/44100/1",
        14 => "MPA/90000",
        26 => "JPEG/90000",
        32 => "MPV/90000",
        33 => "MP2T/90000",
        _ => "unknown/90000",
    }
}

/// The list of an `fmtp`.
struct Parameters(String);

impl Parameters {
    fn get(&self, name: &str) -> Option<&str> {
        let fields = self.0.split(';').filter_map(|field| field.split_once('='));
        fields.map(|(n, v)| (n.trim(), v.trim())).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    fn number(&self, name: &str) -> Option<u8> {
        self.get(name)?.parse().ok()
    }

    fn hex(&self, name: &str) -> Option<Vec<u8>> {
        let text = self.get(name)?.trim_matches('"');
        // An odd digit count is a zero in front of the last one left out (seen in cameras' LATM): none of what is read here needs it.
        let pairs = text.as_bytes().chunks_exact(2);
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
    }
}

/// The description with an origin of ours. Nobody here asks whose it is, and some cameras (TP-Link) write more fields than there are.
fn with_our_origin(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + OUR_ORIGIN.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        out.extend_from_slice(if line.starts_with(b"o=") { OUR_ORIGIN } else { line });
    }
    out
}

const OUR_ORIGIN: &[u8] = b"o=- 0 0 IN IP4 0.0.0.0\r\n";

fn h264(parameters: &Parameters) -> Format {
    // Interleaved mode is a buffer of its own, and no encoder for live use has it.
    if parameters.number("packetization-mode") == Some(2) {
        return Format::Other("H264 in interleaved mode".into());
    }
    let sets = parameter_sets(parameters, "sprop-parameter-sets");
    let of = |kind| sets.iter().filter(move |set| NalKind::of(set) == kind).cloned();
    let (sps, pps) = (of(NalKind::Sps).next(), of(NalKind::Pps).collect::<Vec<_>>());
    // Broken sets are as good as none: those in the stream count.
    let params = sps.filter(|_| !pps.is_empty()).and_then(|sps| H264Params::new(sps, pps).ok());
    Format::H264(params)
}

/// NAL units in base 64, separated by commas (RFC 6184 §8.2.1, RFC 7798 §7.1).
fn parameter_sets(parameters: &Parameters, name: &str) -> Vec<Bytes> {
    let sets = parameters.get(name).unwrap_or_default();
    let sets = sets.split(',').filter_map(|set| STANDARD.decode(set.trim()).ok());
    // Some cameras (GW Security) leave the start code of the next unit behind each.
    sets.filter_map(|set| AnnexB::behind_a_start_code(&set).next().map(Bytes::copy_from_slice)).collect()
}

fn h265(parameters: &Parameters) -> Format {
    // Decoding order numbers in each packet; no encoder for live use has them.
    if parameters.number("sprop-max-don-diff").is_some_and(|most| most > 0) {
        return Format::Other("H265 in another order than that of decoding".into());
    }
    let first = |name| parameter_sets(parameters, name).into_iter().next();
    let pps = parameter_sets(parameters, "sprop-pps");
    let sps = first("sprop-sps").filter(|_| !pps.is_empty());
    Format::H265(sps.and_then(|sps| H265Params::new(first("sprop-vps"), sps, pps).ok()))
}

fn h265_parameters(params: &H265Params) -> String {
    let of = |kind: H265NalKind| {
        let sets = params.sets().filter(move |set| H265NalKind::of(set) == kind).map(|set| STANDARD.encode(set));
        sets.collect::<Vec<_>>().join(",")
    };
    let (vps, sps, pps) = (of(H265NalKind::Vps), of(H265NalKind::Sps), of(H265NalKind::Pps));
    format!("sprop-vps={vps}; sprop-sps={sps}; sprop-pps={pps}")
}

fn h264_parameters(params: &H264Params) -> String {
    let sets = std::iter::once(params.sps()).chain(params.pps()).map(|set| STANDARD.encode(set));
    let sets: Vec<String> = sets.collect();
    let [profile, flags, level] = params.profile_bytes();
    let sets = sets.join(",");
    format!("packetization-mode=1; profile-level-id={profile:02X}{flags:02X}{level:02X}; sprop-parameter-sets={sets}")
}

fn aac(parameters: &Parameters, clock: ClockRate, channels: u8) -> Format {
    let mode = parameters.get("mode").unwrap_or("AAC-hbr");
    let default = match mode.to_ascii_lowercase().as_str() {
        "aac-hbr" | "generic" => AacLayout::HIGH,
        "aac-lbr" => AacLayout::LOW,
        _ => return Format::Other(format!("mpeg4-generic in mode {mode}")),
    };
    let field = |name, default| parameters.number(name).filter(|n| *n <= 32).unwrap_or(default);
    let layout = AacLayout {
        size: field("sizelength", default.size),
        index: field("indexlength", default.index),
        delta: field("indexdeltalength", default.delta),
    };
    let params = match parameters.hex("config") {
        Some(config) => AacParams::parse(config.into()),
        None => AacParams::lc(clock.hz(), channels),
    };
    params.map_or_else(|e| Format::Other(format!("mpeg4-generic: {e}")), |params| Format::Aac(params, layout))
}

fn aac_parameters(params: &AacParams, layout: AacLayout) -> String {
    let AacLayout { size, index, delta } = layout;
    let mut out = format!(
        "streamtype=5; profile-level-id=1; mode=AAC-hbr; sizelength={size}; indexlength={index}; indexdeltalength={delta}; config="
    );
    for byte in params.config() {
        write!(out, "{byte:02X}").expect("writing to a String does not fail");
    }
    out
}

fn latm(parameters: &Parameters) -> Format {
    // A configuration inside the stream (cpresent=1) is what broadcasts have, not RTP.
    if parameters.number("cpresent") == Some(1) {
        return Format::Other("MP4A-LATM with its configuration inside the stream".into());
    }
    let params = parameters.hex("config").and_then(|config| latm_config(&config).ok());
    params.map_or_else(|| Format::Other("MP4A-LATM without a configuration that is AAC".into()), Format::Latm)
}

fn opus(parameters: &Parameters, channels: u8) -> Format {
    let mono = parameters.number("sprop-stereo") == Some(0) || channels == 1;
    // Opus decodes to either; sprop-stereo=0 only says that nothing is lost by mono.
    Format::Opus(OpusParams { channels: if mono { 1 } else { 2 }, ..OpusParams::WEBRTC })
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::{Track, TrackId, Vp8Params, Vp9Params};
    use std::sync::Arc;

    /// 320×240 constrained baseline, as x264 writes it, with a picture parameter set.
    pub(crate) fn h264_params() -> H264Params {
        let parsed = Presentation::parse(FFMPEG.as_bytes()).unwrap();
        let Format::H264(Some(params)) = parsed.media[0].format.clone() else { panic!("{parsed:?}") };
        params
    }

    /// As FFmpeg 5.1 announces.
    const FFMPEG: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\na=tool:libavformat 59.27.100\r\n\
        m=video 0 RTP/AVP 96\r\nb=AS:900\r\na=rtpmap:96 H264/90000\r\n\
        a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LADNoFB+hAAAADAEAAAAwDxQqo,aM4PyA==; profile-level-id=42C00C\r\n\
        a=control:streamid=0\r\nm=audio 0 RTP/AVP 97\r\nb=AS:64\r\na=rtpmap:97 MPEG4-GENERIC/48000/1\r\n\
        a=fmtp:97 profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3; config=118856E500\r\n\
        a=control:streamid=1\r\n";

    #[test]
    fn what_ffmpeg_announces() {
        let parsed = Presentation::parse(FFMPEG.as_bytes()).unwrap();
        let [video, audio] = &parsed.media[..] else { panic!("{parsed:?}") };
        let Format::H264(Some(params)) = &video.format else { panic!("{video:?}") };
        assert_eq!((params.width(), params.height(), video.payload_type), (320, 240, 96));
        let Format::Aac(params, AacLayout::HIGH) = &audio.format else { panic!("{audio:?}") };
        assert_eq!((params.rate().hz(), params.channels(), audio.clock.hz()), (48_000, 1, 48_000));
        assert_eq!((video.control.as_str(), audio.control.as_str()), ("streamid=0", "streamid=1"));
    }

    #[test]
    fn what_we_write_reads_back() {
        let h264 = CodecParams::H264(h264_params());
        let aac = CodecParams::Aac(AacParams::lc(16_000, 1).unwrap());
        let opus = CodecParams::Opus(OpusParams::WEBRTC);
        let vp8 = CodecParams::Vp8(Vp8Params::new(320, 240));
        let vp9 = CodecParams::Vp9(Vp9Params::from_vpcc(&[1, 20, 0x82, 2, 2, 2, 0, 0], 320, 240).unwrap());
        let tracks: TrackSet = [h264, aac, opus, vp8, vp9]
            .into_iter()
            .zip(0..)
            .map(|(params, id)| Track { id: TrackId(id), clock: ClockRate::MILLI, params: Arc::new(params) })
            .collect();
        let made = Presentation::of(&tracks);
        let text = String::from_utf8(made.to_sdp()).unwrap();
        assert_eq!(Presentation::parse(text.as_bytes()), Ok(made.clone()), "{text}");
        assert_eq!(
            made.media.iter().map(|m| m.clock.hz()).collect::<Vec<_>>(),
            [90_000, 16_000, 48_000, 90_000, 90_000]
        );
        assert!(text.contains("a=rtpmap:97 mpeg4-generic/16000/1\r\n"), "{text}");
        assert!(text.contains("a=rtpmap:98 opus/48000/2\r\na=fmtp:98 sprop-stereo=1\r\n"), "{text}");
    }

    #[test]
    fn dialects() {
        let check = |section: &str, want: &str| {
            let text = format!("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\n{section}");
            let got = Presentation::parse(text.as_bytes()).unwrap();
            let name = match &got.media[0].format {
                Format::H264(params) => format!("h264 {}", params.is_some()),
                Format::H265(params) => format!("h265 {}", params.is_some()),
                Format::Vp8 => "vp8".into(),
                Format::Jpeg => "jpeg".into(),
                Format::Vp9 { profile } => format!("vp9 {profile}"),
                Format::Av1 { profile, level, high_tier } => format!("av1 {profile} {level} {high_tier}"),
                Format::Aac(params, layout) => {
                    format!("aac {} {} {}", params.rate().hz(), params.channels(), layout.size)
                }
                Format::Latm(params) => format!("latm {} {}", params.rate().hz(), params.channels()),
                Format::Opus(params) => format!("opus {}", params.channels),
                Format::G711(params) => format!("g711 {:?} {} {}", params.law, params.rate.hz(), params.channels),
                Format::MpegAudio => "mpa".into(),
                Format::Other(name) => name.clone(),
            };
            assert_eq!(name, want, "{section}");
        };
        check("m=video 0 RTP/AVP 96\na=rtpmap:96 h264/90000\n", "h264 false");
        check("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 sprop-parameter-sets=!!,\n", "h264 false");
        check(
            "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=2\n",
            "H264 in interleaved mode",
        );
        check(
            "m=audio 0 RTP/AVP 97\na=rtpmap:97 mpeg4-generic/44100/2\na=fmtp:97 config=1210;Mode=AAC-lbr\n",
            "aac 44100 2 6",
        );
        check("m=audio 0 RTP/AVP 97\na=rtpmap:97 mpeg4-generic/44100/2\n", "aac 44100 2 13");
        check(
            "m=audio 0 RTP/AVP 97\na=rtpmap:97 MP4A-LATM/48000/2\na=fmtp:97 cpresent=0;config=400023203fc0\n",
            "latm 48000 2",
        );
        check("m=audio 0 RTP/AVP 97\na=rtpmap:97 opus/48000/2\n", "opus 2");
        check("m=audio 0 RTP/AVP 97\na=rtpmap:97 OPUS/48000/2\na=fmtp:97 sprop-stereo=0\n", "opus 1");
        check("m=audio 0 RTP/AVP 8\n", "g711 A 8000 1");
        check("m=audio 0 RTP/AVP 97\na=rtpmap:97 pcmu/16000/2\n", "g711 Mu 16000 2");
        check("m=audio 0 RTP/AVP 14\n", "mpa");
        check("m=audio 0 RTP/AVP 9\n", "G722");
        check("m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\n", "h265 false");
        check("m=video 0 RTP/AVP 96\na=rtpmap:96 VP8/90000\n", "vp8");
        check("m=video 0 RTP/AVP 96\na=rtpmap:96 VP9/90000\na=fmtp:96 profile-id=2\n", "vp9 2");
        check("m=video 0 RTP/AVP 96\na=rtpmap:96 AV1/90000\n", "av1 0 5 false");
        check("m=video 0 RTP/AVP 96\na=rtpmap:96 AV1/90000\na=fmtp:96 profile=1;level-idx=9;tier=1\n", "av1 1 9 true");
        check("m=application 0 RTP/AVP 107\na=rtpmap:107 vnd.onvif.metadata/90000\n", "VND.ONVIF.METADATA");
        check("m=video 0 RTP/AVP 26\n", "jpeg");
        check("m=video 0 RTP/AVP 98\na=rtpmap:98 jpeg/90000\n", "jpeg");
        check("m=video 0 RTP/AVP x\n", "UNKNOWN");
    }

    #[test]
    fn refuses() {
        assert!(matches!(Presentation::parse(b"hello"), Err(SdpError::Syntax(_))));
        assert_eq!(Presentation::parse(b"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\n"), Err(SdpError::Empty));
        let many = format!("v=0\r\ns=x\r\nt=0 0\r\n{}", "m=video 0 RTP/AVP 96\r\n".repeat(17));
        assert_eq!(Presentation::parse(many.as_bytes()), Err(SdpError::TooMany));
    }

    #[test]
    fn control_urls() {
        let with = |controls: &[&str]| Presentation {
            media: controls
                .iter()
                .map(|control| Media {
                    kind: None,
                    payload_type: 96,
                    clock: ClockRate::VIDEO,
                    format: Format::Other(String::new()),
                    control: (*control).into(),
                })
                .collect(),
        };
        let check = |controls: &[&str], url: &str, want| {
            assert_eq!(with(controls).find("rtsp://h/a", url), want, "{controls:?} {url}");
        };
        check(&["streamid=0", "streamid=1"], "rtsp://h/a/streamid=1", Some(1));
        check(&["stream=0", "stream=1"], "rtsp://h/a/stream=0", Some(0));
        check(&["rtsp://h/a/x", "rtsp://h/a/y"], "rtsp://h/a/y", Some(1));
        check(&["trackID=1"], "rtsp://h/a", Some(0));
        check(&["trackID=1", "trackID=2"], "rtsp://h/a", None);
        check(&["", "*"], "rtsp://h/a/", None);
    }
}
