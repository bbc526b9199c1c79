//! What an offer contains and which codecs are taken from it: of a publisher H.264 wherever it stands in the list, of a reader what
//! the path carries; Opus for sound.
//!
//! Belongs here: the lines of RFC 8866 and RFC 8829 that this decision needs, read leniently. Not here: the answer as a whole
//! (the WebRTC stack writes it).

use media::{Codec, CodecParams, G711Law, G711Params, MediaKind, TrackSet};
use thiserror::Error;

/// Why a text is no session description.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SdpError {
    /// It does not begin with `v=0`.
    #[error("SDP does not begin with v=0")]
    Version,
    /// A line without `x=`.
    #[error("SDP line {0} is not of the form x=…")]
    Line(usize),
    /// An `m=` line that ends early.
    #[error("SDP line {0}: a media line with too few fields")]
    Media(usize),
    /// More sections or codecs than any browser offers.
    #[error("SDP has too many media sections or formats")]
    TooMany,
}

/// Why an offer cannot be taken; each is a `406` (RFC 9725 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OfferError {
    /// Neither picture nor sound.
    #[error("the offer has neither video nor audio")]
    Empty,
    /// More than one section of a kind.
    #[error("the offer has more than one {0} section")]
    Several(&'static str),
    /// Video, but only in codecs or modes that are not carried.
    #[error("the offer has video, but neither H.264 with packetization-mode 1 nor H.265, VP8, VP9 or AV1")]
    NoPicture,
    /// Audio without Opus and G.711.
    #[error("the offer has audio, but neither Opus nor G.711")]
    NoOpus,
    /// Without ICE credentials or a DTLS fingerprint there is no transport.
    #[error("the offer has no {0}")]
    NoTransport(&'static str),
}

/// Browsers offer some 40 formats in 3 sections.
const MAX_SECTIONS: usize = 16;
const MAX_FORMATS: usize = 128;

/// Who sends, seen from the writer of the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `sendrecv`, also when nothing is said.
    Both,
    /// `sendonly`.
    Send,
    /// `recvonly`.
    Receive,
    /// `inactive`.
    None,
}

/// One format of a media section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedCodec {
    /// RTP payload type.
    pub payload_type: u8,
    /// As written, such as `H264`.
    pub name: String,
    /// Ticks per second.
    pub clock: u32,
    /// For sound; 1 where nothing is said.
    pub channels: u8,
    /// The parameters of `a=fmtp`, as written.
    pub parameters: String,
}

impl OfferedCodec {
    /// A parameter's value, name compared without case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .split(';')
            .filter_map(|p| p.split_once('='))
            .find(|(n, _)| n.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

/// One media section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSection {
    /// `video`, `audio`, `application`.
    pub kind: String,
    /// Zero: rejected, unless bundled only.
    pub port: u16,
    /// `a=bundle-only`: the port of zero means nothing.
    pub bundle_only: bool,
    /// `a=mid`.
    pub mid: Option<String>,
    /// Who sends.
    pub direction: Direction,
    /// Formats in the order of preference.
    pub codecs: Vec<OfferedCodec>,
    /// Attribute lines of the section, without `a=`.
    pub attributes: Vec<String>,
}

impl MediaSection {
    fn wanted(&self) -> bool {
        (self.port != 0 || self.bundle_only) && self.direction != Direction::None
    }

    fn receives(&self) -> bool {
        matches!(self.direction, Direction::Both | Direction::Receive)
    }
}

/// A session description, as far as it is read here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionText {
    /// Attribute lines before the first media section, without `a=`.
    pub attributes: Vec<String>,
    /// Media sections in order.
    pub media: Vec<MediaSection>,
}

impl SessionText {
    /// Reads a description; what is not understood is read over.
    ///
    /// # Errors
    /// [`SdpError`].
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        let mut lines = (1..).zip(text.lines()).map(|(n, l)| (n, l.trim_end())).filter(|(_, l)| !l.is_empty());
        if lines.next().is_none_or(|(_, line)| line != "v=0") {
            return Err(SdpError::Version);
        }
        let mut session = Self::default();
        for (number, line) in lines {
            match line.split_once('=') {
                Some(("m", value)) => session.media.push(media_line(value, number)?),
                Some(("a", value)) => match session.media.last_mut() {
                    Some(section) => attribute(section, value),
                    None => session.attributes.push(value.into()),
                },
                Some((key, _)) if key.len() == 1 => {}
                _ => return Err(SdpError::Line(number)),
            }
            if session.media.len() > MAX_SECTIONS {
                return Err(SdpError::TooMany);
            }
        }
        Ok(session)
    }

    /// The value of the first attribute `name:…`, at session level or in any section.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let value = |line: &'_ String| line.strip_prefix(name).and_then(|l| l.strip_prefix(':')).is_some();
        let mut all = self.attributes.iter().chain(self.media.iter().flat_map(|m| &m.attributes));
        all.find(|l| value(l)).and_then(|l| l.get(name.len() + 1..)).map(str::trim)
    }

    /// ICE user name fragment.
    pub fn ice_ufrag(&self) -> Option<&str> {
        self.attribute("ice-ufrag")
    }

    /// ICE password.
    pub fn ice_password(&self) -> Option<&str> {
        self.attribute("ice-pwd")
    }
}

fn media_line(value: &str, number: usize) -> Result<MediaSection, SdpError> {
    let mut fields = value.split_ascii_whitespace();
    let (Some(kind), Some(port), Some(_protocol)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(SdpError::Media(number));
    };
    let port = port.split('/').next().and_then(|p| p.parse().ok()).ok_or(SdpError::Media(number))?;
    let codecs: Vec<_> = fields.filter_map(|f| f.parse().ok()).map(static_codec).collect();
    if codecs.len() > MAX_FORMATS {
        return Err(SdpError::TooMany);
    }
    Ok(MediaSection {
        kind: kind.into(),
        port,
        bundle_only: false,
        mid: None,
        direction: Direction::Both,
        codecs,
        attributes: Vec::new(),
    })
}

/// What a payload type means as long as no `a=rtpmap` says otherwise: nothing that is carried here.
fn static_codec(payload_type: u8) -> OfferedCodec {
    OfferedCodec { payload_type, name: String::new(), clock: 0, channels: 1, parameters: String::new() }
}

fn attribute(section: &mut MediaSection, value: &str) {
    section.attributes.push(value.into());
    let (name, rest) = value.split_once(':').unwrap_or((value, ""));
    match name {
        "mid" => section.mid = Some(rest.trim().into()),
        "bundle-only" => section.bundle_only = true,
        "sendrecv" => section.direction = Direction::Both,
        "sendonly" => section.direction = Direction::Send,
        "recvonly" => section.direction = Direction::Receive,
        "inactive" => section.direction = Direction::None,
        "rtpmap" | "fmtp" => {
            let Some((payload_type, text)) = rest.trim().split_once(' ') else { return };
            let Some(codec) =
                payload_type.parse::<u8>().ok().and_then(|p| section.codecs.iter_mut().find(|c| c.payload_type == p))
            else {
                return;
            };
            if name == "fmtp" {
                codec.parameters = text.trim().into();
                return;
            }
            let mut parts = text.trim().split('/');
            codec.name = parts.next().unwrap_or("").into();
            codec.clock = parts.next().and_then(|c| c.parse().ok()).unwrap_or(0);
            codec.channels = parts.next().and_then(|c| c.parse().ok()).unwrap_or(1);
        }
        _ => {}
    }
}

/// H.264 profiles by what `profile-level-id` says (RFC 6184 §8.1, table 5), best first for a stream that everybody plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// 42e0xx and its spellings.
    ConstrainedBaseline,
    /// 4200xx.
    Baseline,
    /// 4d00xx.
    Main,
    /// 640cxx.
    ConstrainedHigh,
    /// 6400xx.
    High,
}

impl Profile {
    /// The profile in a `profile-level-id`; absent means baseline (RFC 6184 §8.1). `None` for profiles that are not carried.
    pub fn parse(profile_level_id: Option<&str>) -> Option<Self> {
        let Some(id) = profile_level_id else { return Some(Self::Baseline) };
        let id = u32::from_str_radix(id, 16).ok().filter(|_| id.len() == 6)?;
        let (profile, constraints) = ((id >> 16) & 0xFF, (id >> 8) & 0xFF);
        match (profile, constraints) {
            (0x42, c) if c & 0x4F == 0x40 => Some(Self::ConstrainedBaseline),
            (0x4D, c) if c & 0x8F == 0x80 => Some(Self::ConstrainedBaseline),
            (0x58, c) if c & 0xCF == 0xC0 => Some(Self::ConstrainedBaseline),
            (0x42, c) if c & 0x4F == 0 => Some(Self::Baseline),
            (0x58, c) if c & 0xCF == 0x80 => Some(Self::Baseline),
            (0x4D, c) if c & 0xAF == 0 => Some(Self::Main),
            (0x64, 0x0C) => Some(Self::ConstrainedHigh),
            (0x64, 0) => Some(Self::High),
            _ => None,
        }
    }
}

impl Profile {
    /// That of a stream, by the three bytes behind the header of its sequence parameter set.
    pub fn of(bytes: [u8; 3]) -> Option<Self> {
        let [profile, constraints, level] = bytes;
        Self::parse(Some(&format!("{profile:02x}{constraints:02x}{level:02x}")))
    }
}

/// What is taken from an offer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    /// The codecs of the picture, the best first; empty: no video. Of a publisher there is one.
    pub video: Vec<TakenPicture>,
    /// The payload type under which the one picture is sent again (RFC 4588), where it is offered. None of several: what is sent again
    /// then goes under its own, because such a type stands for one codec.
    pub retransmission: Option<u8>,
    /// Opus; `None`: no sound but what follows.
    pub audio: Option<OfferedCodec>,
    /// G.711, of a reader's offer beside Opus, of a publisher's where there is no Opus.
    pub telephone: Option<(G711Law, OfferedCodec)>,
}

/// A codec of the picture, by its payload type and parameters in the offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenPicture {
    /// Which.
    pub codec: Codec,
    /// As it was offered.
    pub format: OfferedCodec,
}

/// Chooses the codecs of an offer: H.264 in packetization mode 1, constrained baseline before others and the offer's order among
/// equals, whatever stands before it, because everybody plays it; else the first picture that is carried. Opus at 48 kHz.
///
/// # Errors
/// [`OfferError`]; then nothing of the offer is taken, because a publisher whose sound or picture is silently dropped never
/// learns why.
pub fn take_offer(session: &SessionText) -> Result<Taken, OfferError> {
    let one = |kind: &'static str| {
        let mut sections = session.media.iter().filter(|m| m.kind == kind && m.wanted());
        let first = sections.next();
        match sections.next() {
            Some(_) => Err(OfferError::Several(kind)),
            None => Ok(first),
        }
    };
    let (video, audio) = (one("video")?, one("audio")?);
    if video.is_none() && audio.is_none() {
        return Err(OfferError::Empty);
    }
    for needed in ["ice-ufrag", "ice-pwd", "fingerprint"] {
        session.attribute(needed).ok_or(OfferError::NoTransport(needed))?;
    }
    let picture = |section| pictures(section).into_iter().next().ok_or(OfferError::NoPicture);
    let picture = video.map(picture).transpose()?;
    let retransmission =
        video.zip(picture.as_ref()).and_then(|(section, taken)| retransmission(section, &taken.format));
    let sound = audio.and_then(opus);
    let telephone = audio.filter(|_| sound.is_none()).and_then(|section| telephone(section, &ANY_LAW));
    if audio.is_some() && sound.is_none() && telephone.is_none() {
        return Err(OfferError::NoOpus);
    }
    Ok(Taken { video: picture.into_iter().collect(), retransmission, audio: sound, telephone })
}

/// Chooses what a reader's offer is answered with. A kind that the reader offers in no codec carried here is left out, and the
/// rest plays. `tracks` are those of the path, where they are known: its picture's codec is taken where the offer has it, of H.264 the
/// format that names its profile, or the best one, because decoders take more than they name. Otherwise all are taken, H.264 first.
///
/// # Errors
/// [`OfferError`] where nothing at all could be played.
pub fn take_read_offer(session: &SessionText, tracks: Option<&TrackSet>) -> Result<Taken, OfferError> {
    let wanted = |kind: &'static str| session.media.iter().find(|m| m.kind == kind && m.wanted() && m.receives());
    let (video, audio) = (wanted("video"), wanted("audio"));
    if video.is_none() && audio.is_none() {
        return Err(OfferError::Empty);
    }
    for needed in ["ice-ufrag", "ice-pwd", "fingerprint"] {
        session.attribute(needed).ok_or(OfferError::NoTransport(needed))?;
    }
    let carried = tracks.and_then(|tracks| tracks.first(MediaKind::Video)).map(|track| &*track.params);
    let exact = video.zip(carried).and_then(|(section, params)| fitting(section, params));
    let pictures = match (exact, video) {
        (Some(picture), _) => vec![picture],
        (None, section) => section.map(pictures).unwrap_or_default(),
    };
    let retransmission = match (video, pictures.as_slice()) {
        (Some(section), [picture]) => retransmission(section, &picture.format),
        _ => None,
    };
    let sound = audio.and_then(opus);
    let carried = tracks.and_then(|tracks| tracks.first(MediaKind::Audio)).map(|track| &*track.params);
    let laws = match carried {
        None => ANY_LAW.to_vec(),
        Some(CodecParams::G711(params)) if *params == G711Params::telephone(params.law) => vec![params.law],
        Some(_) => Vec::new(),
    };
    let telephone = audio.and_then(|section| telephone(section, &laws));
    match (pictures.is_empty(), sound.is_none() && telephone.is_none()) {
        (true, true) if video.is_some() => Err(OfferError::NoPicture),
        (true, true) => Err(OfferError::NoOpus),
        _ => Ok(Taken { video: pictures, retransmission, audio: sound, telephone }),
    }
}

/// The codec of a format that can be carried.
fn carried(format: &OfferedCodec) -> Option<Codec> {
    let is = |name: &str| format.name.eq_ignore_ascii_case(name) && format.clock == 90_000;
    let h264 = || format.parameter("packetization-mode") == Some("1") && h264_profile(format).is_some();
    // Several streams for one picture (RFC 7798 §7.1) are nobody's here.
    let h265 = || format.parameter("tx-mode").is_none_or(|mode| mode.eq_ignore_ascii_case("SRST"));
    match () {
        () if is("H264") && h264() => Some(Codec::H264),
        () if is("H265") && h265() => Some(Codec::H265),
        () if is("VP8") => Some(Codec::Vp8),
        () if is("VP9") => Some(Codec::Vp9),
        () if is("AV1") => Some(Codec::Av1),
        () => None,
    }
}

fn h264_profile(format: &OfferedCodec) -> Option<Profile> {
    Profile::parse(format.parameter("profile-level-id"))
}

/// What of a section can be carried, each codec once: H.264 in its best profile first, the others in the offer's order.
fn pictures(section: &MediaSection) -> Vec<TakenPicture> {
    let formats = section.codecs.iter().filter_map(|format| Some((carried(format)?, format)));
    let h264 =
        formats.clone().filter(|(codec, _)| *codec == Codec::H264).min_by_key(|(_, format)| h264_profile(format));
    let mut pictures: Vec<TakenPicture> = Vec::new();
    for (codec, format) in h264.into_iter().chain(formats) {
        if pictures.iter().all(|taken| taken.codec != codec) {
            pictures.push(TakenPicture { codec, format: format.clone() });
        }
    }
    pictures
}

/// The format of a section that decodes a picture with these parameters.
fn fitting(section: &MediaSection, params: &CodecParams) -> Option<TakenPicture> {
    let codec = params.codec();
    let mut formats = section.codecs.iter().filter(|format| carried(format) == Some(codec));
    // What is meant where nothing is said: RFC 9628 §7, the AV1 format §7.2.1.
    let profile = |format: &OfferedCodec, name| format.parameter(name).map_or(Some(0), |text| text.parse::<u8>().ok());
    let format = match params {
        CodecParams::H264(params) => {
            let own = Profile::of(params.profile_bytes());
            let exact = formats.clone().find(|format| h264_profile(format) == own);
            exact.or_else(|| formats.min_by_key(|format| h264_profile(format)))
        }
        CodecParams::Vp9(params) => formats.find(|format| profile(format, "profile-id") == Some(params.profile())),
        CodecParams::Av1(params) => {
            formats.find(|format| profile(format, "profile") == Some(params.profile_level_tier().0))
        }
        _ => formats.next(),
    };
    format.map(|format| TakenPicture { codec, format: format.clone() })
}

fn retransmission(section: &MediaSection, of: &OfferedCodec) -> Option<u8> {
    let again = |c: &&OfferedCodec| {
        c.name.eq_ignore_ascii_case("rtx") && c.parameter("apt").and_then(|a| a.parse().ok()) == Some(of.payload_type)
    };
    section.codecs.iter().find(again).map(|c| c.payload_type)
}

/// What most cameras send comes first.
const ANY_LAW: [G711Law; 2] = [G711Law::A, G711Law::Mu];

/// G.711 of the first of these laws that is offered, as telephones have it (RFC 3551 §4.5.14).
fn telephone(section: &MediaSection, laws: &[G711Law]) -> Option<(G711Law, OfferedCodec)> {
    laws.iter().find_map(|law| {
        let name = if *law == G711Law::A { "PCMA" } else { "PCMU" };
        let is = |c: &&OfferedCodec| c.name.eq_ignore_ascii_case(name) && c.clock == 8000 && c.channels == 1;
        section.codecs.iter().find(is).map(|format| (*law, format.clone()))
    })
}

fn opus(section: &MediaSection) -> Option<OfferedCodec> {
    section.codecs.iter().find(|c| c.name.eq_ignore_ascii_case("opus") && c.clock == 48_000 && c.channels == 2).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use media::{ClockRate, H264Params, Track, TrackId, Vp8Params, Vp9Params};
    use std::sync::Arc;

    const TRANSPORT: &str = "a=ice-ufrag:u\r\na=ice-pwd:p\r\na=fingerprint:sha-256 00\r\n";
    const VIDEO: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 106\r\na=mid:0\r\na=sendonly\r\na=rtpmap:96 VP8/90000\r\n\
        a=rtpmap:97 H264/90000\r\na=fmtp:97 packetization-mode=0;profile-level-id=42e01f\r\n\
        a=rtpmap:102 H264/90000\r\na=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f\r\n\
        a=rtpmap:106 h264/90000\r\na=fmtp:106 packetization-mode=1; profile-level-id=42e01f\r\n";
    const AUDIO: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 0 111\r\na=mid:1\r\na=rtpmap:111 opus/48000/2\r\n";

    fn take(parts: &[&str]) -> Result<(Option<u8>, Option<u8>), OfferError> {
        let text = format!("v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\n{}", parts.concat());
        let taken = take_offer(&SessionText::parse(&text).unwrap())?;
        Ok((taken.video.first().map(|c| c.format.payload_type), taken.audio.map(|c| c.payload_type)))
    }

    #[test]
    fn offers() {
        let check = |parts: &[&str], want| assert_eq!(take(parts), want, "{parts:?}");
        check(&[TRANSPORT, VIDEO, AUDIO], Ok((Some(106), Some(111))));
        check(&[AUDIO, TRANSPORT], Ok((None, Some(111))));
        check(&[TRANSPORT], Err(OfferError::Empty));
        check(&[TRANSPORT, VIDEO, VIDEO], Err(OfferError::Several("video")));
        check(&[VIDEO, AUDIO], Err(OfferError::NoTransport("ice-ufrag")));
        check(&[TRANSPORT, "m=video 9 X 96\r\na=rtpmap:96 VP8/90000\r\n"], Ok((Some(96), None)));
        let others =
            "m=video 9 X 96 97 98\r\na=rtpmap:96 H264/90000\r\na=rtpmap:97 AV1/90000\r\na=rtpmap:98 VP8/90000\r\n";
        check(&[TRANSPORT, others], Ok((Some(97), None)));
        let layers = "m=video 9 X 96\r\na=rtpmap:96 H265/90000\r\na=fmtp:96 tx-mode=MRST\r\n";
        check(&[TRANSPORT, layers], Err(OfferError::NoPicture));
        check(&[TRANSPORT, "m=audio 9 X 0\r\n"], Err(OfferError::NoOpus));
        check(&[TRANSPORT, &VIDEO.replace("video 9", "video 0"), AUDIO], Ok((None, Some(111))));
        check(&[TRANSPORT, &AUDIO.replace("audio 9", "audio 0"), "a=bundle-only\r\n"], Ok((None, Some(111))));
    }

    /// A path's tracks: a picture that is coded so.
    fn carrying(params: CodecParams) -> TrackSet {
        [Track { id: TrackId(0), clock: ClockRate::VIDEO, params: Arc::new(params) }].into_iter().collect()
    }

    fn h264(profile: &[u8; 3]) -> TrackSet {
        // 320×240 as x264 writes it, but for the profile.
        let rest =
            [0xDA, 0x05, 0x07, 0xE8, 0x40, 0x00, 0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x0C, 0x03, 0xC5, 0x0A, 0xA8];
        let sps = [&[0x67], &profile[..], &rest].concat();
        carrying(CodecParams::H264(
            H264Params::new(sps.into(), vec![Bytes::from_static(&[0x68, 0xCE, 0x0F, 0xC8])]).unwrap(),
        ))
    }

    #[test]
    fn readers() {
        let read = |parts: &[&str], tracks: Option<&TrackSet>| {
            let text = format!("v=0\r\n{}", parts.concat().replace("sendonly", "recvonly"));
            let taken = take_read_offer(&SessionText::parse(&text).unwrap(), tracks)?;
            let pictures: Vec<_> = taken.video.iter().map(|c| c.format.payload_type).collect();
            Ok((pictures, taken.audio.map(|c| c.payload_type)))
        };
        let check = |parts: &[&str], tracks: Option<TrackSet>, want: Result<(&[u8], Option<u8>), OfferError>| {
            let got = read(parts, tracks.as_ref());
            assert_eq!(got, want.map(|(pictures, sound)| (pictures.to_vec(), sound)), "{parts:?} {tracks:?}");
        };
        check(&[TRANSPORT, VIDEO, AUDIO], None, Ok((&[106, 96], Some(111))));
        check(&[TRANSPORT, VIDEO, AUDIO], Some(h264(&[0x42, 0, 0x0C])), Ok((&[102], Some(111))));
        check(&[TRANSPORT, VIDEO, AUDIO], Some(h264(&[0x4D, 0, 0x0C])), Ok((&[106], Some(111))));
        let vp8 = || Some(carrying(CodecParams::Vp8(Vp8Params::new(320, 240))));
        check(&[TRANSPORT, VIDEO, AUDIO], vp8(), Ok((&[96], Some(111))));
        let vp9 = |profile| {
            Some(carrying(CodecParams::Vp9(
                Vp9Params::from_vpcc(&[profile, 20, 0x82, 2, 2, 2, 0, 0], 320, 240).unwrap(),
            )))
        };
        let two = "m=video 9 X 98 99\r\na=rtpmap:98 VP9/90000\r\na=rtpmap:99 VP9/90000\r\na=fmtp:99 profile-id=2\r\n";
        check(&[TRANSPORT, two, AUDIO], vp9(0), Ok((&[98], Some(111))));
        check(&[TRANSPORT, two, AUDIO], vp9(2), Ok((&[99], Some(111))));
        // What is carried may change: all that is offered is taken.
        check(&[TRANSPORT, two, AUDIO], vp8(), Ok((&[98], Some(111))));
        check(&[TRANSPORT, VIDEO, AUDIO], vp9(0), Ok((&[106, 96], Some(111))));
        // A browser without any of it still hears.
        check(&[TRANSPORT, "m=video 9 X 96\r\na=rtpmap:96 VP7/90000\r\n", AUDIO], None, Ok((&[], Some(111))));
        check(&[TRANSPORT, "m=video 9 X 96\r\na=rtpmap:96 VP7/90000\r\n"], None, Err(OfferError::NoPicture));
        check(&[TRANSPORT, "m=audio 9 X 0\r\n"], None, Err(OfferError::NoOpus));
        check(&[TRANSPORT], None, Err(OfferError::Empty));
        let sends = format!("v=0\r\n{TRANSPORT}{VIDEO}");
        assert_eq!(take_read_offer(&SessionText::parse(&sends).unwrap(), None), Err(OfferError::Empty));
    }

    #[test]
    fn telephones() {
        const BOTH: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\n\
            a=rtpmap:8 PCMA/8000\r\n";
        let session = |sound: &str| SessionText::parse(&format!("v=0\r\n{TRANSPORT}{sound}")).unwrap();
        let read = |sound: &str, tracks: Option<CodecParams>| {
            let taken = take_read_offer(&session(sound), tracks.map(carrying).as_ref()).unwrap();
            (taken.audio.map(|c| c.payload_type), taken.telephone.map(|(law, c)| (law, c.payload_type)))
        };
        let g711 = |law| Some(CodecParams::G711(G711Params::telephone(law)));
        assert_eq!(read(BOTH, g711(G711Law::Mu)), (Some(111), Some((G711Law::Mu, 0))));
        assert_eq!(read(BOTH, g711(G711Law::A)), (Some(111), Some((G711Law::A, 8))));
        assert_eq!(read(BOTH, None), (Some(111), Some((G711Law::A, 8))), "whatever comes");
        let wide = G711Params { channels: 2, ..G711Params::telephone(G711Law::A) };
        assert_eq!(read(BOTH, Some(CodecParams::G711(wide))), (Some(111), None), "no telephone's");
        assert_eq!(read(BOTH, Some(CodecParams::Opus(media::OpusParams::WEBRTC))), (Some(111), None));
        let publish =
            |sound: &str| take_offer(&session(sound)).map(|t| (t.audio.is_some(), t.telephone.map(|(law, _)| law)));
        assert_eq!(publish(BOTH), Ok((true, None)));
        assert_eq!(publish(&BOTH.replace("opus", "red")), Ok((false, Some(G711Law::A))));
        assert_eq!(publish("m=audio 9 X 9\r\na=rtpmap:9 G722/8000\r\n"), Err(OfferError::NoOpus));
    }

    #[test]
    fn retransmissions() {
        let text = format!("v=0\r\n{TRANSPORT}{VIDEO}a=rtpmap:107 rtx/90000\r\na=fmtp:107 apt=106\r\n");
        let text = text.replace("96 97 102 106", "96 97 102 106 107");
        let session = SessionText::parse(&text).unwrap();
        assert_eq!(take_offer(&session).unwrap().retransmission, Some(107));
        let session = SessionText::parse(&text.replace("sendonly", "recvonly")).unwrap();
        assert_eq!(take_read_offer(&session, Some(&h264(&[0x42, 0xE0, 0x0C]))).unwrap().retransmission, Some(107));
        assert_eq!(take_read_offer(&session, None).unwrap().retransmission, None, "one type stands for one codec");
    }

    #[test]
    fn profiles() {
        let check = |id: &str, want| assert_eq!(Profile::parse(Some(id)), want, "{id}");
        check("42e01f", Some(Profile::ConstrainedBaseline));
        check("42c029", Some(Profile::ConstrainedBaseline));
        check("4d8020", Some(Profile::ConstrainedBaseline));
        check("42001f", Some(Profile::Baseline));
        check("4d001f", Some(Profile::Main));
        check("640c1f", Some(Profile::ConstrainedHigh));
        check("640032", Some(Profile::High));
        check("f4001f", None);
        check("42e0", None);
        assert_eq!(Profile::parse(None), Some(Profile::Baseline));
    }

    #[test]
    fn refuses() {
        let check = |text: &str, want| assert_eq!(SessionText::parse(text), Err(want), "{text}");
        check("", SdpError::Version);
        check("v=1", SdpError::Version);
        check("v=0\nnonsense", SdpError::Line(2));
        check("v=0\nm=video 9", SdpError::Media(2));
        check(&format!("v=0\n{}", "m=video 9 X\n".repeat(20)), SdpError::TooMany);
    }
}
