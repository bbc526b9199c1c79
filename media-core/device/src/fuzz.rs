//! Entry points for the fuzzers, built and replayed in ordinary tests.

use crate::camera::{PixelFormat, RawFrame, to_i420};
use crate::synthetic;
use media::{MonoTime, Picture};

/// Camera frames: format, width, height, stride from the first bytes, then the frame.
pub fn fuzz_camera(data: &[u8]) {
    let Some((&[format, width, height, stride], bytes)) = data.split_first_chunk::<4>() else { return };
    let format = [PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::Mjpeg][usize::from(format % 3)];
    let frame = RawFrame {
        format,
        width: u32::from(width),
        height: u32::from(height),
        stride: (stride != 0).then(|| u32::from(stride)),
        bytes,
        captured: MonoTime::from_micros(1),
    };
    if let Ok(picture) = to_i420(&frame) {
        let want = Picture::bytes_of(picture.width(), picture.height());
        assert_eq!(want, Ok(picture.data().len()), "size and bytes go together");
    }
}

/// The clock card's reader: width, height, stride from the first bytes, then luma.
pub fn fuzz_clock_card(data: &[u8]) {
    let Some((&[width, height, stride], luma)) = data.split_first_chunk::<3>() else { return };
    let reading = synthetic::read_clock_luma(luma, usize::from(width), usize::from(height), usize::from(stride));
    assert!(reading.is_none_or(|r| r.frame < 1 << 24), "24 bits");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corpora() {
        let check = |name: &str, target: fn(&[u8])| {
            for seed in [&[][..], &[2, 1, 1, 0, 0xFF, 0xD8, 0xFF, 0xD9], &[0, 4, 4, 8], &[255; 300], &[2; 40]] {
                target(seed);
            }
            let corpus = format!("{}/../fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
            for entry in std::fs::read_dir(corpus).into_iter().flatten().flatten() {
                target(&std::fs::read(entry.path()).unwrap());
            }
        };
        check("camera", fuzz_camera);
        check("clock_card", fuzz_clock_card);
    }
}
