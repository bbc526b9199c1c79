//! Tags to access units: the entrance of every RTMP publisher and every FLV that is pulled.
//!
//! Not here: the timeline's repair (`hub`), which tracks a path takes (`relay`).

use super::{AudioCodec, AudioTag, FlvError, Metadata, TagKind, VideoCodec, VideoTag};
use crate::entrance::VideoEntrance;
use bytes::Bytes;
use media::{
    AacError, AacParams, AccessUnit, ClockRate, CodecParams, MediaTime, MpegAudioHeader, OpusParams, Track, TrackId,
    UnitKind, Unwrapper, VideoUnit, opus_packet_samples,
};
use std::borrow::Cow;
use std::sync::Arc;

/// What a tag turned out to be.
#[derive(Debug, Clone)]
pub enum Event {
    /// A track appeared, or its parameters changed; units that follow carry the new ones.
    Track(Track),
    /// A picture or a sound.
    Unit(AccessUnit),
    /// The publisher's `onMetaData`.
    Metadata(Metadata),
    /// A codec that is not carried, by name; said once. The rest of the stream goes on.
    Skipped(String),
}

/// The events of one tag, in order: at most two.
#[derive(Debug, Default)]
pub struct Events {
    first: Option<Event>,
    second: Option<Event>,
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.first.take().or_else(|| self.second.take())
    }
}

impl Events {
    fn one(event: Event) -> Self {
        Self { first: Some(event), second: None }
    }
}

/// One publisher's tags to access units, on a clock of milliseconds that does not wrap. Video is track 0, sound track 1.
#[derive(Debug)]
pub struct Demuxer {
    clock: Unwrapper<32>,
    /// Of the codec that was announced last, or came first.
    entrance: Option<VideoEntrance>,
    video: Option<Arc<CodecParams>>,
    audio: Option<Arc<CodecParams>>,
    dropped: u64,
    skipped: Vec<String>,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new()
    }
}

/// More names than this in one stream are noise, not codecs.
const MAX_SKIPPED: usize = 8;

impl Demuxer {
    /// The track of the picture.
    pub const VIDEO: TrackId = TrackId(0);
    /// The track of the sound.
    pub const AUDIO: TrackId = TrackId(1);

    /// A demuxer that knows no track yet.
    pub fn new() -> Self {
        Self { clock: Unwrapper::new(), entrance: None, video: None, audio: None, dropped: 0, skipped: Vec::new() }
    }

    /// Takes the body of one tag or RTMP message. `timestamp_ms` is the message's own time, wrapping at 32 bits.
    ///
    /// Payloads are slices of `body` wherever its framing is canonical already.
    ///
    /// # Errors
    /// [`FlvError`] for what is malformed. The demuxer can be used further; whether the session goes on is the caller's choice.
    pub fn push(&mut self, kind: TagKind, timestamp_ms: u32, body: &Bytes) -> Result<Events, FlvError> {
        match kind {
            TagKind::Video => self.video(timestamp_ms, VideoTag::parse(body)?),
            TagKind::Audio => self.audio(timestamp_ms, AudioTag::parse(body)?),
            TagKind::Script => Ok(Metadata::parse(body)?.map(Event::Metadata).map(Events::one).unwrap_or_default()),
        }
    }

    /// Frames that came before their parameters, or of another codec than the parameters.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Names of what was not carried, in the order it appeared.
    pub fn skipped_tracks(&self) -> &[String] {
        &self.skipped
    }

    fn video(&mut self, timestamp_ms: u32, tag: VideoTag) -> Result<Events, FlvError> {
        match tag {
            VideoTag::SequenceStart(codec, record) => {
                if self.entrance.as_ref().is_none_or(|entrance| entrance.codec() != codec.codec()) {
                    self.entrance = VideoEntrance::new(codec.codec());
                }
                let Some(entrance) = &mut self.entrance else { return Ok(Events::default()) };
                let params = entrance.configure(&record, None)?;
                Ok(params.and_then(|params| self.announce_video(&params)).map(Events::one).unwrap_or_default())
            }
            VideoTag::Frame { codec, composition, data, .. } => {
                let dts = self.time(timestamp_ms);
                let Some(unit) = self.picture(codec, &data)? else { return Ok(Events::default()) };
                let first = self.announce_video(&unit.params);
                let second = Some(Event::Unit(AccessUnit {
                    track: Self::VIDEO,
                    dts,
                    pts: dts.plus(MediaTime::new(i64::from(composition), ClockRate::MILLI)),
                    duration: None,
                    kind: unit.kind,
                    captured: None,
                    params: unit.params,
                    payload: unit.payload,
                }));
                Ok(Events { first, second })
            }
            VideoTag::SequenceEnd(_) | VideoTag::Silent => Ok(Events::default()),
            VideoTag::Unsupported(name) => Ok(self.skip(name)),
        }
    }

    /// The picture in canonical form; `None` where there is none, or nothing to decode it with.
    fn picture(&mut self, codec: VideoCodec, data: &Bytes) -> Result<Option<VideoUnit>, FlvError> {
        if self.entrance.is_none() {
            // Some encoders send no header: parameters may come in band.
            self.entrance = VideoEntrance::new(codec.codec());
        }
        let Some(entrance) = self.entrance.as_mut().filter(|entrance| entrance.codec() == codec.codec()) else {
            self.dropped += 1;
            return Ok(None);
        };
        match entrance.unit(data) {
            Err(error) if error.is_early() => {
                self.dropped += 1;
                Ok(None)
            }
            unit => Ok(unit?),
        }
    }

    fn audio(&mut self, timestamp_ms: u32, tag: AudioTag) -> Result<Events, FlvError> {
        match tag {
            AudioTag::SequenceStart(codec, header) => {
                let params = match codec {
                    AudioCodec::Aac => match AacParams::parse(header) {
                        Ok(params) => CodecParams::Aac(params),
                        Err(AacError::ObjectType(object)) => {
                            return Ok(self.skip(format!("MPEG-4 Audio object type {object}").into()));
                        }
                        Err(AacError::Channels(config)) => {
                            return Ok(self.skip(format!("MPEG-4 Audio channel configuration {config}").into()));
                        }
                        Err(error) => return Err(error.into()),
                    },
                    AudioCodec::Opus => CodecParams::Opus(OpusParams::from_head(&header)?),
                    // They have no header of their own.
                    AudioCodec::MpegAudio | AudioCodec::G711(_) => return Ok(Events::default()),
                };
                Ok(self.announce_audio(params).map(Events::one).unwrap_or_default())
            }
            AudioTag::Frame(codec, payload) => {
                let dts = self.time(timestamp_ms);
                let Some((first, payload)) = self.announce_in_band(codec, payload) else {
                    self.dropped += 1;
                    return Ok(Events::default());
                };
                let duration = match (codec, self.audio.as_deref()) {
                    (AudioCodec::Aac, Some(CodecParams::Aac(params))) => {
                        Some(MediaTime::new(i64::from(params.frame_samples()), params.rate()))
                    }
                    (AudioCodec::Opus, Some(CodecParams::Opus(_))) => {
                        let samples = opus_packet_samples(&payload)?;
                        Some(MediaTime::new(i64::from(samples), ClockRate::AUDIO_48K))
                    }
                    (AudioCodec::MpegAudio, Some(CodecParams::MpegAudio(params))) => {
                        Some(MediaTime::new(i64::from(params.frame_samples), params.rate))
                    }
                    (AudioCodec::G711(_), Some(CodecParams::G711(params))) => {
                        Some(MediaTime::new(i64::try_from(params.samples(payload.len())).unwrap_or(0), params.rate))
                    }
                    _ => None,
                };
                let (Some(params), true) = (&self.audio, duration.is_some()) else {
                    self.dropped += 1;
                    return Ok(Events::default());
                };
                let second = Some(Event::Unit(AccessUnit {
                    track: Self::AUDIO,
                    dts,
                    pts: dts,
                    duration,
                    kind: UnitKind::Audio,
                    captured: None,
                    params: Arc::clone(params),
                    payload,
                }));
                Ok(Events { first, second })
            }
            AudioTag::SequenceEnd | AudioTag::Silent => Ok(Events::default()),
            AudioTag::Unsupported(name) => Ok(self.skip(name)),
        }
    }

    /// Announces what a frame of a codec without header says of itself; answers that and the frame, `None` for a damaged one.
    fn announce_in_band(&mut self, codec: AudioCodec, mut payload: Bytes) -> Option<(Option<Event>, Bytes)> {
        let params = match codec {
            AudioCodec::Aac | AudioCodec::Opus => return Some((None, payload)),
            AudioCodec::G711(params) => CodecParams::G711(params),
            AudioCodec::MpegAudio => {
                let header = MpegAudioHeader::parse(&payload).ok()?;
                if payload.len() < header.bytes {
                    return None;
                }
                payload.truncate(header.bytes);
                CodecParams::MpegAudio(header.params)
            }
        };
        Some((self.announce_audio(params), payload))
    }

    fn time(&mut self, timestamp_ms: u32) -> MediaTime {
        MediaTime::new(self.clock.unwrap(u64::from(timestamp_ms)), ClockRate::MILLI)
    }

    /// The entrance hands out the same `Arc` while nothing changes.
    fn announce_video(&mut self, params: &Arc<CodecParams>) -> Option<Event> {
        if self.video.as_ref().is_some_and(|known| Arc::ptr_eq(known, params)) {
            return None;
        }
        self.video = Some(Arc::clone(params));
        Some(Event::Track(Track { id: Self::VIDEO, clock: ClockRate::MILLI, params: Arc::clone(params) }))
    }

    fn announce_audio(&mut self, params: CodecParams) -> Option<Event> {
        if self.audio.as_deref() == Some(&params) {
            return None;
        }
        let params = Arc::new(params);
        self.audio = Some(Arc::clone(&params));
        Some(Event::Track(Track { id: Self::AUDIO, clock: ClockRate::MILLI, params }))
    }

    fn skip(&mut self, name: Cow<'static, str>) -> Events {
        if self.skipped.len() >= MAX_SKIPPED || self.skipped.iter().any(|known| *known == name) {
            return Events::default();
        }
        self.skipped.push(name.clone().into_owned());
        Events::one(Event::Skipped(name.into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flv::Signalling;
    use crate::testing::{PPS, SPS, VP9_KEY, aac, av1, h264, h265, other_h264, vp9};
    use media::{H264Params, append_length_prefixed};

    #[test]
    fn sound_without_a_header_says_what_it_is_in_every_frame() {
        let mut demuxer = Demuxer::new();
        let mp3 = |length: usize| [&[0x2F, 0xFF, 0xFB, 0x90, 0x64][..], &vec![0; length - 4]].concat();
        assert_eq!(push(&mut demuxer, TagKind::Audio, 0, &mp3(417)), ["track 1 mp4a.6B", "Audio 0 +0"]);
        assert_eq!(push(&mut demuxer, TagKind::Audio, 26, &mp3(417)), ["Audio 26 +0"]);
        // Cut off, and no frame at all.
        assert!(push(&mut demuxer, TagKind::Audio, 52, &mp3(416)).is_empty());
        assert!(push(&mut demuxer, TagKind::Audio, 78, &[0x2F, 1, 2, 3, 4]).is_empty());
        assert_eq!(demuxer.dropped(), 2);
        assert_eq!(push(&mut demuxer, TagKind::Audio, 80, &[0x72, 0xD5, 0x55]), ["track 1 alaw", "Audio 80 +0"]);
        assert_eq!(push(&mut demuxer, TagKind::Audio, 100, &[0x82, 0xFF, 0x7F]), ["track 1 ulaw", "Audio 100 +0"]);
    }

    /// Pushes and writes down what came out in short.
    fn push(demuxer: &mut Demuxer, kind: TagKind, timestamp: u32, body: &[u8]) -> Vec<String> {
        let events = demuxer.push(kind, timestamp, &Bytes::copy_from_slice(body)).unwrap();
        events
            .map(|event| match event {
                Event::Track(track) => format!("track {} {}", track.id.0, track.params.codec_string()),
                Event::Unit(unit) => {
                    format!("{:?} {} +{}", unit.kind, unit.dts.ticks(), unit.pts.minus(unit.dts).ticks())
                }
                Event::Metadata(data) => format!("metadata {:?}", data.width),
                Event::Skipped(name) => format!("skipped {name}"),
            })
            .collect()
    }

    fn start(params: &H264Params) -> Vec<u8> {
        body(VideoTag::SequenceStart(VideoCodec::Avc, params.avcc().into()))
    }

    fn body(tag: VideoTag) -> Vec<u8> {
        let (header, payload) = tag.write(Signalling::Legacy).unwrap();
        [&header[..], &payload].concat()
    }

    fn frame(nals: &[&[u8]], composition: i32) -> Vec<u8> {
        let mut data = Vec::new();
        nals.iter().for_each(|nal| append_length_prefixed(&mut data, nal));
        body(VideoTag::Frame { codec: VideoCodec::Avc, kind: UnitKind::Key, composition, data: data.into() })
    }

    const IDR: &[&[u8]] = &[&[0x65, 1]];
    const SLICE: &[&[u8]] = &[&[0x41, 1]];
    const NONE: [&str; 0] = [];

    #[test]
    fn a_stream_from_its_start() {
        let mut d = Demuxer::new();
        let config = [&[0xAF, 0][..], aac().config()].concat();
        assert_eq!(push(&mut d, TagKind::Video, 0, &start(&h264())), ["track 0 avc1.42c00d"]);
        assert_eq!(push(&mut d, TagKind::Video, 0, &start(&h264())), NONE);
        assert_eq!(push(&mut d, TagKind::Video, 0, &frame(IDR, 0)), ["Key 0 +0"]);
        assert_eq!(push(&mut d, TagKind::Video, 40, &frame(SLICE, 80)), ["Delta 40 +80"]);
        // Sound starts late, and its timestamps are not the picture's.
        assert_eq!(push(&mut d, TagKind::Audio, 41, &config), ["track 1 mp4a.40.2"]);
        assert_eq!(push(&mut d, TagKind::Audio, 41, &[0xAF, 1, 9]), ["Audio 41 +0"]);
        assert_eq!(push(&mut d, TagKind::Audio, 41, &config), NONE);
        assert_eq!(push(&mut d, TagKind::Audio, 62, &[0xAF, 0, 0x14, 0x08]), ["track 1 mp4a.40.2"]);
        assert_eq!(push(&mut d, TagKind::Video, 80, &[0x17, 2, 0, 0, 0]), NONE);
        assert_eq!(push(&mut d, TagKind::Video, 80, &[]), NONE);
        assert_eq!(push(&mut d, TagKind::Audio, 80, &[]), NONE);
        assert_eq!((d.dropped(), d.skipped_tracks().len()), (0, 0));
    }

    #[test]
    fn frames_before_their_parameters_are_dropped() {
        let mut d = Demuxer::new();
        assert_eq!(push(&mut d, TagKind::Video, 0, &frame(IDR, 0)), NONE);
        assert_eq!(push(&mut d, TagKind::Audio, 0, &[0xAF, 1, 9]), NONE);
        assert_eq!(d.dropped(), 2);
        assert_eq!(push(&mut d, TagKind::Video, 1, &start(&h264())), ["track 0 avc1.42c00d"]);
        assert_eq!(push(&mut d, TagKind::Video, 2, &frame(SLICE, 0)), ["Delta 2 +0"]);
    }

    #[test]
    fn parameters_change_by_header_and_in_band() {
        let mut d = Demuxer::new();
        push(&mut d, TagKind::Video, 0, &start(&h264()));
        assert_eq!(push(&mut d, TagKind::Video, 0, &start(&other_h264())), ["track 0 avc1.42c01f"]);
        let in_band = frame(&[&[9, 0xF0], SPS, PPS, IDR[0]], 0);
        assert_eq!(push(&mut d, TagKind::Video, 40, &in_band), ["track 0 avc1.42c00d", "Key 40 +0"]);
        assert_eq!(push(&mut d, TagKind::Video, 80, &in_band), ["Key 80 +0"]);
        // Without any header at all.
        assert_eq!(push(&mut Demuxer::new(), TagKind::Video, 5, &in_band), ["track 0 avc1.42c00d", "Key 5 +0"]);
    }

    #[test]
    fn time_unwraps_over_both_tracks() {
        let mut d = Demuxer::new();
        push(&mut d, TagKind::Video, 0, &start(&h264()));
        push(&mut d, TagKind::Audio, 0, &[&[0xAF, 0][..], aac().config()].concat());
        assert_eq!(push(&mut d, TagKind::Video, 0xFFFF_FFF0, &frame(IDR, 0)), ["Key 4294967280 +0"]);
        assert_eq!(push(&mut d, TagKind::Audio, 0x10, &[0xAF, 1, 9]), ["Audio 4294967312 +0"]);
        assert_eq!(push(&mut d, TagKind::Video, 0xFFFF_FFFF, &frame(SLICE, -2)), ["Delta 4294967295 +-2"]);
    }

    #[test]
    fn what_is_not_carried_has_a_name_and_ends_nothing() {
        let mut d = Demuxer::new();
        assert_eq!(push(&mut d, TagKind::Video, 0, b"\x90vp08\x01"), ["skipped VP8"]);
        assert_eq!(push(&mut d, TagKind::Video, 40, b"\x91vp08\0\0\0\x01"), NONE);
        assert_eq!(push(&mut d, TagKind::Audio, 0, &[0xB2, 1]), ["skipped Speex"]);
        assert_eq!(push(&mut d, TagKind::Audio, 0, &[0xAF, 0, 0x20, 0, 0]), ["skipped MPEG-4 Audio object type 4"]);
        assert_eq!(d.skipped_tracks(), ["VP8", "Speex", "MPEG-4 Audio object type 4"]);
        for i in 0..20_u8 {
            push(&mut d, TagKind::Video, 0, &[0x90, b'x', b'x', b'x', b'a' + i]);
        }
        assert_eq!(d.skipped_tracks().len(), MAX_SKIPPED);
    }

    #[test]
    fn h265_as_phones_send_it_and_by_four_cc() {
        let record = h265().hvcc();
        let mut d = Demuxer::new();
        let legacy = |header: [u8; 5], data: &[u8]| [&header[..], data].concat();
        assert_eq!(push(&mut d, TagKind::Video, 0, &legacy([0x1C, 0, 0, 0, 0], &record)), ["track 0 hvc1.1.6.L60.90"]);
        let key = legacy([0x1C, 1, 0, 0, 80], &[0, 0, 0, 3, 0x28, 1, 9]);
        assert_eq!(push(&mut d, TagKind::Video, 0, &key), ["Key 0 +80"]);
        // A clean random access picture in a tag that says delta: the picture decides.
        let clean = legacy([0x2C, 1, 0, 0, 0], &[0, 0, 0, 3, 0x2A, 1, 9]);
        assert_eq!(push(&mut d, TagKind::Video, 40, &clean), ["Key 40 +0"]);
        assert_eq!(push(&mut d, TagKind::Video, 80, b"\xa3hvc1\0\0\0\x03\x02\x01\x09"), ["Delta 80 +0"]);
        // The codec changes with its header, and not without.
        assert_eq!(push(&mut d, TagKind::Video, 120, &frame(IDR, 0)), NONE);
        assert_eq!(d.dropped(), 1);
        assert_eq!(push(&mut d, TagKind::Video, 120, &start(&h264())), ["track 0 avc1.42c00d"]);
        assert_eq!(push(&mut d, TagKind::Video, 120, &frame(IDR, 0)), ["Key 120 +0"]);
        let error = d.push(TagKind::Video, 0, &Bytes::from_static(b"\x90hvc1\x01")).unwrap_err();
        assert_eq!(error.to_string(), "H.265: HEVC configuration record ends at byte 21");
    }

    #[test]
    fn av1_and_vp9_as_ffmpeg_sends_them() {
        let mut d = Demuxer::new();
        let record = [&b"\x90av01"[..], &av1().av1c()].concat();
        assert_eq!(push(&mut d, TagKind::Video, 0, &record), ["track 0 av01.0.00M.08"]);
        let event = d.push(TagKind::Video, 0, &Bytes::from_static(b"\x91av01\x12\0\x32\x02\x10\x01")).unwrap().next();
        let Some(Event::Unit(unit)) = event else { panic!("a unit, not {event:?}") };
        assert_eq!((unit.kind, &unit.payload[..]), (UnitKind::Key, &[0x32, 2, 0x10, 1][..]));
        // VP9's record does not say the size: the first key picture does.
        let mut d = Demuxer::new();
        let record = [&b"\x90vp09"[..], &vp9().vpcc()].concat();
        assert_eq!(push(&mut d, TagKind::Video, 0, &record), NONE);
        assert_eq!(push(&mut d, TagKind::Video, 0, b"\xa1vp09\x86\0"), NONE);
        let key = [&b"\x91vp09"[..], VP9_KEY].concat();
        assert_eq!(push(&mut d, TagKind::Video, 5, &key), ["track 0 vp09.00.20.08", "Key 5 +0"]);
        assert_eq!(push(&mut d, TagKind::Video, 45, b"\xa1vp09\x86\0"), ["Delta 45 +0"]);
        assert_eq!(d.dropped(), 1);
    }

    #[test]
    fn opus_by_four_cc() {
        let mut d = Demuxer::new();
        let head = [&b"\x90Opus"[..], &OpusParams::WEBRTC.head()].concat();
        assert_eq!(push(&mut d, TagKind::Audio, 0, &head), ["track 1 opus"]);
        let event = d.push(TagKind::Audio, 20, &Bytes::from_static(b"\x91Opus\xfc")).unwrap().next();
        let Some(Event::Unit(unit)) = event else { panic!("a unit, not {event:?}") };
        assert_eq!(unit.duration, Some(MediaTime::new(960, ClockRate::AUDIO_48K)));
        assert_eq!(push(&mut d, TagKind::Audio, 40, &[0xAF, 1, 9]), NONE);
        assert_eq!(d.dropped(), 1);
    }

    #[test]
    fn malformed_bodies_are_errors() {
        let mut d = Demuxer::new();
        push(&mut d, TagKind::Video, 0, &start(&h264()));
        let mut check = |kind, body: &'static [u8]| {
            assert!(d.push(kind, 0, &Bytes::from_static(body)).is_err(), "{body:02x?}");
        };
        check(TagKind::Video, &[0x17, 0, 0, 0, 0, 1]);
        check(TagKind::Video, &[0x17, 1, 0, 0, 0, 0, 0, 0, 9, 1]);
        check(TagKind::Audio, &[0xAF, 0, 0x11]);
        check(TagKind::Audio, b"\x90OpusOpusTags");
        check(TagKind::Script, &[2, 0, 9, 1]);
    }
}
