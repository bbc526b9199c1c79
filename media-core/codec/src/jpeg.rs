//! Motion JPEG: one JPEG per picture, as cameras send them, sometimes cut off, sometimes without Huffman tables.
//!
//! Not here: what a JPEG says before its scan (`media`), packets and parts that it comes in (`proto`, `relay`), cameras (`device`).

use crate::CodecError;
use media::{MonoTime, Picture};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// An APP0 that says "MJPEG in AVI", upon which the decoder uses the standard's tables (JPEG K.3) where the picture has none.
const AVI1: [u8; 18] = [0xFF, 0xE0, 0x00, 0x10, b'A', b'V', b'I', b'1', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Decodes a JPEG to I420 in limited range (JPEG's own is full range).
///
/// # Errors
/// [`CodecError::Damaged`] for what is cut off, broken, or larger than a picture may be.
pub fn decode_jpeg(bytes: &[u8], captured: MonoTime) -> Result<Picture, CodecError> {
    let whole = complete(bytes)?;
    let repaired;
    let jpeg = if has_tables(whole) {
        whole
    } else {
        repaired = [whole.get(..2).unwrap_or_default(), &AVI1, whole.get(2..).unwrap_or_default()].concat();
        &repaired
    };
    let broken = |e: &dyn std::fmt::Debug| CodecError::Damaged(format!("JPEG: {e:?}"));
    let side = Picture::MAX_SIDE as usize;
    let options = DecoderOptions::new_safe()
        .jpeg_set_out_colorspace(ColorSpace::YCbCr)
        .set_max_width(side)
        .set_max_height(side)
        .set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    decoder.decode_headers().map_err(|e| broken(&e))?;
    if decoder.input_colorspace() == Some(ColorSpace::Luma) {
        let options = options.jpeg_set_out_colorspace(ColorSpace::Luma);
        decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
        decoder.decode_headers().map_err(|e| broken(&e))?;
    }
    let (width, height) = decoder.dimensions().ok_or_else(|| broken(&"no size"))?;
    let pixels = decoder.decode().map_err(|e| broken(&e))?;
    let samples = if decoder.input_colorspace() == Some(ColorSpace::Luma) { 1 } else { 3 };
    pack(&pixels, width, height, samples, captured)
}

/// The picture up to its end marker, which a cut-off transfer does not have. Padding behind it is usual.
fn complete(bytes: &[u8]) -> Result<&[u8], CodecError> {
    if !bytes.starts_with(&[0xFF, 0xD8]) {
        return Err(CodecError::Damaged("not a JPEG".into()));
    }
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    let whole = bytes.get(..end).unwrap_or_default();
    if whole.ends_with(&[0xFF, 0xD9]) {
        return Ok(whole);
    }
    // Some cameras leave old bytes behind the end: it may stand within the last few KiB.
    const TAIL: usize = 4096;
    let from = end.saturating_sub(TAIL);
    let tail = whole.get(from..).unwrap_or_default();
    match tail.windows(2).rposition(|pair| pair == [0xFF, 0xD9]) {
        Some(at) => Ok(whole.get(..from + at + 2).unwrap_or_default()),
        None => Err(CodecError::Damaged(format!("a JPEG cut off at {} bytes", bytes.len()))),
    }
}

/// Walks the markers before the scan: is there a Huffman table?
fn has_tables(jpeg: &[u8]) -> bool {
    let mut at = 2;
    while let Some([0xFF, marker, high, low]) = jpeg.get(at..at + 4) {
        match marker {
            0xC4 => return true,
            0xDA => return false,
            _ => at += 2 + (usize::from(*high) << 8 | usize::from(*low)),
        }
    }
    // Something the decoder shall judge.
    true
}

/// Full range to limited range (BT.601).
fn luma(full: u8) -> u8 {
    u8::try_from(16 + (u32::from(full) * 219 + 127) / 255).unwrap_or(235)
}

fn chroma(full_sum_of_four: u32) -> u8 {
    // 128 + (mean − 128) × 224 / 255, rounded.
    let centred = i64::from(full_sum_of_four) - 4 * 128;
    u8::try_from(128 + (centred * 224 + centred.signum() * 510) / 1020).unwrap_or(128)
}

/// Packed 4:4:4 (or luma alone) to I420.
fn pack(
    pixels: &[u8],
    full_width: usize,
    full_height: usize,
    samples: usize,
    captured: MonoTime,
) -> Result<Picture, CodecError> {
    let (width, height) = (full_width & !1, full_height & !1);
    let stride = full_width * samples;
    if width == 0 || height == 0 || pixels.len() < stride * full_height {
        return Err(CodecError::Damaged(format!("JPEG of {full_width}×{full_height}")));
    }
    let luma_table: Vec<u8> = (0..=255).map(luma).collect();
    let to_luma = |full: u8| luma_table.get(usize::from(full)).copied().unwrap_or(16);
    let mut data = Vec::with_capacity(width * height * 3 / 2);
    for row in pixels.chunks_exact(stride).take(height) {
        data.extend(row.chunks_exact(samples).take(width).map(|p| to_luma(p.first().copied().unwrap_or(0))));
    }
    if samples == 1 {
        data.resize(width * height * 3 / 2, 128);
        return picture(width, height, data, captured);
    }
    for plane in [1, 2] {
        for rows in pixels.chunks_exact(stride * 2).take(height / 2) {
            let (upper, lower) = rows.split_at(stride);
            for (a, b) in upper.chunks_exact(6).zip(lower.chunks_exact(6)).take(width / 2) {
                let sum = [a, b].map(|pair| [plane, plane + 3].map(|at| pair.get(at).map_or(128, |s| u32::from(*s))));
                data.push(chroma(sum.iter().flatten().sum()));
            }
        }
    }
    picture(width, height, data, captured)
}

fn picture(width: usize, height: usize, data: Vec<u8>, captured: MonoTime) -> Result<Picture, CodecError> {
    let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Picture::new(side(width), side(height), data, captured).map_err(|e| CodecError::Damaged(e.to_string()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::process::Command;

    /// One picture of a lively test source by ffmpeg, in `arguments`' format.
    pub(crate) fn ffmpeg(width: u32, height: u32, arguments: &[&str]) -> Vec<u8> {
        let source = format!("testsrc2=size={width}x{height}:rate=5,format=yuv420p");
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", &source, "-ss", "1", "-frames:v", "1"])
            .args(arguments)
            .arg("pipe:1")
            .output()
            .expect("ffmpeg is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Peak signal-to-noise ratio of some samples in dB.
    fn psnr(a: &[u8], b: &[u8]) -> f64 {
        assert_eq!(a.len(), b.len());
        let error: f64 = a.iter().zip(b).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
        10.0 * (255.0 * 255.0 * a.len() as f64 / error.max(1e-6)).log10()
    }

    fn jpeg(width: u32, height: u32, pixel_format: &str) -> Vec<u8> {
        ffmpeg(width, height, &["-pix_fmt", pixel_format, "-c:v", "mjpeg", "-q:v", "2", "-f", "mjpeg"])
    }

    fn decode(bytes: &[u8]) -> Result<Picture, CodecError> {
        decode_jpeg(bytes, MonoTime::from_micros(9))
    }

    #[test]
    fn what_ffmpeg_encodes() {
        for format in ["yuvj420p", "yuvj422p", "yuvj444p"] {
            for (width, height) in [(320, 240), (642, 362)] {
                let got = decode(&jpeg(width, height, format)).unwrap();
                assert_eq!((got.width(), got.height(), got.captured().micros()), (width, height, 9));
                let want = ffmpeg(width, height, &["-f", "rawvideo", "-pix_fmt", "yuv420p"]);
                let luma = (width * height) as usize;
                let quality = psnr(&got.data()[..luma], &want[..luma]);
                let colour = psnr(&got.data()[luma..], &want[luma..]);
                assert!(quality > 32.0 && colour > 26.0, "{format} {width}×{height}: {quality:.1}, {colour:.1} dB");
            }
        }
        let odd =
            ffmpeg(64, 48, &["-vf", "crop=63:47:0:0:exact=1", "-pix_fmt", "yuvj444p", "-c:v", "mjpeg", "-f", "mjpeg"]);
        let odd = decode(&odd).unwrap();
        assert_eq!((odd.width(), odd.height()), (62, 46));
    }

    /// 16 × 16, grey, white above and black below.
    const GREY: &str = concat!(
        "ffd8ffe000104a46494600010100000100010000ffdb0043000302020302020303030304030304050805050404050a070706",
        "080c0a0c0c0b0a0b0b0d0e12100d0e110e0b0b1016101113141515150c0f171816141812141514ffc0000b08001000100101",
        "1100ffc400160001010100000000000000000000000000000809ffc400171000030100000000000000000000000000001864",
        "a2ffda0008010100003f00ad19caf419caf464a3395e83395e8fffd9",
    );

    #[test]
    fn grey_pictures_have_neutral_colour() {
        let bytes: Vec<u8> =
            (0..GREY.len()).step_by(2).map(|at| u8::from_str_radix(&GREY[at..at + 2], 16).unwrap()).collect();
        let grey = decode(&bytes).unwrap();
        let (y, u, v) = grey.planes();
        assert!(u.iter().chain(v).all(|c| *c == 128) && y.len() == 256);
        assert!(y[0] > 225 && y[255] < 26 && y.chunks(16).all(|row| row.iter().all(|s| s.abs_diff(row[0]) < 3)));
    }

    #[test]
    fn cut_off_pictures_are_refused_and_padded_ones_are_not() {
        let whole = jpeg(320, 240, "yuvj422p");
        for cut in (2..whole.len() - 1).step_by(whole.len() / 40) {
            assert!(matches!(decode(&whole[..cut]), Err(CodecError::Damaged(_))), "cut at {cut}");
        }
        for padding in [&[0_u8; 700][..], &[0, 0, 1, 2, 3, 0]] {
            assert!(decode(&[&whole, padding].concat()).is_ok());
        }
    }

    #[test]
    fn missing_huffman_tables_are_the_standard_ones() {
        let whole = ffmpeg(320, 240, &["-pix_fmt", "yuvj422p", "-c:v", "mjpeg", "-huffman", "default", "-f", "mjpeg"]);
        let mut bare = whole[..2].to_vec();
        let mut at = 2;
        while whole[at + 1] != 0xDA {
            let length = 2 + (usize::from(whole[at + 2]) << 8 | usize::from(whole[at + 3]));
            if whole[at + 1] != 0xC4 {
                bare.extend_from_slice(&whole[at..at + length]);
            }
            at += length;
        }
        bare.extend_from_slice(&whole[at..]);
        assert!(bare.len() + 400 < whole.len() && !has_tables(&bare));
        assert_eq!(decode(&bare).unwrap().data(), decode(&whole).unwrap().data());
    }

    #[test]
    fn range_is_limited() {
        let check = |full: u8, y: u8, c: u8| assert_eq!((luma(full), chroma(4 * u32::from(full))), (y, c), "{full}");
        check(0, 16, 16);
        check(255, 235, 240);
        check(128, 126, 128);
    }
}
