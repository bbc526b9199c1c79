//! The AAC decoder: raw frames to interleaved sound, at the stream's own rate and at most two channels.
//!
//! LC goes through Symphonia (half of FDK's time); HE-AAC and surround through FDK. Band replication holds sound back (ISO/IEC 14496-3 §4.6.18), in
//! every decoder alike; encoders' times are such that it is right when played so, and nothing is to be taken off here.

#[cfg(feature = "fdk")]
use super::fdk::FdkDecoder;
use crate::CodecError;
use crate::convert::remix;
use media::AacParams;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};

/// Decodes one AAC stream; new parameters want a new decoder.
pub struct AacDecoder {
    backend: Backend,
    rate: u32,
    channels: u8,
    /// Samples per channel of one frame, for what stands in place of a damaged one.
    frame: usize,
    scratch: Vec<f32>,
}

enum Backend {
    Symphonia(Box<symphonia::default::codecs::AacDecoder>),
    #[cfg(feature = "fdk")]
    Fdk(FdkDecoder),
}

impl AacDecoder {
    /// A decoder for streams of `params`.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] where no decoder of this build takes them.
    pub fn new(params: &AacParams) -> Result<Self, CodecError> {
        let mut codec = AudioCodecParameters::new();
        codec.for_codec(CODEC_ID_AAC).with_sample_rate(params.rate().hz());
        codec.with_extra_data(params.config().to_vec().into_boxed_slice());
        let options = AudioDecoderOptions::default();
        let backend = match symphonia::default::codecs::AacDecoder::try_new(&codec, &options) {
            Ok(decoder) => Backend::Symphonia(Box::new(decoder)),
            #[cfg(feature = "fdk")]
            Err(_) => Backend::Fdk(FdkDecoder::new(params)?),
            #[cfg(not(feature = "fdk"))]
            Err(e) => return Err(CodecError::Unsupported(e.to_string())),
        };
        Ok(Self {
            backend,
            rate: params.rate().hz(),
            channels: params.channels().min(2),
            frame: params.frame_samples() as usize,
            scratch: Vec::new(),
        })
    }

    /// Samples per second of what comes out.
    pub const fn rate(&self) -> u32 {
        self.rate
    }

    /// Channels of what comes out: 1 or 2.
    pub const fn channels(&self) -> u8 {
        self.channels
    }

    /// Samples per channel of one frame.
    pub const fn frame(&self) -> usize {
        self.frame
    }

    /// Appends the sound of one raw frame, interleaved; answers samples per channel.
    ///
    /// # Errors
    /// [`CodecError::Damaged`] for a frame that does not decode, of which nothing is appended.
    pub fn decode(&mut self, frame: &[u8], out: &mut Vec<f32>) -> Result<usize, CodecError> {
        self.scratch.clear();
        let (rate, channels) = match &mut self.backend {
            Backend::Symphonia(decoder) => {
                let packet = PacketRef::new(0, Timestamp::new(0), Duration::new(self.frame as u64), frame);
                let sound = decoder.decode_ref(&packet).map_err(|e| CodecError::Damaged(e.to_string()))?;
                sound.copy_to_vec_interleaved(&mut self.scratch);
                (sound.spec().rate(), u8::try_from(sound.spec().channels().count()).unwrap_or(0))
            }
            #[cfg(feature = "fdk")]
            Backend::Fdk(decoder) => {
                let done = decoder.decode(frame, &mut self.scratch)?;
                (done.rate, done.channels)
            }
        };
        if rate != self.rate || channels == 0 {
            return Err(CodecError::Damaged(format!("{rate} Hz, {channels} channels in a {} Hz stream", self.rate)));
        }
        remix(&self.scratch, channels, self.channels, out);
        Ok(self.scratch.len() / usize::from(channels))
    }
}

impl std::fmt::Debug for AacDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AacDecoder {} Hz, {} channels", self.rate, self.channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aac::{AacEncoderConfig, aac_encoder};
    use crate::level::tests::{power_at, tone};
    use media::{AacObject, AdtsFrames};
    use proptest::prelude::*;
    use std::process::Command;

    #[test]
    fn tone_round_trip_has_frequency_level_and_delay() {
        for (rate, channels, bitrate) in [(48_000, 2, 128_000), (44_100, 2, 96_000), (16_000, 1, 32_000)] {
            let mut encoder = aac_encoder(AacEncoderConfig { rate, channels, bitrate }).unwrap();
            let mut decoder = AacDecoder::new(encoder.params()).unwrap();
            assert_eq!(encoder.delay(), 2048);
            let (frames, width) = (60, usize::from(channels));
            // The first channel carries 1 kHz from frame 20 on, the second 440 Hz throughout.
            let (a, b) =
                (tone(1000.0 * 48_000.0 / f64::from(rate), 0.5, frames * 1024), tone(440.0, 0.25, frames * 1024));
            let start = 20 * 1024;
            let pcm: Vec<f32> = (0..frames * 1024)
                .flat_map(|n| [if n < start { 0.0 } else { a[n] }, b[n]].into_iter().take(width))
                .collect();
            let (mut out, mut bytes) = (Vec::new(), 0);
            for frame in pcm.chunks_exact(1024 * width) {
                let raw = encoder.encode(frame).unwrap();
                bytes += raw.len();
                assert_eq!(decoder.decode(&raw, &mut out).unwrap(), 1024);
            }
            let first: Vec<f32> = out.iter().step_by(width).copied().collect();
            let level = power_at(&first[30 * 1024..50 * 1024], 1000.0 * 48_000.0 / f64::from(rate));
            assert!((level / 0.5 - 1.0).abs() < 0.06, "{rate} Hz: {level}");
            let heard = first.iter().position(|s| s.abs() > 0.25).unwrap();
            assert!(heard.abs_diff(start + 2048) < 96, "{rate} Hz: at {heard}, known {}", start + 2048);
            let used = bytes as f64 * 8.0 * f64::from(rate) / (frames * 1024) as f64;
            assert!(used < f64::from(bitrate) * 1.2, "{used} bit/s");
        }
    }

    #[test]
    fn what_ffmpeg_encodes() {
        let check = |layout: &str, rate: u32, channels: u8| {
            let source =
                format!("sine=frequency=1000:sample_rate={rate}:duration=1,volume=4,aformat=channel_layouts={layout}");
            let output = Command::new("ffmpeg")
                .args(["-v", "error", "-f", "lavfi", "-i", &source, "-c:a", "aac", "-f", "adts", "pipe:1"])
                .output()
                .expect("ffmpeg is installed");
            let frames: Vec<_> = AdtsFrames::new(output.stdout.into()).map(Result::unwrap).collect();
            let mut decoder = AacDecoder::new(&frames[0].params).unwrap();
            assert_eq!((decoder.rate(), decoder.channels()), (rate, channels));
            let mut out = Vec::new();
            for frame in &frames {
                decoder.decode(&frame.frame, &mut out).unwrap();
            }
            let first: Vec<f32> = out.iter().step_by(usize::from(channels)).copied().collect();
            let level = power_at(&first[8 * 1024..12 * 1024], 1000.0 * 48_000.0 / f64::from(rate));
            assert!(level > 0.1, "{layout}: {level}");
        };
        check("mono", 16_000, 1);
        check("stereo", 44_100, 2);
        check("stereo", 48_000, 2);
        check("5.1", 48_000, 2);
    }

    /// HE-AAC goes to the other decoder. Signalled explicitly over an LC stream: half the rate below, silence above.
    #[cfg(feature = "fdk")]
    #[test]
    fn he_is_decoded_at_twice_the_core_rate() {
        let params = AacParams::parse(bytes::Bytes::from_static(&[0x2B, 0x11, 0x88, 0x00])).unwrap();
        assert_eq!((params.object(), params.frame_samples()), (AacObject::He, 2048));
        let mut encoder = aac_encoder(AacEncoderConfig { rate: 24_000, channels: 2, bitrate: 64_000 }).unwrap();
        let mut decoder = AacDecoder::new(&params).unwrap();
        let mono = tone(2000.0, 0.5, 40 * 1024);
        let mut out = Vec::new();
        for frame in mono.chunks_exact(1024) {
            let stereo: Vec<f32> = frame.iter().flat_map(|s| [*s, *s]).collect();
            assert_eq!(decoder.decode(&encoder.encode(&stereo).unwrap(), &mut out).unwrap(), 2048);
        }
        // 2 kHz at "48 kHz" while coding is 1 kHz at the core's 24 kHz.
        let first: Vec<f32> = out.iter().step_by(2).copied().collect();
        let level = power_at(&first[40_000..72_000], 1000.0);
        assert!((level / 0.5 - 1.0).abs() < 0.1, "{level}");
    }

    proptest! {
        #[test]
        fn any_bytes_keep_the_promise(frame in prop::collection::vec(any::<u8>(), 0..300)) {
            crate::fuzz::fuzz_aac(&frame);
        }
    }
}
