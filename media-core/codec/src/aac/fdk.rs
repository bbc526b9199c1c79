//! A thin wrapper over the FDK AAC library: the settings the common wrappers leave out (afterburner, limiter off).
//!
//! Its licence is its own (see NOTICE), which is why it stands behind the feature `fdk`.
#![allow(unsafe_code)]

use super::encoder::{AacEncoder, AacEncoderConfig};
use crate::CodecError;
use crate::convert::{f32_to_i16, i16_to_f32};
use bytes::Bytes;
use fdk_aac_sys as fdk;
use media::AacParams;
use std::ffi::c_void;

/// Samples per channel in one AAC-LC frame.
const FRAME: usize = AacParams::FRAME as usize;
/// 6144 bits per channel and frame is the most AAC can hold (ISO/IEC 14496-3 §4.5.3); two channels, rounded up.
const MAX_FRAME_BYTES: usize = 2048;
/// HE-AAC frames of up to eight channels before the down-mix.
const MAX_PCM: usize = 2 * FRAME * 8;

fn check(what: &'static str, code: impl TryInto<i64>) -> Result<(), CodecError> {
    match code.try_into().unwrap_or(-1) {
        0 => Ok(()),
        code => Err(CodecError::Native { what, code }),
    }
}

/// AAC-LC by FDK: constant bitrate, afterburner on, raw frames.
pub struct FdkAacEncoder {
    handle: fdk::HANDLE_AACENCODER,
    params: AacParams,
    delay: u32,
    channels: usize,
    pcm: Vec<i16>,
}

// SAFETY: the handle owns all of the encoder's state; the library keeps no thread-local or global mutable state, and `&mut self`
// on every call keeps use exclusive.
unsafe impl Send for FdkAacEncoder {}

impl FdkAacEncoder {
    /// A fresh encoder.
    ///
    /// # Errors
    /// [`CodecError`] where the library refuses rate, channels or bitrate.
    pub fn new(config: AacEncoderConfig) -> Result<Self, CodecError> {
        if !matches!(config.channels, 1 | 2) {
            return Err(CodecError::Config(format!("{} channels of AAC", config.channels)));
        }
        let params = AacParams::lc(config.rate, config.channels).map_err(|e| CodecError::Config(e.to_string()))?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: the library writes a handle or leaves null; zero modules means all.
        check("aacEncOpen", unsafe { fdk::aacEncOpen(&raw mut handle, 0, u32::from(config.channels)) })?;
        // From here on `Drop` closes the handle.
        let mut this = Self { handle, params, delay: 0, channels: usize::from(config.channels), pcm: Vec::new() };
        let settings = [
            (fdk::AACENC_PARAM_AACENC_AOT, 2),
            (fdk::AACENC_PARAM_AACENC_SAMPLERATE, config.rate),
            // MODE_1 is mono, MODE_2 stereo.
            (fdk::AACENC_PARAM_AACENC_CHANNELMODE, u32::from(config.channels)),
            (fdk::AACENC_PARAM_AACENC_BITRATEMODE, 0),
            (fdk::AACENC_PARAM_AACENC_BITRATE, config.bitrate),
            // Off by default in the library, though it costs a fraction of a percent of a core.
            (fdk::AACENC_PARAM_AACENC_AFTERBURNER, 1),
            // Raw frames, no ADTS.
            (fdk::AACENC_PARAM_AACENC_TRANSMUX, 0),
        ];
        for (param, value) in settings {
            // SAFETY: the handle is open; parameters are plain numbers.
            check("aacEncoder_SetParam", unsafe { fdk::aacEncoder_SetParam(this.handle, param, value) })?;
        }
        // SAFETY: all-null arguments apply the settings, as the library's documentation prescribes.
        let applied = unsafe {
            fdk::aacEncEncode(this.handle, std::ptr::null(), std::ptr::null(), std::ptr::null(), std::ptr::null_mut())
        };
        check("aacEncEncode(init)", applied)?;
        // SAFETY: an all-zero AACENC_InfoStruct is a valid value of a plain C struct of integers.
        let mut info: fdk::AACENC_InfoStruct = unsafe { std::mem::zeroed() };
        // SAFETY: the handle is open and initialised; the library fills the struct it is given.
        check("aacEncInfo", unsafe { fdk::aacEncInfo(this.handle, &raw mut info) })?;
        if info.frameLength as usize != FRAME {
            return Err(CodecError::Config(format!("frames of {} samples", info.frameLength)));
        }
        this.delay = info.nDelay;
        Ok(this)
    }
}

impl AacEncoder for FdkAacEncoder {
    fn params(&self) -> &AacParams {
        &self.params
    }

    fn delay(&self) -> u32 {
        self.delay
    }

    fn encode(&mut self, pcm: &[f32]) -> Result<Bytes, CodecError> {
        if pcm.len() != FRAME * self.channels {
            return Err(CodecError::Config(format!("{} samples, an AAC frame has 1024 per channel", pcm.len())));
        }
        self.pcm.clear();
        self.pcm.extend(pcm.iter().map(|s| f32_to_i16(*s)));
        let mut frame = vec![0_u8; MAX_FRAME_BYTES];
        let int = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let (mut input, mut output) = (self.pcm.as_mut_ptr().cast::<c_void>(), frame.as_mut_ptr().cast::<c_void>());
        let (mut input_id, mut output_id) = (
            i32::try_from(fdk::AACENC_BufferIdentifier_IN_AUDIO_DATA).unwrap_or(0),
            i32::try_from(fdk::AACENC_BufferIdentifier_OUT_BITSTREAM_DATA).unwrap_or(3),
        );
        let (mut input_size, mut output_size) = (int(self.pcm.len() * 2), int(frame.len()));
        let (mut input_element, mut output_element) = (2, 1);
        let buffer = |bufs, id, size, element| fdk::AACENC_BufDesc {
            numBufs: 1,
            bufs,
            bufferIdentifiers: id,
            bufSizes: size,
            bufElSizes: element,
        };
        let from = buffer(&raw mut input, &raw mut input_id, &raw mut input_size, &raw mut input_element);
        let to = buffer(&raw mut output, &raw mut output_id, &raw mut output_size, &raw mut output_element);
        let args = fdk::AACENC_InArgs { numInSamples: int(self.pcm.len()), numAncBytes: 0 };
        let mut done = fdk::AACENC_OutArgs { numOutBytes: 0, numInSamples: 0, numAncBytes: 0, bitResState: 0 };
        // SAFETY: the handle is open; both descriptors hold one buffer whose pointer, byte size and element size describe `pcm`
        // and `frame`, which outlive the call; the library keeps none of them.
        check("aacEncEncode", unsafe {
            fdk::aacEncEncode(self.handle, &raw const from, &raw const to, &raw const args, &raw mut done)
        })?;
        frame.truncate(usize::try_from(done.numOutBytes).unwrap_or(0));
        if frame.is_empty() {
            return Err(CodecError::Native { what: "aacEncEncode gave no frame", code: i64::from(done.numInSamples) });
        }
        Ok(frame.into())
    }
}

impl Drop for FdkAacEncoder {
    fn drop(&mut self) {
        // SAFETY: the handle came from `aacEncOpen` and is closed once; closing null is allowed. The code it answers says nothing
        // that could still be acted on.
        unsafe { fdk::aacEncClose(&raw mut self.handle) };
    }
}

/// FDK's decoder, for what Symphonia does not decode: HE-AAC and more than two channels (mixed down to stereo).
pub(super) struct FdkDecoder {
    handle: fdk::HANDLE_AACDECODER,
    pcm: Vec<i16>,
}

// SAFETY: as for the encoder.
unsafe impl Send for FdkDecoder {}

/// What a frame decoded to.
pub(super) struct FdkFrame {
    pub(super) rate: u32,
    pub(super) channels: u8,
}

impl FdkDecoder {
    pub(super) fn new(params: &AacParams) -> Result<Self, CodecError> {
        // SAFETY: plain numbers in, a handle or null out.
        let handle = unsafe { fdk::aacDecoder_Open(fdk::TRANSPORT_TYPE_TT_MP4_RAW, 1) };
        if handle.is_null() {
            return Err(CodecError::Native { what: "aacDecoder_Open", code: 0 });
        }
        let this = Self { handle, pcm: vec![0; MAX_PCM] };
        let settings = [
            // The limiter and the default concealment hold sound back for 36 ms; noise substitution does not.
            (fdk::AACDEC_PARAM_AAC_PCM_LIMITER_ENABLE, 0),
            (fdk::AACDEC_PARAM_AAC_CONCEAL_METHOD, 1),
            (fdk::AACDEC_PARAM_AAC_PCM_MAX_OUTPUT_CHANNELS, 2),
        ];
        for (param, value) in settings {
            // SAFETY: the handle is open; parameters are plain numbers.
            check("aacDecoder_SetParam", unsafe { fdk::aacDecoder_SetParam(this.handle, param, value) })?;
        }
        let mut config = params.config().to_vec();
        let (mut pointer, length) = (config.as_mut_ptr(), u32::try_from(config.len()).unwrap_or(0));
        // SAFETY: one layer: one pointer and one length, both of `config`, which outlives the call.
        check("aacDecoder_ConfigRaw", unsafe {
            fdk::aacDecoder_ConfigRaw(this.handle, &raw mut pointer, &raw const length)
        })?;
        Ok(this)
    }

    /// Appends the sound of one raw frame, interleaved.
    pub(super) fn decode(&mut self, frame: &[u8], out: &mut Vec<f32>) -> Result<FdkFrame, CodecError> {
        let damaged = |what: &str, code: i64| CodecError::Damaged(format!("{what}, native code {code}"));
        let mut bytes = frame.to_vec();
        let (mut pointer, length) = (bytes.as_mut_ptr(), u32::try_from(bytes.len()).unwrap_or(0));
        let mut left = length;
        // SAFETY: one layer: one pointer and one length, both of `bytes`; the library copies what it takes.
        let code = unsafe { fdk::aacDecoder_Fill(self.handle, &raw mut pointer, &raw const length, &raw mut left) };
        check("aacDecoder_Fill", code)?;
        let room = i32::try_from(self.pcm.len()).unwrap_or(0);
        // SAFETY: `pcm` has `room` elements; the library writes no more than that.
        let code = unsafe { fdk::aacDecoder_DecodeFrame(self.handle, self.pcm.as_mut_ptr(), room, 0) };
        check("AAC frame", code).map_err(|_| damaged("AAC frame", i64::from(code)))?;
        // SAFETY: the handle is open; the library answers a pointer into its own state, valid until the next call. It is read
        // here and not kept.
        let info = unsafe { fdk::aacDecoder_GetStreamInfo(self.handle).as_ref() };
        let info = info.ok_or_else(|| damaged("AAC stream info", 0))?;
        let (frames, channels) =
            (usize::try_from(info.frameSize).unwrap_or(0), u8::try_from(info.numChannels).unwrap_or(0));
        let samples = self.pcm.get(..frames * usize::from(channels)).ok_or_else(|| damaged("AAC frame size", 0))?;
        out.extend(samples.iter().map(|s| i16_to_f32(*s)));
        Ok(FdkFrame { rate: u32::try_from(info.sampleRate).unwrap_or(0), channels })
    }
}

impl Drop for FdkDecoder {
    fn drop(&mut self) {
        // SAFETY: the handle came from `aacDecoder_Open` and is closed once.
        unsafe { fdk::aacDecoder_Close(self.handle) };
    }
}
