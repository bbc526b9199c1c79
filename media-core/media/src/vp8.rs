//! VP8: the first bytes of a frame, and the entrance of a VP8 track.
//!
//! Sections are those of RFC 6386. Not here: RTP payload descriptors (`proto::rtp`).

use crate::CodecParams;
use crate::unit::UnitKind;
use crate::video::VideoUnit;
use bytes::Bytes;
use std::sync::Arc;
use thiserror::Error;

/// What VP8 bytes can get wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Vp8Error {
    /// The frame header ends early, or is none (§9.1).
    #[error("broken VP8 frame header")]
    Frame,
    /// A picture came before the first key picture.
    #[error("a picture before the first key picture")]
    NoParams,
}

/// How the pictures of a VP8 track look. A decoder needs none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vp8Params {
    width: u32,
    height: u32,
}

impl Vp8Params {
    /// For pictures of this size, in pixels.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Width of the pictures in pixels.
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Height of the pictures in pixels.
    pub const fn height(&self) -> u32 {
        self.height
    }
}

/// What the uncompressed data chunk of a frame says.
enum Header {
    Delta,
    Key(Vp8Params),
}

impl Header {
    fn read(frame: &[u8]) -> Option<Self> {
        let (tag, rest) = frame.split_first_chunk::<3>()?;
        // Bit 0: 0 is a key picture; bits 1 to 3: the version, of which there are four.
        if tag[0] >> 1 & 7 > 3 {
            return None;
        }
        if tag[0] & 1 == 1 {
            return Some(Self::Delta);
        }
        let &[0x9D, 0x01, 0x2A, w0, w1, h0, h1] = rest.first_chunk::<7>()? else { return None };
        // The two bits above say how much larger it is to be shown, and nobody does.
        let side = |bytes| u32::from(u16::from_le_bytes(bytes) & 0x3FFF);
        let (width, height) = (side([w0, w1]), side([h0, h1]));
        (width > 0 && height > 0).then_some(Self::Key(Vp8Params { width, height }))
    }
}

/// The entrance of a VP8 track: frames are canonical as they are; it tells key from delta and learns the size.
#[derive(Debug, Clone, Default)]
pub struct Vp8Entrance {
    params: Option<Arc<CodecParams>>,
}

impl Vp8Entrance {
    /// An entrance that has seen no key picture.
    pub fn new() -> Self {
        Self::default()
    }

    /// Can decoding start at this frame?
    pub fn starts(frame: &[u8]) -> bool {
        matches!(Header::read(frame), Some(Header::Key(_)))
    }

    /// What is known now; `None` until the size is.
    pub fn params(&self) -> Option<Arc<CodecParams>> {
        self.params.clone()
    }

    /// Takes one frame. `Ok(None)` where it is empty, by which an encoder says that the picture before stays.
    ///
    /// # Errors
    /// [`Vp8Error::NoParams`] before the first key picture, [`Vp8Error::Frame`] for what is none.
    pub fn unit(&mut self, data: &Bytes) -> Result<Option<VideoUnit>, Vp8Error> {
        if data.is_empty() {
            return Ok(None);
        }
        let kind = match Header::read(data).ok_or(Vp8Error::Frame)? {
            Header::Delta => UnitKind::Delta,
            Header::Key(params) => {
                let new = CodecParams::Vp8(params);
                if self.params.as_deref() != Some(&new) {
                    self.params = Some(Arc::new(new));
                }
                UnitKind::Key
            }
        };
        let params = self.params.clone().ok_or(Vp8Error::NoParams)?;
        Ok(Some(VideoUnit { kind, params, payload: data.clone() }))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The beginning of a key picture of 320×240, as libvpx writes it, and of the next.
    pub(crate) const KEY: &[u8] = &[0x50, 0x2A, 0x00, 0x9D, 0x01, 0x2A, 0x40, 0x01, 0xF0, 0x00, 0x02, 0xC7];
    const DELTA: &[u8] = &[0xD1, 0x01, 0x00, 0x03];

    #[test]
    fn the_key_picture_says_the_size() {
        let mut e = Vp8Entrance::new();
        let frame = Bytes::from_static;
        assert_eq!(e.unit(&frame(DELTA)).unwrap_err(), Vp8Error::NoParams);
        let unit = e.unit(&frame(KEY)).unwrap().unwrap();
        assert_eq!((unit.kind, &*unit.params), (UnitKind::Key, &CodecParams::Vp8(Vp8Params::new(320, 240))));
        assert_eq!(unit.payload.as_ptr(), KEY.as_ptr(), "no copy");
        let next = e.unit(&frame(DELTA)).unwrap().unwrap();
        assert_eq!(next.kind, UnitKind::Delta);
        assert!(Arc::ptr_eq(&unit.params, &next.params));
        // A larger one, to be shown twice as wide.
        let mut larger = KEY.to_vec();
        (larger[6], larger[7]) = (0x80, 0x42);
        assert_eq!(e.unit(&larger.into()).unwrap().unwrap().params.size(), Some((640, 240)));
        assert!(e.unit(&Bytes::new()).unwrap().is_none());
        let no_size = [&KEY[..6], &[0; 4]].concat();
        for broken in [&KEY[..2], &KEY[..9], &[0x50, 0, 0, 0x9D, 1, 0x2B, 1, 0, 1, 0], &[0x59, 0, 0], &no_size] {
            assert_eq!(e.unit(&Bytes::copy_from_slice(broken)).unwrap_err(), Vp8Error::Frame, "{broken:02x?}");
        }
    }
}
