//! What an offer contains and which codecs are taken from it: H.264 wherever it stands in the list, Opus for sound.
//!
//! Belongs here: the lines of RFC 8866 and RFC 8829 that this decision needs, read leniently. Not here: the answer as a whole
//! (the WebRTC stack writes it).

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
    /// Video without H.264, or only in modes that are not carried.
    #[error("the offer has video, but no H.264 with packetization-mode 1")]
    NoH264,
    /// Audio without Opus.
    #[error("the offer has audio, but no Opus")]
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
    /// H.264, by its payload type and parameters in the offer; `None`: no video.
    pub video: Option<OfferedCodec>,
    /// The payload type under which that H.264 is sent again (RFC 4588), where it is offered.
    pub retransmission: Option<u8>,
    /// Opus; `None`: no sound.
    pub audio: Option<OfferedCodec>,
}

/// Chooses the codecs of an offer: H.264 in packetization mode 1, constrained baseline before others and the offer's order among
/// equals, whatever stands before it; Opus at 48 kHz.
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
    let section = video;
    let video = section.map(|section| h264(section).ok_or(OfferError::NoH264)).transpose()?;
    let retransmission = section.zip(video.as_ref()).and_then(|(section, codec)| retransmission(section, codec));
    let audio = audio.map(|section| opus(section).ok_or(OfferError::NoOpus)).transpose()?;
    Ok(Taken { video, retransmission, audio })
}

/// Chooses what a reader's offer is answered with. A kind that the reader offers in no codec carried here is left out, and the
/// rest plays. `profile` is that of the stream, where it is known: the format that names it is preferred, and the best one after
/// that, because decoders take more than they name.
///
/// # Errors
/// [`OfferError`] where nothing at all could be played.
pub fn take_read_offer(session: &SessionText, profile: Option<Profile>) -> Result<Taken, OfferError> {
    let wanted = |kind: &'static str| session.media.iter().find(|m| m.kind == kind && m.wanted() && m.receives());
    let (video, audio) = (wanted("video"), wanted("audio"));
    if video.is_none() && audio.is_none() {
        return Err(OfferError::Empty);
    }
    for needed in ["ice-ufrag", "ice-pwd", "fingerprint"] {
        session.attribute(needed).ok_or(OfferError::NoTransport(needed))?;
    }
    let codec = video.and_then(|section| {
        let exact = formats(section).find(|(offered, _)| Some(*offered) == profile);
        exact.or_else(|| formats(section).min_by_key(|(offered, _)| *offered)).map(|(_, c)| c.clone())
    });
    let retransmission = video.zip(codec.as_ref()).and_then(|(section, codec)| retransmission(section, codec));
    let sound = audio.and_then(opus);
    match (&codec, &sound) {
        (None, None) if video.is_some() => Err(OfferError::NoH264),
        (None, None) => Err(OfferError::NoOpus),
        _ => Ok(Taken { video: codec, retransmission, audio: sound }),
    }
}

fn h264(section: &MediaSection) -> Option<OfferedCodec> {
    formats(section).min_by_key(|(profile, _)| *profile).map(|(_, c)| c.clone())
}

/// The H.264 formats of a section that can be carried.
fn formats(section: &MediaSection) -> impl Iterator<Item = (Profile, &OfferedCodec)> {
    let usable = |c: &&OfferedCodec| {
        c.name.eq_ignore_ascii_case("H264") && c.clock == 90_000 && c.parameter("packetization-mode") == Some("1")
    };
    section.codecs.iter().filter(usable).filter_map(|c| Some((Profile::parse(c.parameter("profile-level-id"))?, c)))
}

fn retransmission(section: &MediaSection, of: &OfferedCodec) -> Option<u8> {
    let again = |c: &&OfferedCodec| {
        c.name.eq_ignore_ascii_case("rtx") && c.parameter("apt").and_then(|a| a.parse().ok()) == Some(of.payload_type)
    };
    section.codecs.iter().find(again).map(|c| c.payload_type)
}

fn opus(section: &MediaSection) -> Option<OfferedCodec> {
    section.codecs.iter().find(|c| c.name.eq_ignore_ascii_case("opus") && c.clock == 48_000 && c.channels == 2).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSPORT: &str = "a=ice-ufrag:u\r\na=ice-pwd:p\r\na=fingerprint:sha-256 00\r\n";
    const VIDEO: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 106\r\na=mid:0\r\na=sendonly\r\na=rtpmap:96 VP8/90000\r\n\
        a=rtpmap:97 H264/90000\r\na=fmtp:97 packetization-mode=0;profile-level-id=42e01f\r\n\
        a=rtpmap:102 H264/90000\r\na=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f\r\n\
        a=rtpmap:106 h264/90000\r\na=fmtp:106 packetization-mode=1; profile-level-id=42e01f\r\n";
    const AUDIO: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 0 111\r\na=mid:1\r\na=rtpmap:111 opus/48000/2\r\n";

    fn take(parts: &[&str]) -> Result<(Option<u8>, Option<u8>), OfferError> {
        let text = format!("v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\n{}", parts.concat());
        let taken = take_offer(&SessionText::parse(&text).unwrap())?;
        Ok((taken.video.map(|c| c.payload_type), taken.audio.map(|c| c.payload_type)))
    }

    #[test]
    fn offers() {
        let check = |parts: &[&str], want| assert_eq!(take(parts), want, "{parts:?}");
        check(&[TRANSPORT, VIDEO, AUDIO], Ok((Some(106), Some(111))));
        check(&[AUDIO, TRANSPORT], Ok((None, Some(111))));
        check(&[TRANSPORT], Err(OfferError::Empty));
        check(&[TRANSPORT, VIDEO, VIDEO], Err(OfferError::Several("video")));
        check(&[VIDEO, AUDIO], Err(OfferError::NoTransport("ice-ufrag")));
        check(&[TRANSPORT, "m=video 9 X 96\r\na=rtpmap:96 VP8/90000\r\n"], Err(OfferError::NoH264));
        check(&[TRANSPORT, "m=audio 9 X 0\r\n"], Err(OfferError::NoOpus));
        check(&[TRANSPORT, &VIDEO.replace("video 9", "video 0"), AUDIO], Ok((None, Some(111))));
        check(&[TRANSPORT, &AUDIO.replace("audio 9", "audio 0"), "a=bundle-only\r\n"], Ok((None, Some(111))));
    }

    #[test]
    fn readers() {
        let read = |parts: &[&str], profile| {
            let text = format!("v=0\r\n{}", parts.concat().replace("sendonly", "recvonly"));
            let taken = take_read_offer(&SessionText::parse(&text).unwrap(), profile)?;
            Ok((taken.video.map(|c| c.payload_type), taken.audio.map(|c| c.payload_type)))
        };
        let check = |parts: &[&str], profile, want| assert_eq!(read(parts, profile), want, "{parts:?} {profile:?}");
        check(&[TRANSPORT, VIDEO, AUDIO], None, Ok((Some(106), Some(111))));
        check(&[TRANSPORT, VIDEO, AUDIO], Some(Profile::Baseline), Ok((Some(102), Some(111))));
        check(&[TRANSPORT, VIDEO, AUDIO], Some(Profile::High), Ok((Some(106), Some(111))));
        // A browser without H.264 still hears.
        check(&[TRANSPORT, "m=video 9 X 96\r\na=rtpmap:96 VP8/90000\r\n", AUDIO], None, Ok((None, Some(111))));
        check(&[TRANSPORT, "m=video 9 X 96\r\na=rtpmap:96 VP8/90000\r\n"], None, Err(OfferError::NoH264));
        check(&[TRANSPORT, "m=audio 9 X 0\r\n"], None, Err(OfferError::NoOpus));
        check(&[TRANSPORT], None, Err(OfferError::Empty));
        let sends = format!("v=0\r\n{TRANSPORT}{VIDEO}");
        assert_eq!(take_read_offer(&SessionText::parse(&sends).unwrap(), None), Err(OfferError::Empty));
    }

    #[test]
    fn retransmissions() {
        let text = format!("v=0\r\n{TRANSPORT}{VIDEO}a=rtpmap:107 rtx/90000\r\na=fmtp:107 apt=106\r\n");
        let text = text.replace("96 97 102 106", "96 97 102 106 107");
        assert_eq!(take_offer(&SessionText::parse(&text).unwrap()).unwrap().retransmission, Some(107));
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
