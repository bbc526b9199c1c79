//! The H.264 encoder: one picture in, one access unit out, no delay, no B pictures.
//!
//! Not here: pacing and timestamps (`engine`), what the parameter sets say (`media`).
#![allow(unsafe_code)]

use crate::CodecError;
use media::{AnnexB, H264Entrance, Picture, VideoUnit};
use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Encoder, FrameRate, FrameType, IntraFramePeriod, Profile, RateControlMode, UsageType, VuiConfig,
};
use openh264::formats::YUVSlices;
use openh264_sys2::{
    ENCODER_OPTION, ENCODER_OPTION_BITRATE, ENCODER_OPTION_MAX_BITRATE, ENCODER_OPTION_TRACE_LEVEL, SBitrateInfo,
    SPATIAL_LAYER_0, WELS_LOG_QUIET,
};

/// A slice of this size and its RTP, SRTP and FU headers fit one packet on every path (WebRTC plans with 1200 bytes).
const MAX_SLICE: u32 = 1200;
/// OpenH264 refuses larger pictures (level 5.2).
const MAX_SIDES: (u32, u32) = (3840, 2160);
/// Below this no picture is worth looking at; it also keeps a bandwidth estimate of zero out of the library.
const MIN_BITRATE: u32 = 30_000;
/// Above what level 5.2 carries, and safely inside the library's `int`.
const MAX_BITRATE: u32 = 240_000_000;

/// What to encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderConfig {
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// Pictures per second the rate control plans with.
    pub fps: u32,
    /// Bits per second.
    pub bitrate: u32,
    /// Pictures from one key picture to the next; zero makes key pictures on demand only.
    pub gop: u32,
    /// What the colours mean.
    pub matrix: Matrix,
}

/// How colours became luma and chroma, always of limited range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Matrix {
    /// Standard definition, cameras, JPEG.
    #[default]
    Bt601,
    /// High definition.
    Bt709,
}

impl EncoderConfig {
    /// `width` × `height` at `fps` and `bitrate` bits per second, a key picture every second.
    pub const fn new(width: u32, height: u32, fps: u32, bitrate: u32) -> Self {
        Self { width, height, fps, bitrate, gop: fps, matrix: Matrix::Bt601 }
    }
}

/// Encodes pictures to constrained baseline access units in canonical form.
pub struct H264Encoder {
    config: EncoderConfig,
    encoder: Encoder,
    entrance: H264Entrance,
    /// The library is set up by the first picture; before that its options do not exist.
    started: bool,
    annex_b: Vec<u8>,
}

impl H264Encoder {
    /// An encoder that has seen no picture.
    ///
    /// # Errors
    /// [`CodecError::Config`] for sides that are odd, zero or beyond 3840×2160, or no frame rate.
    pub fn new(config: EncoderConfig) -> Result<Self, CodecError> {
        let config = EncoderConfig { bitrate: config.bitrate.clamp(MIN_BITRATE, MAX_BITRATE), ..config };
        Ok(Self { encoder: open(&config)?, config, entrance: H264Entrance::new(), started: false, annex_b: Vec::new() })
    }

    /// What is encoded now; size follows the last picture, bitrate the last [`Self::set_bitrate`].
    pub const fn config(&self) -> EncoderConfig {
        self.config
    }

    /// Encodes `picture`; with `force_idr` it becomes a key picture. A picture of a new size starts a new sequence with new
    /// parameter sets and a key picture. `None` where the rate control dropped the picture (it is told not to).
    ///
    /// # Errors
    /// [`CodecError`] where the library refuses; the next picture may be tried.
    pub fn encode(&mut self, picture: &Picture, force_idr: bool) -> Result<Option<VideoUnit>, CodecError> {
        if (picture.width(), picture.height()) != (self.config.width, self.config.height) {
            let config = EncoderConfig { width: picture.width(), height: picture.height(), ..self.config };
            self.encoder = open(&config)?;
            self.config = config;
            self.started = false;
        }
        if force_idr && self.started {
            self.encoder.force_intra_frame();
        }
        let (width, height) = (self.config.width as usize, self.config.height as usize);
        let source = YUVSlices::new(picture.planes(), (width, height), (width, width / 2, width / 2));
        let stream = self.encoder.encode(&source).map_err(|e| CodecError::openh264("EncodeFrame", &e))?;
        self.started = true;
        if matches!(stream.frame_type(), FrameType::Skip | FrameType::Invalid) {
            return Ok(None);
        }
        self.annex_b.clear();
        stream.write_vec(&mut self.annex_b);
        self.entrance.unit(AnnexB::new(&self.annex_b)).map_err(|e| CodecError::Damaged(e.to_string()))
    }

    /// Aims at `bitrate` bits per second from the next picture on, without a key picture. Clamped to 30 kbit/s–240 Mbit/s.
    ///
    /// # Errors
    /// [`CodecError::Native`] where the library refuses; the old bitrate stays.
    pub fn set_bitrate(&mut self, bitrate: u32) -> Result<(), CodecError> {
        let bitrate = bitrate.clamp(MIN_BITRATE, MAX_BITRATE);
        if !self.started {
            self.encoder = open(&EncoderConfig { bitrate, ..self.config })?;
        } else if bitrate > self.config.bitrate {
            // The library keeps target ≤ maximum at every step, so the order depends on the direction.
            self.set_option(ENCODER_OPTION_MAX_BITRATE, bitrate)?;
            self.set_option(ENCODER_OPTION_BITRATE, bitrate)?;
        } else if bitrate < self.config.bitrate {
            self.set_option(ENCODER_OPTION_BITRATE, bitrate)?;
            self.set_option(ENCODER_OPTION_MAX_BITRATE, bitrate)?;
        }
        self.config.bitrate = bitrate;
        Ok(())
    }

    fn set_option(&mut self, option: ENCODER_OPTION, bitrate: u32) -> Result<(), CodecError> {
        let bitrate = i32::try_from(bitrate).unwrap_or(i32::MAX);
        let mut info = SBitrateInfo { iLayer: SPATIAL_LAYER_0, iBitrate: bitrate };
        // SAFETY: the encoder is initialised (`started`); both options take a pointer to `SBitrateInfo`, which the library
        // reads during the call and does not keep.
        let code = unsafe { self.encoder.raw_api().set_option(option, (&raw mut info).cast()) };
        if code == 0 { Ok(()) } else { Err(CodecError::Native { what: "SetOption(bitrate)", code: i64::from(code) }) }
    }
}

impl std::fmt::Debug for H264Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "H264Encoder {:?}", self.config)
    }
}

fn open(config: &EncoderConfig) -> Result<Encoder, CodecError> {
    let EncoderConfig { width, height, fps, bitrate, gop, matrix } = *config;
    let vui = match matrix {
        Matrix::Bt601 => VuiConfig::bt601(),
        Matrix::Bt709 => VuiConfig::bt709(),
    };
    let (long, short) = (width.max(height), width.min(height));
    // OpenH264 cannot code pictures below one macroblock.
    if short < 16 || long > MAX_SIDES.0 || short > MAX_SIDES.1 || width % 2 != 0 || height % 2 != 0 {
        return Err(CodecError::Config(format!("picture of {width}×{height}")));
    }
    if fps == 0 || fps > 240 {
        return Err(CodecError::Config(format!("{fps} pictures per second")));
    }
    let native = openh264::encoder::EncoderConfig::new()
        .bitrate(BitRate::from_bps(bitrate))
        .max_frame_rate(FrameRate::from_hz(fps as f32))
        .usage_type(UsageType::CameraVideoRealTime)
        // The crate's default is quality mode; the buffer-based mode does not control the rate at all.
        .rate_control_mode(RateControlMode::Bitrate)
        .skip_frames(false)
        .max_slice_len(MAX_SLICE)
        .profile(Profile::Baseline)
        // It would insert key pictures nobody asked for.
        .scene_change_detect(false)
        .intra_frame_period(IntraFramePeriod::from_num_frames(gop))
        // A second thread gains nothing up to 1080p and takes a core from the rest of the app.
        .num_threads(1)
        .vui(vui);
    let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), native)
        .map_err(|e| CodecError::openh264("encoder", &e))?;
    // It would write two warnings about settings chosen on purpose to the standard error stream at every start.
    let mut quiet = WELS_LOG_QUIET;
    // SAFETY: the trace level is the one option that may be set before initialisation; it takes a pointer to an int, which the
    // library reads during the call and does not keep.
    let code = unsafe { encoder.raw_api().set_option(ENCODER_OPTION_TRACE_LEVEL, (&raw mut quiet).cast()) };
    debug_assert_eq!(code, 0, "the trace level is a valid option");
    Ok(encoder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h264::H264Decoder;
    use crate::h264::decoder::tests::unit_of;
    use crate::scale::tests::{moving_card, psnr};
    use media::{CodecParams, LengthPrefixed, UnitKind};
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn encode_all(encoder: &mut H264Encoder, size: (u32, u32), frames: std::ops::Range<u32>) -> Vec<VideoUnit> {
        frames.map(|n| encoder.encode(&moving_card(size.0, size.1, n), false).unwrap().expect("a unit")).collect()
    }

    fn bits_per_second(units: &[VideoUnit], fps: u32) -> f64 {
        let bytes: usize = units.iter().map(|u| u.payload.len()).sum();
        bytes as f64 * 8.0 * f64::from(fps) / units.len() as f64
    }

    #[test]
    fn decodes_to_the_same_picture() {
        for (width, height, bitrate) in [(320, 240, 600_000), (642, 362, 1_500_000)] {
            let mut encoder = H264Encoder::new(EncoderConfig::new(width, height, 30, bitrate)).unwrap();
            let mut decoder = H264Decoder::new().unwrap();
            for n in 0..30 {
                let picture = moving_card(width, height, n);
                let unit = encoder.encode(&picture, false).unwrap().unwrap();
                let decoded = decoder.decode(&unit_of(&unit, i64::from(n))).unwrap().expect("no delay").picture;
                let quality = psnr(&picture, &decoded);
                assert!(quality > 30.0, "{width}×{height} picture {n}: {quality:.1} dB");
            }
        }
    }

    #[test]
    fn key_every_second_and_on_demand() {
        let mut encoder = H264Encoder::new(EncoderConfig::new(320, 240, 10, 300_000)).unwrap();
        let kinds: Vec<bool> = (0..24)
            .map(|n| encoder.encode(&moving_card(320, 240, n), n == 13).unwrap().unwrap().kind == UnitKind::Key)
            .collect();
        let keys: Vec<usize> = kinds.iter().enumerate().filter(|(_, k)| **k).map(|(n, _)| n).collect();
        assert_eq!(&keys[..3], [0, 10, 13], "{keys:?}");
        let mut on_demand =
            H264Encoder::new(EncoderConfig { gop: 0, ..EncoderConfig::new(320, 240, 10, 300_000) }).unwrap();
        let units = encode_all(&mut on_demand, (320, 240), 0..25);
        assert_eq!(units.iter().filter(|u| u.kind == UnitKind::Key).count(), 1);
    }

    #[test]
    fn bitrate_is_held_and_changes_without_a_key() {
        let size = (320, 240);
        let config = EncoderConfig { gop: 0, ..EncoderConfig::new(size.0, size.1, 15, 400_000) };
        let mut encoder = H264Encoder::new(config).unwrap();
        let measure = |encoder: &mut H264Encoder, frames: std::ops::Range<u32>, want: f64| {
            let units = encode_all(encoder, size, frames.clone());
            // The first second after a change is the rate control's own.
            let got = bits_per_second(&units[15..], 15);
            assert!((got / want - 1.0).abs() < 0.15, "{frames:?}: {got:.0} bit/s, wanted {want:.0}");
            units.iter().filter(|u| u.kind == UnitKind::Key).count()
        };
        assert_eq!(measure(&mut encoder, 0..60, 400_000.0), 1);
        encoder.set_bitrate(150_000).unwrap();
        assert_eq!(measure(&mut encoder, 60..120, 150_000.0), 0);
        encoder.set_bitrate(800_000).unwrap();
        assert_eq!(measure(&mut encoder, 120..180, 800_000.0), 0);
        assert_eq!(encoder.config().bitrate, 800_000);
    }

    #[test]
    fn a_new_size_is_a_new_sequence() {
        let mut encoder = H264Encoder::new(EncoderConfig::new(320, 240, 30, 500_000)).unwrap();
        let first = encode_all(&mut encoder, (320, 240), 0..3).pop().unwrap();
        encoder.set_bitrate(300_000).unwrap();
        let turned = encoder.encode(&moving_card(240, 320, 3), false).unwrap().unwrap();
        assert_eq!(turned.kind, UnitKind::Key);
        let size = |unit: &VideoUnit| match &*unit.params {
            CodecParams::H264(p) => (p.width(), p.height(), p.reorder()),
            _ => panic!("H.264"),
        };
        assert_eq!((size(&first), size(&turned)), ((320, 240, 0), (240, 320, 0)));
        assert_eq!(encoder.config().bitrate, 300_000);
    }

    #[test]
    fn slices_fit_a_packet_even_in_a_noisy_key_picture() {
        let mut state = 1_u32;
        let noise: Vec<u8> = (0..Picture::bytes_of(1280, 720).unwrap())
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let picture = Picture::new(1280, 720, noise, media::MonoTime::default()).unwrap();
        let mut encoder = H264Encoder::new(EncoderConfig::new(1280, 720, 30, 2_000_000)).unwrap();
        for _ in 0..3 {
            let unit = encoder.encode(&picture, false).unwrap().unwrap();
            let longest = LengthPrefixed::parse(&unit.payload).unwrap().map(<[u8]>::len).max().unwrap();
            assert!(longest <= 1200, "{longest} bytes in one slice");
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for (width, height, fps) in [(0, 0, 30), (321, 240, 30), (8000, 4000, 30), (640, 480, 0)] {
            assert!(matches!(H264Encoder::new(EncoderConfig::new(width, height, fps, 1)), Err(CodecError::Config(_))));
        }
    }

    /// A program that is not ours says what it is.
    #[test]
    fn ffprobe_sees_constrained_baseline_without_b_pictures() {
        let mut encoder = H264Encoder::new(EncoderConfig::new(640, 360, 30, 600_000)).unwrap();
        let mut stream = Vec::new();
        for (n, unit) in (0_i64..).zip(encode_all(&mut encoder, (640, 360), 0..40)) {
            stream.extend_from_slice(&unit_of(&unit, n).annex_b());
        }
        let entries = "stream=profile,has_b_frames,width,height,color_space:frame=pict_type";
        let mut probe = Command::new("ffprobe")
            .args(["-v", "error", "-f", "h264", "-show_entries", entries, "-of", "csv", "-i", "pipe:0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ffprobe is installed");
        let mut input = probe.stdin.take().unwrap();
        let writer = std::thread::spawn(move || input.write_all(&stream).unwrap());
        let output = String::from_utf8(probe.wait_with_output().unwrap().stdout).unwrap();
        writer.join().unwrap();
        let stream_line = output.lines().find(|l| l.starts_with("stream")).unwrap();
        assert!(stream_line.contains("Constrained Baseline") && stream_line.contains("640,360,0"), "{stream_line}");
        let types: String =
            output.lines().filter(|l| l.starts_with("frame")).filter_map(|l| l.split(',').nth(1)).collect();
        assert_eq!(types.len(), 40, "{output}");
        assert!(!types.contains('B') && types.matches('I').count() == 2, "{types}");
    }

    /// What a latency probe draws, 16 × 7 black and white cells in the top two thirds, is still there after coding.
    #[test]
    fn clock_cells_survive() {
        for (width, height, bitrate) in [(640, 360, 600_000), (1280, 720, 1_500_000)] {
            let mut encoder = H264Encoder::new(EncoderConfig::new(width, height, 30, bitrate)).unwrap();
            let mut decoder = H264Decoder::new().unwrap();
            for n in 0_u32..45 {
                let bits = (u128::from(n) * 0x9E37_79B9_7F4A_7C15_F39C_C060) & ((1 << 112) - 1);
                let unit = encoder.encode(&cells(&moving_card(width, height, n), bits), false).unwrap().unwrap();
                let decoded = decoder.decode(&unit_of(&unit, i64::from(n))).unwrap().unwrap().picture;
                assert_eq!(read_cells(&decoded), bits, "{width}×{height} picture {n}");
            }
        }
    }

    fn cell(width: u32, height: u32, x: u32, y: u32) -> u32 {
        let (column, row) = (x * 16 / width, y * 7 / (height * 2 / 3));
        111 - (row * 16 + column)
    }

    fn cells(picture: &Picture, bits: u128) -> Picture {
        let (width, height) = (picture.width(), picture.height());
        let mut data = picture.data().to_vec();
        for y in 0..height * 2 / 3 {
            for x in 0..width {
                let white = bits >> cell(width, height, x, y) & 1 == 1;
                data[(y * width + x) as usize] = if white { 235 } else { 16 };
            }
        }
        Picture::new(width, height, data, picture.captured()).unwrap()
    }

    fn read_cells(picture: &Picture) -> u128 {
        let (width, height) = (picture.width(), picture.height());
        let mut bits = 0;
        for index in 0..112_u32 {
            let (x, y) = ((index % 16 * 2 + 1) * width / 32, (index / 16 * 2 + 1) * (height * 2 / 3) / 14);
            bits = bits << 1 | u128::from(picture.planes().0[(y * width + x) as usize] > 125);
        }
        bits
    }
}
