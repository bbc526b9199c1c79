//! `onMetaData`: what a stream says of itself before it starts (Adobe FLV 10.1 §E.5, Enhanced RTMP v2 "Metadata Frame").
//!
//! Not here: AMF0 (`media::amf0`). Nothing that is decoded depends on this: it is for players that size their window, and
//! for guessing which tracks will come.

use super::VideoCodec;
use media::amf0::{self, Value};
use media::{AacParams, CodecParams, MediaKind, TrackSet};

/// The properties that players and servers look at; what is `None` is left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// Pictures per second.
    pub frame_rate: Option<f64>,
    /// 7 for AVC, or a FourCC as a number.
    pub video_codec: Option<u32>,
    /// Kilobits per second.
    pub video_data_rate: Option<f64>,
    /// 10 for AAC, or a FourCC as a number.
    pub audio_codec: Option<u32>,
    /// Hertz.
    pub audio_sample_rate: Option<u32>,
    /// Bits per sample; 16 for everything compressed.
    pub audio_sample_size: Option<u32>,
    /// Two channels?
    pub stereo: Option<bool>,
    /// Kilobits per second.
    pub audio_data_rate: Option<f64>,
    /// Which program made the stream.
    pub encoder: Option<String>,
}

/// `videocodecid` of AVC (§E.4.3.1).
const AVC: u32 = 7;
/// `audiocodecid` of AAC (§E.4.2.1).
const AAC: u32 = 10;
/// "Opus" as a number, as Enhanced RTMP wants it.
const OPUS: u32 = u32::from_be_bytes(*b"Opus");

impl Metadata {
    /// What the first picture and the first sound of `tracks` say.
    pub fn from_tracks(tracks: &TrackSet) -> Self {
        let params = |kind| tracks.first(kind).map(|track| &*track.params);
        Self::from_params(params(MediaKind::Video), params(MediaKind::Audio))
    }

    /// What these parameters say.
    pub(super) fn from_params(video: Option<&CodecParams>, audio: Option<&CodecParams>) -> Self {
        let mut data = Self { encoder: Some("Visavis".to_owned()), ..Self::default() };
        if let Some(params) = video {
            (data.width, data.height) = params.size().unzip();
            data.frame_rate = params.frame_rate();
            data.video_codec = VideoCodec::of(params.codec()).map(|codec| match codec {
                VideoCodec::Avc => AVC,
                newer => u32::from_be_bytes(newer.four_cc()),
            });
        }
        match audio {
            Some(CodecParams::Aac(params)) => data.describe_aac(params),
            Some(CodecParams::Opus(params)) => data.describe_sound(OPUS, 48_000, params.channels),
            _ => {}
        }
        data
    }

    fn describe_aac(&mut self, params: &AacParams) {
        self.describe_sound(AAC, params.rate().hz(), params.channels());
    }

    fn describe_sound(&mut self, codec: u32, rate: u32, channels: u8) {
        self.audio_codec = Some(codec);
        self.audio_sample_rate = Some(rate);
        self.audio_sample_size = Some(16);
        self.stereo = Some(channels > 1);
    }

    /// Reads a script tag or an RTMP data message: `onMetaData`, with `@setDataFrame` before it or not. `Ok(None)` for every
    /// other message.
    ///
    /// # Errors
    /// [`amf0::Error`] where the values do not decode; messages of other names are not looked into.
    pub fn parse(mut body: &[u8]) -> Result<Option<Self>, amf0::Error> {
        if body.is_empty() {
            return Ok(None);
        }
        let whole = body;
        let shift = |error, rest: &[u8]| shifted(error, whole.len() - rest.len());
        let mut name = amf0::decode(&mut body)?;
        if name.as_str() == Some("@setDataFrame") {
            name = amf0::decode(&mut body).map_err(|e| shift(e, body))?;
        }
        if name.as_str() != Some("onMetaData") || body.is_empty() {
            return Ok(None);
        }
        let data = amf0::decode(&mut body).map_err(|e| shift(e, body))?;
        Ok(Some(Self::from_value(&data)))
    }

    fn from_value(data: &Value) -> Self {
        let number = |name| data.get(name).and_then(Value::as_f64).filter(|n| n.is_finite());
        let whole = |name| number(name).and_then(to_u32);
        let codec = |name| match data.get(name)? {
            Value::String(text) => Some(u32::from_be_bytes(text.as_bytes().try_into().ok()?)),
            value => to_u32(value.as_f64()?),
        };
        Self {
            width: whole("width"),
            height: whole("height"),
            frame_rate: number("framerate").or_else(|| number("fps")),
            video_codec: codec("videocodecid"),
            video_data_rate: number("videodatarate"),
            audio_codec: codec("audiocodecid"),
            audio_sample_rate: whole("audiosamplerate"),
            audio_sample_size: whole("audiosamplesize"),
            stereo: data.get("stereo").and_then(Value::as_bool),
            audio_data_rate: number("audiodatarate"),
            encoder: data.get("encoder").and_then(Value::as_str).map(str::to_owned),
        }
    }

    /// The body a player gets, as script tag and as RTMP data message alike: `onMetaData` and an ECMA array.
    pub fn script_data(&self) -> Vec<u8> {
        amf0::encode_all(&["onMetaData".into(), self.value()])
    }

    /// The body a publisher sends over RTMP: [`Self::script_data`] behind `@setDataFrame`.
    pub fn set_data_frame(&self) -> Vec<u8> {
        amf0::encode_all(&["@setDataFrame".into(), "onMetaData".into(), self.value()])
    }

    fn value(&self) -> Value {
        let whole = |n: Option<u32>| n.map(|n| Value::Number(f64::from(n)));
        let number = |n: Option<f64>| n.map(Value::Number);
        let members = [
            // A live stream has no length; players that miss the property show none.
            ("duration", Some(Value::Number(0.0))),
            ("width", whole(self.width)),
            ("height", whole(self.height)),
            ("framerate", number(self.frame_rate)),
            ("videocodecid", whole(self.video_codec)),
            ("videodatarate", number(self.video_data_rate)),
            ("audiocodecid", whole(self.audio_codec)),
            ("audiosamplerate", whole(self.audio_sample_rate)),
            ("audiosamplesize", whole(self.audio_sample_size)),
            ("stereo", self.stereo.map(Value::Boolean)),
            ("audiodatarate", number(self.audio_data_rate)),
            ("encoder", self.encoder.clone().map(Value::String)),
        ];
        Value::EcmaArray(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }
}

/// The whole number a peer wrote as a double, if it is one that fits.
fn to_u32(number: f64) -> Option<u32> {
    // A cast saturates, and the comparison refuses what was cut.
    (0.0..=f64::from(u32::MAX)).contains(&number).then_some(number as u32)
}

fn shifted(error: amf0::Error, by: usize) -> amf0::Error {
    use amf0::Error::{Depth, Marker, TooMany, Truncated};
    match error {
        Truncated { at } => Truncated { at: at + by },
        Marker { at, marker } => Marker { at: at + by, marker },
        Depth { at } => Depth { at: at + by },
        TooMany { at } => TooMany { at: at + by },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{av, h265, opus};

    #[test]
    fn says_what_players_need() {
        let data = Metadata::from_tracks(&av());
        assert_eq!((data.width, data.height, data.video_codec), (Some(320), Some(240), Some(7)));
        assert_eq!(data.frame_rate, Some(30.0));
        assert_eq!((data.audio_codec, data.audio_sample_rate, data.stereo), (Some(10), Some(48_000), Some(true)));
        assert_eq!(Metadata::parse(&data.script_data()), Ok(Some(data.clone())));
        assert_eq!(Metadata::parse(&data.set_data_frame()), Ok(Some(data)));
        let hevc = Metadata::from_params(Some(&CodecParams::H265(h265())), None);
        assert_eq!((hevc.height, hevc.video_codec), (Some(240), Some(u32::from_be_bytes(*b"hvc1"))));
        let opus = Metadata::from_tracks(&TrackSet::new([opus()]));
        assert_eq!((opus.audio_codec, opus.video_codec), (Some(0x4F70_7573), None));
    }

    #[test]
    fn takes_what_publishers_send() {
        let check = |values: &[Value], want| assert_eq!(Metadata::parse(&amf0::encode_all(values)), want, "{values:?}");
        let object = Value::object([
            ("width", (-1.0).into()),
            ("height", 480.0.into()),
            ("framerate", f64::NAN.into()),
            ("videocodecid", "avc1".into()),
            ("audiocodecid", 10.0.into()),
            ("stereo", 1.0.into()),
        ]);
        let want = Metadata {
            height: Some(480),
            video_codec: Some(u32::from_be_bytes(*b"avc1")),
            audio_codec: Some(10),
            stereo: Some(true),
            ..Metadata::default()
        };
        check(&["onMetaData".into(), object.clone()], Ok(Some(want.clone())));
        check(&["@setDataFrame".into(), "onMetaData".into(), object], Ok(Some(want)));
        check(&["onCuePoint".into(), Value::Null], Ok(None));
        check(&["@setDataFrame".into(), "onTextData".into()], Ok(None));
        check(&[Value::Null], Ok(None));
        check(&["onMetaData".into()], Ok(None));
        check(&[], Ok(None));
        let broken = [&amf0::encode_all(&["onMetaData".into()])[..], &[0xFF]].concat();
        assert_eq!(Metadata::parse(&broken), Err(amf0::Error::Marker { at: 13, marker: 0xFF }));
    }
}
