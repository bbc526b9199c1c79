//! The Opus decoder: packets of any legal duration to 48 kHz stereo, and something in place of lost ones.

use super::{RATE, native};
use crate::CodecError;
use opus::{Channels, Decoder};

/// 120 ms, the longest packet (RFC 6716 §3.2.5).
const MAX_FRAMES: usize = 5_760;
/// Concealment works in steps of 2.5 ms.
const STEP: usize = 120;

/// Decodes to interleaved 48 kHz stereo; mono packets come out on both channels.
#[derive(Debug)]
pub struct OpusDecoder {
    decoder: Decoder,
}

impl OpusDecoder {
    /// A fresh decoder.
    ///
    /// # Errors
    /// [`CodecError::Native`] where the library has no memory.
    pub fn new() -> Result<Self, CodecError> {
        Decoder::new(RATE, Channels::Stereo).map(|decoder| Self { decoder }).map_err(native("opus_decoder_create"))
    }

    /// Appends what `packet` holds to `out` (interleaved stereo); answers the frames (samples per channel), exactly what
    /// [`media::opus_packet_samples`] says.
    ///
    /// # Errors
    /// [`CodecError::Damaged`] for a broken packet, of which nothing is appended.
    pub fn decode(&mut self, packet: &[u8], out: &mut Vec<f32>) -> Result<usize, CodecError> {
        let frames = media::opus_packet_samples(packet).map_err(|e| CodecError::Damaged(e.to_string()))?;
        self.run(packet, frames as usize, false, out)
    }

    /// Appends `frames` frames (rounded up to 2.5 ms, at most 120 ms) in place of lost sound. With `next`, the packet after the
    /// loss, the copy that in-band FEC put into it is used where there is one; that packet is decoded as usual afterwards.
    ///
    /// # Errors
    /// [`CodecError::Damaged`] where `next` is broken.
    pub fn decode_lost(&mut self, frames: usize, next: Option<&[u8]>, out: &mut Vec<f32>) -> Result<usize, CodecError> {
        let frames = frames.div_ceil(STEP).saturating_mul(STEP).clamp(STEP, MAX_FRAMES);
        match next.filter(|packet| !packet.is_empty()) {
            Some(packet) => self.run(packet, frames, true, out),
            None => self.run(&[], frames, false, out),
        }
    }

    fn run(&mut self, packet: &[u8], frames: usize, fec: bool, out: &mut Vec<f32>) -> Result<usize, CodecError> {
        let start = out.len();
        out.resize(start + frames * 2, 0.0);
        let room = out.get_mut(start..).unwrap_or_default();
        match self.decoder.decode_float(packet, room, fec) {
            Ok(got) => {
                out.truncate(start + got * 2);
                Ok(got)
            }
            Err(e) => {
                out.truncate(start);
                Err(CodecError::Damaged(format!("Opus packet, native code {}", e.code() as i64)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::tests::{rms, tone};
    use crate::opus::{OpusEncoder, OpusEncoderConfig, OpusUse};
    use proptest::prelude::*;

    fn packets(config: OpusEncoderConfig) -> Vec<bytes::Bytes> {
        let mut encoder = OpusEncoder::new(config).unwrap();
        let mono = tone(300.0, 0.5, 48_000);
        let pcm: Vec<f32> = mono.iter().flat_map(|s| [*s, *s]).collect();
        pcm.chunks_exact(1920).map(|f| encoder.encode(f).unwrap()).collect()
    }

    #[test]
    fn lost_packets_are_replaced_in_full_length() {
        let voice = OpusEncoderConfig { bitrate: 32_000, used_for: OpusUse::Voice, fec: Some(20) };
        for (name, config, with_fec) in [("concealed", OpusEncoderConfig::default(), false), ("FEC", voice, true)] {
            let packets = packets(config);
            let mut decoder = OpusDecoder::new().unwrap();
            let mut out = Vec::new();
            for (n, packet) in packets.iter().enumerate() {
                let frames = if n == 25 {
                    decoder.decode_lost(960, with_fec.then(|| &packets[26][..]), &mut out).unwrap()
                } else {
                    decoder.decode(packet, &mut out).unwrap()
                };
                assert_eq!(frames, 960);
            }
            assert_eq!(out.len(), 96_000);
            let gap = rms(&out[25 * 1920..26 * 1920]);
            assert!((gap / 0.353 - 1.0).abs() < 0.35, "{name}: rms {gap}");
        }
    }

    #[test]
    fn lost_length_is_rounded_and_bounded() {
        let mut decoder = OpusDecoder::new().unwrap();
        for (asked, want) in [(0, 120), (1, 120), (960, 960), (usize::MAX, 5760)] {
            assert_eq!(decoder.decode_lost(asked, None, &mut Vec::new()).unwrap(), want);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_keep_the_promise(packet in prop::collection::vec(any::<u8>(), 0..100)) {
            crate::fuzz::fuzz_opus(&packet);
        }
    }
}
