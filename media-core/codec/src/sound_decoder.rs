//! Any sound that arrives, decoded: one object for callers who do not care which codec it is.
//!
//! Belongs here: which decoder takes which parameters, MPEG audio and G.711 (both by Symphonia), what stands in place of damaged
//! and lost units. Not here: AAC and Opus themselves (`aac`, `opus`), resampling (`resample`), where sound belongs in time (`audio`).

use crate::{AacDecoder, CodecError, OpusDecoder};
use media::{AccessUnit, ClockRate, CodecParams, G711Law, G711Params, MpegAudioLayer, MpegAudioParams};
use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3, CODEC_ID_PCM_ALAW, CODEC_ID_PCM_MULAW,
};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};
use symphonia::default::codecs::{MpaDecoder, PcmDecoder};

/// Frames at 48 kHz that are guessed in place of lost ones: more sounds like a robot, silence follows.
const MAX_CONCEAL: usize = 60 * 48;
/// Frames of a damaged Opus packet that does not say how long it is: 20 ms, what everybody sends.
const OPUS_FRAMES: usize = 960;
/// Samples in one G.711 unit: a second is fifty times what anybody sends.
const MAX_G711: usize = 48_000;

/// Decodes one stream of any sound codec; new parameters want a new decoder.
#[derive(Debug)]
pub struct SoundDecoder(Backend);

#[derive(Debug)]
enum Backend {
    Aac(Box<AacDecoder>),
    Opus(OpusDecoder),
    Symphonia(Symphonia),
}

impl SoundDecoder {
    /// A decoder for streams of `params`.
    ///
    /// # Errors
    /// [`CodecError::WrongCodec`] for what is no sound, [`CodecError`] where no decoder of this build takes them.
    pub fn new(params: &CodecParams) -> Result<Self, CodecError> {
        match params {
            CodecParams::Aac(params) => AacDecoder::new(params).map(Box::new).map(Backend::Aac),
            CodecParams::Opus(_) => OpusDecoder::new().map(Backend::Opus),
            CodecParams::G711(params) => Symphonia::g711(*params).map(Backend::Symphonia),
            CodecParams::MpegAudio(params) => Symphonia::mpeg_audio(*params).map(Backend::Symphonia),
            _ => Err(CodecError::WrongCodec),
        }
        .map(Self)
    }

    /// Samples per second of what comes out.
    pub const fn rate(&self) -> u32 {
        match &self.0 {
            Backend::Aac(decoder) => decoder.rate(),
            Backend::Opus(_) => ClockRate::AUDIO_48K.hz(),
            Backend::Symphonia(decoder) => decoder.rate,
        }
    }

    /// Channels of what comes out: 1 or 2.
    pub const fn channels(&self) -> u8 {
        match &self.0 {
            Backend::Aac(decoder) => decoder.channels(),
            Backend::Opus(_) => 2,
            Backend::Symphonia(decoder) => decoder.channels,
        }
    }

    /// Appends the sound of one unit's payload, interleaved; answers samples per channel.
    ///
    /// # Errors
    /// [`CodecError::Damaged`] for a unit that does not decode, of which nothing is appended.
    pub fn decode(&mut self, payload: &[u8], out: &mut Vec<f32>) -> Result<usize, CodecError> {
        match &mut self.0 {
            Backend::Aac(decoder) => decoder.decode(payload, out),
            Backend::Opus(decoder) => decoder.decode(payload, out),
            Backend::Symphonia(decoder) => decoder.decode(payload, out),
        }
    }

    /// Appends something as long as `unit` would have been, had it been whole.
    pub(crate) fn replace(&mut self, unit: &AccessUnit, out: &mut Vec<f32>) -> Result<(), CodecError> {
        let (rate, channels) = (self.rate(), usize::from(self.channels()));
        let silence = |frames: usize| std::iter::repeat_n(0.0, frames * channels);
        let said = || {
            let clock = ClockRate::new(rate).unwrap_or(ClockRate::AUDIO_48K);
            let ticks = unit.duration.map(|d| d.rescale(clock).ticks());
            ticks.and_then(|ticks| usize::try_from(ticks).ok()).filter(|frames| (1..=MAX_G711).contains(frames))
        };
        match &mut self.0 {
            Backend::Aac(decoder) => out.extend(silence(decoder.frame())),
            Backend::Opus(decoder) => drop(decoder.decode_lost(said().unwrap_or(OPUS_FRAMES), None, out)?),
            Backend::Symphonia(decoder) => out.extend(silence(said().unwrap_or(decoder.frame))),
        }
        Ok(())
    }

    /// Replaces `out` by `frames` frames of 48 kHz stereo in place of what was lost before `next`: the decoder's guess for a moment
    /// where it can guess, then silence.
    pub(crate) fn conceal(&mut self, frames: usize, next: &[u8], out: &mut Vec<f32>) {
        out.clear();
        if let Backend::Opus(decoder) = &mut self.0 {
            let guessed = match media::opus_packet_samples(next) {
                // One packet was lost: its copy may travel in the next one.
                Ok(samples) if samples as usize == frames => decoder.decode_lost(frames, Some(next), out),
                _ => decoder.decode_lost(frames.min(MAX_CONCEAL), None, out),
            };
            if guessed.is_err() {
                out.clear();
            }
        }
        out.resize(frames * 2, 0.0);
    }
}

/// MPEG audio and G.711.
struct Symphonia {
    decoder: Box<dyn AudioDecoder>,
    rate: u32,
    channels: u8,
    /// Samples per channel of a usual unit.
    frame: usize,
}

impl Symphonia {
    fn mpeg_audio(params: MpegAudioParams) -> Result<Self, CodecError> {
        let mut codec = AudioCodecParameters::new();
        codec.for_codec(match params.layer {
            MpegAudioLayer::I => CODEC_ID_MP1,
            MpegAudioLayer::II => CODEC_ID_MP2,
            MpegAudioLayer::III => CODEC_ID_MP3,
        });
        let decoder = MpaDecoder::try_new(&codec, &AudioDecoderOptions::default()).map_err(unsupported)?;
        let frame = usize::from(params.frame_samples);
        Ok(Self { decoder: Box::new(decoder), rate: params.rate.hz(), channels: params.channels, frame })
    }

    fn g711(params: G711Params) -> Result<Self, CodecError> {
        if !matches!(params.channels, 1 | 2) {
            return Err(CodecError::Unsupported(format!("G.711 of {} channels", params.channels)));
        }
        let mut codec = AudioCodecParameters::new();
        codec.for_codec(match params.law {
            G711Law::A => CODEC_ID_PCM_ALAW,
            G711Law::Mu => CODEC_ID_PCM_MULAW,
        });
        codec.with_sample_rate(params.rate.hz()).with_channels(Channels::Discrete(u16::from(params.channels)));
        let decoder = PcmDecoder::try_new(&codec, &AudioDecoderOptions::default()).map_err(unsupported)?;
        let frame = params.rate.hz() as usize / 50;
        Ok(Self { decoder: Box::new(decoder), rate: params.rate.hz(), channels: params.channels, frame })
    }

    fn decode(&mut self, payload: &[u8], out: &mut Vec<f32>) -> Result<usize, CodecError> {
        if payload.is_empty() || payload.len() > MAX_G711 * 2 {
            return Err(CodecError::Damaged(format!("{} bytes in one unit of sound", payload.len())));
        }
        let packet = PacketRef::new(0, Timestamp::new(0), Duration::new(self.frame as u64), payload);
        let sound = self.decoder.decode_ref(&packet).map_err(|e| CodecError::Damaged(e.to_string()))?;
        let (rate, channels) = (sound.spec().rate(), sound.spec().channels().count());
        if rate != self.rate || channels != usize::from(self.channels) {
            return Err(CodecError::Damaged(format!("{rate} Hz, {channels} channels in a {} Hz stream", self.rate)));
        }
        let mut samples = Vec::new();
        sound.copy_to_vec_interleaved(&mut samples);
        out.extend_from_slice(&samples);
        Ok(samples.len() / channels)
    }
}

impl std::fmt::Debug for Symphonia {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} Hz, {} channels", self.rate, self.channels)
    }
}

fn unsupported(error: symphonia::core::errors::Error) -> CodecError {
    CodecError::Unsupported(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::tests::power_at;
    use media::MpegAudioHeader;
    use std::process::Command;

    /// A tone of 1 kHz at half scale and one second, as ffmpeg encodes it with `arguments`.
    fn encoded(rate: u32, channels: u8, arguments: &[&str]) -> Vec<u8> {
        let layout = if channels == 1 { "mono" } else { "stereo" };
        let source =
            format!("sine=frequency=1000:sample_rate={rate}:duration=1,volume=4,aformat=channel_layouts={layout}");
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", &source]).args(arguments).arg("pipe:1");
        ffmpeg.output().expect("ffmpeg is installed").stdout
    }

    #[test]
    fn what_ffmpeg_encodes() {
        let loud = |decoder: &SoundDecoder, sound: &[f32], what: &str| {
            let rate = decoder.rate() as usize;
            let first: Vec<f32> = sound.iter().step_by(usize::from(decoder.channels())).copied().collect();
            assert!(first.len().abs_diff(rate) < rate / 10, "{what}: {} samples at {rate} Hz", first.len());
            let level = power_at(&first[rate / 4..rate / 2], 1000.0 * 48_000.0 / f64::from(decoder.rate()));
            // ffmpeg's way from mono to stereo takes 3 dB.
            let want = 0.5 / f64::from(decoder.channels()).sqrt();
            assert!((level / want - 1.0).abs() < 0.1, "{what}: {level}");
        };
        for (law, format) in [(G711Law::A, "alaw"), (G711Law::Mu, "mulaw")] {
            for channels in [1, 2] {
                let params = G711Params { channels, ..G711Params::telephone(law) };
                let mut decoder = SoundDecoder::new(&CodecParams::G711(params)).unwrap();
                let mut sound = Vec::new();
                for payload in encoded(8_000, channels, &["-f", format]).chunks(320) {
                    assert_eq!(decoder.decode(payload, &mut sound).unwrap(), params.samples(payload.len()));
                }
                loud(&decoder, &sound, format);
            }
        }
        for (rate, channels, codec, format) in
            [(44_100, 2, "libmp3lame", "mp3"), (16_000, 1, "libmp3lame", "mp3"), (48_000, 2, "mp2", "mp2")]
        {
            let bytes =
                encoded(rate, channels, &["-c:a", codec, "-write_xing", "0", "-id3v2_version", "0", "-f", format]);
            let mut rest = &bytes[..];
            let params = MpegAudioHeader::parse(rest).unwrap().params;
            assert_eq!((params.rate.hz(), params.channels), (rate, channels));
            let mut decoder = SoundDecoder::new(&CodecParams::MpegAudio(params)).unwrap();
            let mut sound = Vec::new();
            while let Ok(header) = MpegAudioHeader::parse(rest) {
                let (frame, after) = rest.split_at(header.bytes.min(rest.len()));
                let samples = decoder.decode(frame, &mut sound).unwrap();
                assert_eq!(samples, usize::from(params.frame_samples));
                rest = after;
            }
            loud(&decoder, &sound, codec);
        }
    }

    #[test]
    fn damage_is_an_error_and_nothing_of_it_comes_out() {
        let telephone = CodecParams::G711(G711Params::telephone(G711Law::A));
        let mut decoder = SoundDecoder::new(&telephone).unwrap();
        let mut out = Vec::new();
        for payload in [&[][..], &[0x55; MAX_G711 * 2 + 1]] {
            assert!(matches!(decoder.decode(payload, &mut out), Err(CodecError::Damaged(_))));
        }
        let params = MpegAudioHeader::parse(&[0xFF, 0xFB, 0x90, 0x64]).unwrap().params;
        let mut decoder = SoundDecoder::new(&CodecParams::MpegAudio(params)).unwrap();
        for payload in [&[0xFF, 0xFB, 0x90][..], &[0xFF, 0xFB, 0x90, 0x64, 1, 2], &[0; 417]] {
            assert!(matches!(decoder.decode(payload, &mut out), Err(CodecError::Damaged(_))));
        }
        assert!(out.is_empty());
    }
}
