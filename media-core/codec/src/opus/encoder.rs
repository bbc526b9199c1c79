//! The Opus encoder: 20 ms of 48 kHz stereo in, one packet out.

use super::{RATE, native};
use crate::CodecError;
use bytes::Bytes;
use media::OpusParams;
use opus::{Application, Bitrate, Channels, Encoder};

/// libopus never writes a larger packet than 1275 bytes per 20 ms frame (RFC 6716 §3.4).
const MAX_PACKET: usize = 1275;
/// Half the CPU of the default 9–10 for a difference nobody hears at 64 kbit/s and above.
const COMPLEXITY: i32 = 5;

/// What the sound is, which decides how Opus codes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OpusUse {
    /// Everything; 6.5 ms of look-ahead.
    #[default]
    Audio,
    /// Speech above all; the only one in which in-band FEC works well (at up to about 40 kbit/s). 6.5 ms of look-ahead.
    Voice,
    /// Everything, 2.5 ms of look-ahead, no FEC.
    LowDelay,
}

/// How to encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusEncoderConfig {
    /// Bits per second, 6 000 to 510 000.
    pub bitrate: u32,
    /// What the sound is.
    pub used_for: OpusUse,
    /// Packet loss to protect against with in-band FEC, in percent; `None` turns FEC off.
    pub fec: Option<u8>,
}

impl Default for OpusEncoderConfig {
    /// 96 kbit/s, any sound, no FEC.
    fn default() -> Self {
        Self { bitrate: 96_000, used_for: OpusUse::Audio, fec: None }
    }
}

/// Encodes interleaved 48 kHz stereo.
#[derive(Debug)]
pub struct OpusEncoder {
    encoder: Encoder,
    delay: u32,
    packet: Vec<u8>,
}

impl OpusEncoder {
    /// Samples per channel in one packet: 20 ms.
    pub const FRAME: usize = 960;

    /// A fresh encoder.
    ///
    /// # Errors
    /// [`CodecError`] where the library refuses the configuration.
    pub fn new(config: OpusEncoderConfig) -> Result<Self, CodecError> {
        let application = match config.used_for {
            OpusUse::Audio => Application::Audio,
            OpusUse::Voice => Application::Voip,
            OpusUse::LowDelay => Application::LowDelay,
        };
        let mut encoder = Encoder::new(RATE, Channels::Stereo, application).map_err(native("opus_encoder_create"))?;
        encoder.set_complexity(COMPLEXITY).map_err(native("OPUS_SET_COMPLEXITY"))?;
        let delay = encoder.get_lookahead().map_err(native("OPUS_GET_LOOKAHEAD"))?;
        let mut this = Self { encoder, delay: u32::try_from(delay).unwrap_or(0), packet: vec![0; MAX_PACKET] };
        this.set_bitrate(config.bitrate)?;
        this.set_fec(config.fec)?;
        Ok(this)
    }

    /// What a decoder must know.
    pub const fn params(&self) -> OpusParams {
        OpusParams::WEBRTC
    }

    /// Samples per channel by which the decoded sound trails its packet's first input sample.
    pub const fn delay(&self) -> u32 {
        self.delay
    }

    /// Encodes exactly 960 stereo frames (1920 interleaved samples) to one packet of 20 ms.
    ///
    /// # Errors
    /// [`CodecError::Config`] for another length, [`CodecError::Native`] where the library refuses.
    pub fn encode(&mut self, pcm: &[f32]) -> Result<Bytes, CodecError> {
        if pcm.len() != Self::FRAME * 2 {
            return Err(CodecError::Config(format!("{} samples, an Opus frame here has 1920", pcm.len())));
        }
        let length = self.encoder.encode_float(pcm, &mut self.packet).map_err(native("opus_encode_float"))?;
        Ok(Bytes::copy_from_slice(self.packet.get(..length).unwrap_or_default()))
    }

    /// Aims at `bitrate` bits per second from the next packet on; clamped to 6 000–510 000.
    ///
    /// # Errors
    /// [`CodecError::Native`] where the library refuses.
    pub fn set_bitrate(&mut self, bitrate: u32) -> Result<(), CodecError> {
        let bits = i32::try_from(bitrate.clamp(6_000, 510_000)).unwrap_or(510_000);
        self.encoder.set_bitrate(Bitrate::Bits(bits)).map_err(native("OPUS_SET_BITRATE"))
    }

    /// Protects against `loss` percent of lost packets, or not at all.
    ///
    /// # Errors
    /// [`CodecError::Native`] where the library refuses.
    pub fn set_fec(&mut self, loss: Option<u8>) -> Result<(), CodecError> {
        self.encoder.set_inband_fec(loss.is_some()).map_err(native("OPUS_SET_INBAND_FEC"))?;
        let percent = i32::from(loss.unwrap_or(0).min(100));
        self.encoder.set_packet_loss_perc(percent).map_err(native("OPUS_SET_PACKET_LOSS_PERC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::tests::{power_at, tone};
    use crate::opus::OpusDecoder;

    #[test]
    fn tone_round_trip_has_frequency_level_and_delay() {
        for used_for in [OpusUse::Audio, OpusUse::Voice, OpusUse::LowDelay] {
            let config = OpusEncoderConfig { used_for, ..OpusEncoderConfig::default() };
            let (mut encoder, mut decoder) = (OpusEncoder::new(config).unwrap(), OpusDecoder::new().unwrap());
            assert_eq!(encoder.delay(), if used_for == OpusUse::LowDelay { 120 } else { 312 });
            // Left 1 kHz from 200 ms on, right 440 Hz all along.
            let (left, right) = (tone(1000.0, 0.5, 48_000), tone(440.0, 0.25, 48_000));
            let start = 9_600;
            let pcm: Vec<f32> = (0..48_000).flat_map(|n| [if n < start { 0.0 } else { left[n] }, right[n]]).collect();
            let mut out = Vec::new();
            for frame in pcm.chunks_exact(1920) {
                let packet = encoder.encode(frame).unwrap();
                assert_eq!(media::opus_packet_samples(&packet), Ok(960));
                decoder.decode(&packet, &mut out).unwrap();
            }
            assert_eq!(out.len(), pcm.len());
            let channel = |c: usize| -> Vec<f32> { out.iter().skip(c).step_by(2).copied().collect() };
            let (l, r) = (channel(0), channel(1));
            let steady = &l[24_000..43_200];
            assert!((power_at(steady, 1000.0) / 0.5 - 1.0).abs() < 0.1, "{used_for:?} {}", power_at(steady, 1000.0));
            assert!(power_at(steady, 440.0) < 0.02, "stereo is kept");
            assert!((power_at(&r[24_000..43_200], 440.0) / 0.25 - 1.0).abs() < 0.1);
            let heard = l.iter().position(|s| s.abs() > 0.25).unwrap();
            let known = start + encoder.delay() as usize;
            assert!(heard.abs_diff(known) < 96, "{used_for:?}: tone at {heard}, known delay says {known}");
        }
    }

    #[test]
    fn bitrate_is_followed() {
        let mut encoder = OpusEncoder::new(OpusEncoderConfig::default()).unwrap();
        let noise: Vec<f32> = tone(997.0, 0.3, 1920).iter().zip(tone(3011.0, 0.3, 1920)).map(|(a, b)| a + b).collect();
        let mut measure = |bitrate: u32| {
            encoder.set_bitrate(bitrate).unwrap();
            (0..50).map(|_| encoder.encode(&noise).unwrap().len()).sum::<usize>() * 8
        };
        let (high, low) = (measure(128_000), measure(24_000));
        assert!(high > 64_000 && high < 160_000 && low < 36_000, "{high} {low}");
    }

    #[test]
    fn wrong_length_is_refused() {
        let mut encoder = OpusEncoder::new(OpusEncoderConfig::default()).unwrap();
        assert!(matches!(encoder.encode(&[0.0; 960]), Err(CodecError::Config(_))));
    }
}
