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
        let frames: &[&[u8]] = &[
            &[],
            &[2, 1, 1, 0, 0xFF, 0xD8, 0xFF, 0xD9],
            &[0, 4, 4, 8],
            &[0, 4, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
            &[1, 4, 2, 6, 1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 0, 0, 9, 9, 9, 9, 0, 0],
            &[255; 300],
            &[2; 40],
        ];
        crate::fuzz_replay::replay("camera", fuzz_camera, frames);
        let cards: &[&[u8]] = &[&[], &[16, 21, 16, 0], &[255; 300], &[2; 40]];
        crate::fuzz_replay::replay("clock_card", fuzz_clock_card, cards);
    }
}
