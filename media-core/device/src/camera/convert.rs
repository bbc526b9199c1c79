//! What cameras give, as I420: plain loops over rows, pure, bounded by the frame's own length.

use crate::DeviceError;
use media::{MonoTime, Picture};

/// How a camera packs its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Y0 U Y1 V: 4:2:2, 16 bits a pixel.
    Yuyv,
    /// A plane of Y, then one of U and V in turn: 4:2:0, 12 bits a pixel.
    Nv12,
    /// One JPEG a picture.
    Mjpeg,
}

/// A picture as the camera gave it.
#[derive(Debug, Clone, Copy)]
pub struct RawFrame<'a> {
    /// How the bytes are to be read.
    pub format: PixelFormat,
    /// Width in pixels; an odd last column is left out.
    pub width: u32,
    /// Height in pixels; an odd last row is left out.
    pub height: u32,
    /// Bytes from one row to the next, where the camera says so; otherwise taken from the length. Not for MJPEG.
    pub stride: Option<u32>,
    /// The bytes.
    pub bytes: &'a [u8],
    /// When the light met the sensor.
    pub captured: MonoTime,
}

/// Converts `frame` to I420. A JPEG's own size wins over the announced one.
///
/// # Errors
/// [`DeviceError::Format`] for a frame that is too short, cut off, damaged, or of an impossible size.
pub fn to_i420(frame: &RawFrame<'_>) -> Result<Picture, DeviceError> {
    match frame.format {
        PixelFormat::Yuyv => yuyv(frame),
        PixelFormat::Nv12 => nv12(frame),
        PixelFormat::Mjpeg => {
            codec::decode_jpeg(frame.bytes, frame.captured).map_err(|e| DeviceError::Format(e.to_string()))
        }
    }
}

/// Sides as the picture will have them, even.
fn sides(frame: &RawFrame<'_>) -> Result<(usize, usize), DeviceError> {
    let (width, height) = (frame.width & !1, frame.height & !1);
    Picture::bytes_of(width, height).map_err(|e| DeviceError::Format(e.to_string()))?;
    Ok((width as usize, height as usize))
}

/// Bytes from row to row: as said, or else the length divided among `rows`, but never less than a row's own bytes.
fn stride(frame: &RawFrame<'_>, rows: usize, row_bytes: usize) -> usize {
    let said = frame.stride.map(|s| s as usize).filter(|s| *s >= row_bytes);
    let even_share = frame.bytes.len().checked_div(rows).filter(|share| {
        // Drivers pad rows to a power of two; a longer tail is metadata, not stride.
        *share >= row_bytes && *share <= row_bytes + 512 && frame.bytes.len().is_multiple_of(rows)
    });
    said.or(even_share).unwrap_or(row_bytes)
}

fn short(frame: &RawFrame<'_>) -> DeviceError {
    let RawFrame { format, width, height, bytes, .. } = frame;
    DeviceError::Format(format!("{} bytes are no {format:?} picture of {width}×{height}", bytes.len()))
}

fn yuyv(frame: &RawFrame<'_>) -> Result<Picture, DeviceError> {
    let (width, height) = sides(frame)?;
    // An odd width still has whole pairs in memory.
    let row_bytes = (frame.width as usize).next_multiple_of(2) * 2;
    let stride = stride(frame, frame.height as usize, row_bytes);
    let mut data = vec![0; width * height * 3 / 2];
    let (luma, chroma) = data.split_at_mut(width * height);
    let (us, vs) = chroma.split_at_mut(width * height / 4);
    let row = |y: usize| frame.bytes.get(y * stride..y * stride + width * 2).ok_or_else(|| short(frame));
    for (pair, (out, (u, v))) in luma
        .chunks_exact_mut(width * 2)
        .zip(us.chunks_exact_mut(width / 2).zip(vs.chunks_exact_mut(width / 2)))
        .enumerate()
    {
        let (upper, lower) = (row(pair * 2)?, row(pair * 2 + 1)?);
        let (top, bottom) = out.split_at_mut(width);
        for (out, row) in [(top, upper), (bottom, lower)] {
            for (y, packed) in out.chunks_exact_mut(2).zip(row.chunks_exact(4)) {
                if let ([y0, y1], [a, _, b, _]) = (y, packed) {
                    (*y0, *y1) = (*a, *b);
                }
            }
        }
        // 4:2:2 to 4:2:0: the mean of two rows.
        let packed = upper.chunks_exact(4).zip(lower.chunks_exact(4));
        for ((u, v), (a, b)) in u.iter_mut().zip(v).zip(packed) {
            if let ([_, ua, _, va], [_, ub, _, vb]) = (a, b) {
                (*u, *v) = (mean(*ua, *ub), mean(*va, *vb));
            }
        }
    }
    picture(width, height, data, frame.captured)
}

fn mean(a: u8, b: u8) -> u8 {
    a.midpoint(b)
}

fn nv12(frame: &RawFrame<'_>) -> Result<Picture, DeviceError> {
    let (width, height) = sides(frame)?;
    let rows = frame.height as usize + (frame.height as usize).div_ceil(2);
    let stride = stride(frame, rows, (frame.width as usize).next_multiple_of(2));
    let row = |y: usize| frame.bytes.get(y * stride..y * stride + width).ok_or_else(|| short(frame));
    let mut data = Vec::with_capacity(width * height * 3 / 2);
    for y in 0..height {
        data.extend_from_slice(row(y)?);
    }
    let mut vs = Vec::with_capacity(width * height / 4);
    for y in 0..height / 2 {
        for pair in row(frame.height as usize + y)?.chunks_exact(2) {
            if let [u, v] = pair {
                data.push(*u);
                vs.push(*v);
            }
        }
    }
    data.extend_from_slice(&vs);
    picture(width, height, data, frame.captured)
}

pub(super) fn picture(width: usize, height: usize, data: Vec<u8>, captured: MonoTime) -> Result<Picture, DeviceError> {
    let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Picture::new(side(width), side(height), data, captured).map_err(|e| DeviceError::Format(e.to_string()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    /// One frame of a lively test picture, by ffmpeg, in `arguments`' format.
    pub(in crate::camera) fn ffmpeg(width: u32, height: u32, arguments: &[&str]) -> Vec<u8> {
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

    pub(in crate::camera) fn i420(width: u32, height: u32) -> Picture {
        let bytes = ffmpeg(width, height, &["-f", "rawvideo", "-pix_fmt", "yuv420p"]);
        Picture::new(width, height, bytes, MonoTime::default()).unwrap()
    }

    pub(in crate::camera) fn psnr(a: &[u8], b: &[u8]) -> f64 {
        assert_eq!(a.len(), b.len());
        let error: f64 = a.iter().zip(b).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
        if error == 0.0 { 99.0 } else { 10.0 * (255.0 * 255.0 * a.len() as f64 / error).log10() }
    }

    fn frame(format: PixelFormat, width: u32, height: u32, stride: Option<u32>, bytes: &[u8]) -> RawFrame<'_> {
        RawFrame { format, width, height, stride, bytes, captured: MonoTime::from_micros(5) }
    }

    /// The same rows further apart.
    fn padded(bytes: &[u8], row: usize, stride: usize) -> Vec<u8> {
        bytes.chunks(row).flat_map(|r| r.iter().copied().chain(std::iter::repeat_n(0xEE, stride - row))).collect()
    }

    #[test]
    fn what_ffmpeg_packs() {
        for (width, height) in [(320, 240), (642, 362), (34, 18)] {
            let want = i420(width, height);
            for (format, name, row) in
                [(PixelFormat::Yuyv, "yuyv422", width as usize * 2), (PixelFormat::Nv12, "nv12", width as usize)]
            {
                let bytes = ffmpeg(width, height, &["-f", "rawvideo", "-pix_fmt", name]);
                for extra in [0, 2, 13, 64] {
                    let wide = padded(&bytes, row, row + extra);
                    for said in [None, Some(u32::try_from(row + extra).unwrap())] {
                        let got = to_i420(&frame(format, width, height, said, &wide)).unwrap();
                        assert_eq!(got.captured().micros(), 5);
                        let luma = (width * height) as usize;
                        assert_eq!(got.data()[..luma], want.data()[..luma], "{name} {width}×{height} +{extra}");
                        let chroma = psnr(&got.data()[luma..], &want.data()[luma..]);
                        let floor = if format == PixelFormat::Nv12 { 98.0 } else { 30.0 };
                        assert!(chroma > floor, "{name} {width}×{height} +{extra}: {chroma:.1} dB");
                    }
                }
            }
        }
    }

    #[test]
    fn odd_sides_lose_their_last_line() {
        for format in [PixelFormat::Yuyv, PixelFormat::Nv12] {
            let bytes = vec![7; 22 * 2 * 13 + 22 * 7];
            let got = to_i420(&frame(format, 21, 13, None, &bytes)).unwrap();
            assert_eq!((got.width(), got.height()), (20, 12));
        }
    }

    #[test]
    fn short_and_impossible_frames_are_refused() {
        for format in [PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::Mjpeg] {
            for (width, height, length) in [(320, 240, 0), (320, 240, 1000), (0, 0, 100), (1, 1, 100), (20_000, 2, 9)] {
                let bytes = vec![0; length];
                let got = to_i420(&frame(format, width, height, None, &bytes));
                assert!(matches!(got, Err(DeviceError::Format(_))), "{format:?} {width}×{height} {length}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_frame_keeps_the_promise(data in prop::collection::vec(any::<u8>(), 0..400)) {
            crate::fuzz::fuzz_camera(&data);
        }
    }
}
