//! Access units to tags: what one RTMP or HTTP-FLV reader gets.
//!
//! Not here: which units a reader gets and when it skips (`hub`, `relay`), chunks (`proto::rtmp`).

use super::{
    AudioCodec, AudioTag, MAX_BODY, Metadata, Signalling, TagKind, VideoCodec, VideoTag, tag_header, tag_trailer,
};
use bytes::Bytes;
use media::{AccessUnit, Codec, CodecParams, MediaKind, MediaTime, Track, TrackId, TrackSet};
use std::ops::Deref;
use std::sync::Arc;

/// The bytes before a payload, on the stack. Longest is FourCC with composition time: 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SmallHeader {
    bytes: [u8; 16],
    length: u8,
}

impl SmallHeader {
    /// Appends `bytes`; every header written here is known to fit.
    /// The first byte of Enhanced RTMP and the codec's name.
    pub(super) fn put_four_cc(&mut self, first: u8, four_cc: &[u8; 4]) {
        self.put(&[first]);
        self.put(four_cc);
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if let Some(place) = self.bytes.get_mut(usize::from(self.length)) {
                *place = byte;
                self.length += 1;
            }
        }
    }
}

impl Deref for SmallHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }
}

/// One RTMP message or FLV tag. Its body is `header` and `payload` one behind the other, [`MAX_BODY`] bytes at most; the
/// payload is the access unit's own, not a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it carries.
    pub kind: TagKind,
    /// Milliseconds since this reader's first unit, wrapping at 32 bits.
    pub timestamp: u32,
    /// The first bytes of the body.
    pub header: SmallHeader,
    /// The rest of the body.
    pub payload: Bytes,
}

impl Message {
    /// Bytes of the body.
    pub fn body_len(&self) -> usize {
        self.header.len() + self.payload.len()
    }

    /// The body in one piece, copied.
    pub fn body(&self) -> Bytes {
        [&self.header[..], &self.payload].concat().into()
    }

    /// Appends the FLV tag with its PreviousTagSize.
    pub fn write_tag(&self, out: &mut Vec<u8>) {
        if let Some(header) = tag_header(self.kind, self.timestamp, self.body_len()) {
            out.reserve(self.body_len() + 15);
            out.extend_from_slice(&header);
            out.extend_from_slice(&self.header);
            out.extend_from_slice(&self.payload);
            out.extend_from_slice(&tag_trailer(self.body_len()));
        }
    }
}

/// The messages of one unit, in order: at most new metadata, new parameters, and the unit itself.
#[derive(Debug, Default)]
pub struct Messages([Option<Message>; 3]);

impl Iterator for Messages {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.0.iter_mut().find_map(Option::take)
    }
}

/// One reader's tags. Call [`Self::announce`] first and whenever the path's tracks change, [`Self::write`] for every unit.
#[derive(Debug)]
pub struct Muxer {
    signalling: Signalling,
    frame_rate: Option<f64>,
    video: Option<Lane>,
    audio: Option<Lane>,
    /// Milliseconds of the first unit: this reader's zero.
    base: Option<i64>,
    dropped: u64,
}

/// A track of this reader.
#[derive(Debug)]
struct Lane {
    id: TrackId,
    params: Arc<CodecParams>,
    /// The last timestamp written, before wrapping.
    last: i64,
}

impl Muxer {
    /// A muxer for a reader that understands `signalling`. H.264 and AAC are headed the legacy way in either case: every
    /// peer reads that.
    pub const fn new(signalling: Signalling) -> Self {
        Self { signalling, frame_rate: None, video: None, audio: None, base: None, dropped: 0 }
    }

    /// Pictures per second for the metadata to come, where the publisher or a measurement knows better than the SPS.
    pub const fn set_frame_rate(&mut self, frame_rate: Option<f64>) {
        self.frame_rate = frame_rate;
    }

    /// Takes the path's tracks: the first picture and the first sound this reader can play (AAC before Opus). Answers
    /// metadata and the headers of new or changed tracks; nothing where nothing changed.
    pub fn announce(&mut self, tracks: &TrackSet) -> Vec<Message> {
        let plays = |codec| codec == Codec::H264 || self.signalling == Signalling::Enhanced;
        let video = tracks.iter().find(|track| track.kind() == MediaKind::Video && plays(track.codec()));
        let sound = |codec| tracks.iter().find(|track| track.codec() == codec);
        let opus = || sound(Codec::Opus).filter(|_| self.signalling == Signalling::Enhanced);
        let audio = sound(Codec::Aac).or_else(opus);
        let position = self.position();
        let new_video = take_track(&mut self.video, video, position);
        let new_audio = take_track(&mut self.audio, audio, position);
        if !new_video && !new_audio {
            return Vec::new();
        }
        let headers = [&self.video, &self.audio]
            .into_iter()
            .zip([new_video, new_audio])
            .filter_map(|(lane, new)| lane.as_ref().filter(|_| new)?.sequence_start());
        let mut messages = vec![self.metadata(position)];
        messages.extend(headers);
        messages
    }

    /// Does this reader get the units of `track`?
    pub fn carries(&self, track: TrackId) -> bool {
        [&self.video, &self.audio].into_iter().flatten().any(|lane| lane.id == track)
    }

    /// Units that could not be told: tracks this reader does not get, payloads above [`MAX_BODY`].
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The messages of `unit`. Time counts from the first unit given, never falls within a track, and never is negative: what
    /// is older than the first unit is left out if it is sound, and stamped 0 if it is a picture. New parameters go before the unit that needs them.
    pub fn write(&mut self, unit: &AccessUnit) -> Messages {
        let lanes = [&mut self.video, &mut self.audio].into_iter().flatten();
        let Some(lane) = lanes.into_iter().find(|lane| lane.id == unit.track) else {
            self.dropped += 1;
            return Messages::default();
        };
        // A codec that changed has to be announced first: the reader may be unable to play it.
        if lane.params.codec() != unit.params.codec()
            || unit.payload.len() > MAX_BODY - SmallHeader::default().bytes.len()
        {
            self.dropped += 1;
            return Messages::default();
        }
        let base = *self.base.get_or_insert(unit.dts.millis());
        let relative = |time: MediaTime| time.millis().saturating_sub(base);
        // Sound from before the reader's zero would be heard at the wrong time; a picture may be needed by those after it.
        if relative(unit.dts) < 0 && !unit.is_video() {
            self.dropped += 1;
            return Messages::default();
        }
        let time = relative(unit.dts).max(lane.last).max(0);
        lane.last = time;
        let mut messages = Messages::default();
        let [metadata, header, frame] = &mut messages.0;
        let mut resized = false;
        if !Arc::ptr_eq(&lane.params, &unit.params) {
            let old = std::mem::replace(&mut lane.params, Arc::clone(&unit.params));
            if old != unit.params {
                *header = lane.sequence_start();
                resized = described(&old) != described(&unit.params);
            }
        }
        let composition = if unit.pts == unit.dts { 0 } else { to_i32(relative(unit.pts).saturating_sub(time)) };
        *frame = match unit.params.codec() {
            Codec::H264 => picture(VideoCodec::Avc, time, composition, unit),
            Codec::H265 => picture(VideoCodec::Hevc, time, composition, unit),
            Codec::Av1 => picture(VideoCodec::Av1, time, 0, unit),
            Codec::Vp9 => picture(VideoCodec::Vp9, time, 0, unit),
            Codec::Aac => audio_message(time, &AudioTag::Frame(AudioCodec::Aac, unit.payload.clone())),
            Codec::Opus => audio_message(time, &AudioTag::Frame(AudioCodec::Opus, unit.payload.clone())),
            // Never announced: their listeners get H.264 and AAC, or are told.
            Codec::Vp8 | Codec::Mjpeg | Codec::G711 | Codec::MpegAudio => None,
        };
        if resized {
            *metadata = Some(self.metadata(time));
        }
        messages
    }

    /// The end of the picture's sequence: what a player is told when the stream is over. `None` without a picture.
    pub fn end(&self) -> Option<Message> {
        let lane = self.video.as_ref()?;
        let codec = VideoCodec::of(lane.params.codec())?;
        message(TagKind::Video, lane.last, VideoTag::SequenceEnd(codec).write(Signalling::Legacy))
    }

    /// Where the reader is now.
    fn position(&self) -> i64 {
        [&self.video, &self.audio].into_iter().flatten().map(|lane| lane.last).max().unwrap_or(0)
    }

    fn metadata(&self, time: i64) -> Message {
        let params = |lane: &Option<Lane>| lane.as_ref().map(|lane| Arc::clone(&lane.params));
        let mut data = Metadata::from_params(params(&self.video).as_deref(), params(&self.audio).as_deref());
        if self.video.is_some() {
            data.frame_rate = self.frame_rate.or(data.frame_rate);
        }
        let payload = data.script_data().into();
        Message { kind: TagKind::Script, timestamp: wrap(time), header: SmallHeader::default(), payload }
    }
}

impl Lane {
    fn sequence_start(&self) -> Option<Message> {
        let picture = |codec, record| {
            message(TagKind::Video, self.last, VideoTag::SequenceStart(codec, record).write(Signalling::Legacy))
        };
        match &*self.params {
            CodecParams::H264(params) => picture(VideoCodec::Avc, params.avcc().into()),
            CodecParams::H265(params) => picture(VideoCodec::Hevc, params.hvcc().into()),
            CodecParams::Av1(params) => picture(VideoCodec::Av1, params.av1c().into()),
            CodecParams::Vp9(params) => picture(VideoCodec::Vp9, Bytes::copy_from_slice(&params.vpcc())),
            CodecParams::Aac(params) => {
                audio_message(self.last, &AudioTag::SequenceStart(AudioCodec::Aac, params.config().clone()))
            }
            CodecParams::Opus(params) => {
                let head = Bytes::copy_from_slice(&params.head());
                audio_message(self.last, &AudioTag::SequenceStart(AudioCodec::Opus, head))
            }
            CodecParams::Vp8(_) | CodecParams::Mjpeg(_) | CodecParams::G711(_) | CodecParams::MpegAudio(_) => None,
        }
    }
}

/// Puts `track` into its lane; was it new or changed? A track that went away keeps its lane: it may return.
fn take_track(lane: &mut Option<Lane>, track: Option<&Track>, position: i64) -> bool {
    let Some(track) = track else { return false };
    match lane {
        Some(lane) => {
            let changed = lane.id != track.id || lane.params != track.params;
            lane.id = track.id;
            lane.params = Arc::clone(&track.params);
            changed
        }
        None => {
            *lane = Some(Lane { id: track.id, params: Arc::clone(&track.params), last: position });
            true
        }
    }
}

/// What metadata says of these parameters.
fn described(params: &CodecParams) -> (u32, u32) {
    match params {
        picture if picture.codec().kind() == MediaKind::Video => picture.size().unwrap_or_default(),
        sound => sound.sound().map_or((0, 0), |(rate, channels)| (rate, u32::from(channels))),
    }
}

fn picture(codec: VideoCodec, time: i64, composition: i32, unit: &AccessUnit) -> Option<Message> {
    let tag = VideoTag::Frame { codec, kind: unit.kind, composition, data: unit.payload.clone() };
    message(TagKind::Video, time, tag.write(Signalling::Legacy))
}

fn audio_message(time: i64, tag: &AudioTag) -> Option<Message> {
    let signalling = match tag {
        AudioTag::SequenceStart(AudioCodec::Opus, _) | AudioTag::Frame(AudioCodec::Opus, _) => Signalling::Enhanced,
        _ => Signalling::Legacy,
    };
    message(TagKind::Audio, time, tag.write(signalling))
}

fn message(kind: TagKind, time: i64, parts: Option<(SmallHeader, Bytes)>) -> Option<Message> {
    let (header, payload) = parts?;
    Some(Message { kind, timestamp: wrap(time), header, payload })
}

/// Timestamps wrap after 49.7 days, as RTMP 1.0 §5.3.1.1 expects.
fn wrap(time: i64) -> u32 {
    u32::try_from(time.rem_euclid(1 << 32)).unwrap_or(0)
}

fn to_i32(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flv::{Demuxer, Event};
    use crate::testing::{av, h264, newer_codecs, opus, other_h264, track, unit};
    use media::{ClockRate, UnitKind};
    use proptest::prelude::*;

    fn kinds(messages: impl IntoIterator<Item = Message>) -> Vec<(TagKind, u32, u8)> {
        messages.into_iter().map(|m| (m.kind, m.timestamp, m.body().get(1).copied().unwrap_or(0))).collect()
    }

    fn milli(id: u8, params: CodecParams) -> Track {
        track(id, ClockRate::MILLI, params)
    }

    #[test]
    fn headers_before_frames_and_time_from_zero() {
        let tracks = av();
        let (video, audio) = (tracks.get(TrackId(0)).unwrap(), tracks.get(TrackId(1)).unwrap());
        let mut muxer = Muxer::new(Signalling::Legacy);
        let start = muxer.announce(&tracks);
        assert_eq!(kinds(start), [(TagKind::Script, 0, 0), (TagKind::Video, 0, 0), (TagKind::Audio, 0, 0)]);
        assert_eq!(muxer.announce(&tracks), []);
        let check = |muxer: &mut Muxer, unit: &AccessUnit, want: &[(TagKind, u32, u8)]| {
            assert_eq!(kinds(muxer.write(unit)), want, "{unit:?}");
        };
        check(&mut muxer, &unit(video, UnitKind::Key, 90_000, 90_000, &[1]), &[(TagKind::Video, 0, 1)]);
        // Sound of before the reader's zero: two such units would get one time.
        check(&mut muxer, &unit(audio, UnitKind::Audio, 47_000, 47_000, &[1]), &[]);
        check(&mut muxer, &unit(video, UnitKind::Delta, 93_000, 93_000, &[1]), &[(TagKind::Video, 33, 1)]);
        check(&mut muxer, &unit(audio, UnitKind::Audio, 49_024, 49_024, &[1]), &[(TagKind::Audio, 21, 1)]);
        // A fall is held; a stranger is not told.
        check(&mut muxer, &unit(audio, UnitKind::Audio, 48_000, 48_000, &[1]), &[(TagKind::Audio, 21, 1)]);
        check(&mut muxer, &unit(&milli(7, CodecParams::H264(h264())), UnitKind::Key, 0, 0, &[1]), &[]);
        assert_eq!((muxer.dropped(), muxer.carries(TrackId(0)), muxer.carries(TrackId(7))), (2, true, false));
        assert_eq!(muxer.end().map(|m| (m.timestamp, m.body())), Some((33, Bytes::from_static(&[0x17, 2, 0, 0, 0]))));
    }

    #[test]
    fn the_payload_is_not_copied() {
        let tracks = av();
        let mut muxer = Muxer::new(Signalling::Legacy);
        muxer.announce(&tracks);
        let unit = unit(tracks.get(TrackId(0)).unwrap(), UnitKind::Key, 0, 3600, &[1, 2, 3]);
        let message = muxer.write(&unit).next().unwrap();
        assert_eq!(message.payload.as_ptr(), unit.payload.as_ptr());
        assert_eq!(message.header[..], [0x17, 1, 0, 0, 40]);
        assert_eq!(message.body_len(), message.body().len());
    }

    #[test]
    fn changed_parameters_go_first() {
        let old = milli(0, CodecParams::H264(h264()));
        let same = milli(0, CodecParams::H264(h264()));
        let new = milli(0, CodecParams::H264(other_h264()));
        let mut muxer = Muxer::new(Signalling::Legacy);
        muxer.announce(&TrackSet::new([old.clone()]));
        assert_eq!(muxer.write(&unit(&old, UnitKind::Key, 0, 0, &[1])).count(), 1);
        assert_eq!(muxer.write(&unit(&same, UnitKind::Key, 40, 40, &[1])).count(), 1);
        let changed = kinds(muxer.write(&unit(&new, UnitKind::Key, 80, 80, &[1])));
        assert_eq!(changed, [(TagKind::Video, 80, 0), (TagKind::Video, 80, 1)]);
        assert_eq!(muxer.announce(&TrackSet::new([new])), []);
        // Sound that comes later has the reader's time.
        let both = TrackSet::new([
            milli(0, CodecParams::H264(other_h264())),
            milli(1, CodecParams::Aac(crate::testing::aac())),
        ]);
        assert_eq!(kinds(muxer.announce(&both)), [(TagKind::Script, 80, 0), (TagKind::Audio, 80, 0)]);
    }

    #[test]
    fn opus_only_where_it_is_understood() {
        let tracks = TrackSet::new([opus()]);
        assert_eq!(Muxer::new(Signalling::Legacy).announce(&tracks), []);
        let mut muxer = Muxer::new(Signalling::Enhanced);
        let start = muxer.announce(&tracks);
        assert_eq!(start.len(), 2);
        assert!(start[1].body().starts_with(b"\x90OpusOpusHead"));
        let frame = muxer.write(&unit(tracks.first(MediaKind::Audio).unwrap(), UnitKind::Audio, 0, 0, &[0xFC])).next();
        assert_eq!(frame.unwrap().body(), Bytes::from_static(b"\x91Opus\xfc"));
        // AAC is preferred where both are there.
        let both = TrackSet::new([
            milli(5, CodecParams::Opus(media::OpusParams::WEBRTC)),
            av().get(TrackId(1)).unwrap().clone(),
        ]);
        let mut muxer = Muxer::new(Signalling::Enhanced);
        muxer.announce(&both);
        assert!(muxer.carries(TrackId(1)) && !muxer.carries(TrackId(5)));
    }

    #[test]
    fn newer_codecs_only_where_they_are_understood() {
        for (track, key, delta) in newer_codecs() {
            let tracks = TrackSet::new([track.clone()]);
            let mut muxer = Muxer::new(Signalling::Legacy);
            assert_eq!(muxer.announce(&tracks), []);
            assert!(!muxer.carries(track.id));
            let (mut muxer, mut demuxer) = (Muxer::new(Signalling::Enhanced), Demuxer::new());
            let mut messages = muxer.announce(&tracks);
            assert_eq!(messages.len(), 2);
            for (kind, at, payload) in [(UnitKind::Key, 0, &key), (UnitKind::Delta, 3600, &delta)] {
                let unit = AccessUnit { payload: payload.clone(), ..unit(&track, kind, at, at, &[]) };
                messages.extend(muxer.write(&unit));
            }
            messages.extend(muxer.end());
            let heard: Vec<_> = messages
                .iter()
                .flat_map(|message| demuxer.push(message.kind, message.timestamp, &message.body()).unwrap())
                .filter_map(|event| match event {
                    Event::Unit(unit) => Some((unit.kind, unit.dts.ticks(), unit.payload, unit.params)),
                    _ => None,
                })
                .collect();
            let params = track.params;
            let want = [(UnitKind::Key, 0, key, Arc::clone(&params)), (UnitKind::Delta, 40, delta, params)];
            assert_eq!(heard, want);
        }
    }

    #[test]
    fn tags_of_a_file() {
        let mut out = Vec::new();
        let payload = Bytes::from_static(&[9]);
        Message { kind: TagKind::Audio, timestamp: 0x0102_0304, header: SmallHeader::default(), payload }
            .write_tag(&mut out);
        assert_eq!(out, [8, 0, 0, 1, 2, 3, 4, 1, 0, 0, 0, 9, 0, 0, 0, 12]);
    }

    #[derive(Debug, Clone)]
    struct Step(bool, i64, i64, bool, Vec<u8>);

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (any::<bool>(), 0..200_i64, -100..400_i64, any::<bool>(), prop::collection::vec(any::<u8>(), 1..40));
        prop::collection::vec(step.prop_map(|(v, by, c, k, b)| Step(v, by, c, k, b)), 1..40)
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(steps in steps(), start in 0..0xFFFF_FFFF_i64) {
            let tracks = TrackSet::new([
                milli(0, CodecParams::H264(h264())),
                milli(1, CodecParams::Aac(crate::testing::aac())),
            ]);
            let (mut muxer, mut demuxer) = (Muxer::new(Signalling::Legacy), Demuxer::new());
            let mut messages = muxer.announce(&tracks);
            let (mut now, mut want, mut got, mut seen) = (start, Vec::new(), Vec::new(), Vec::new());
            for Step(video, by, composition, key, body) in steps {
                now += by;
                let unit = if video {
                    let kind = if key { UnitKind::Key } else { UnitKind::Delta };
                    unit(tracks.get(TrackId(0)).unwrap(), kind, now, now + composition, &body)
                } else {
                    unit(tracks.get(TrackId(1)).unwrap(), UnitKind::Audio, now, now, &body)
                };
                messages.extend(muxer.write(&unit));
                want.push(unit);
            }
            for message in messages {
                for event in demuxer.push(message.kind, message.timestamp, &message.body()).unwrap() {
                    match event {
                        Event::Unit(unit) => got.push(unit),
                        Event::Track(track) => seen.push(track),
                        Event::Metadata(_) | Event::Skipped(_) => {}
                    }
                }
            }
            prop_assert_eq!(TrackSet::new(seen), tracks);
            let base = want[0].dts.ticks();
            let facts = |u: &AccessUnit, base| {
                (u.track, u.kind, u.dts.ticks() - base, u.pts.ticks() - base, u.payload.clone(), Arc::clone(&u.params))
            };
            let got: Vec<_> = got.iter().map(|u| facts(u, 0)).collect();
            let want: Vec<_> = want.iter().map(|u| facts(u, base)).collect();
            prop_assert_eq!(got, want);
        }
    }
}
