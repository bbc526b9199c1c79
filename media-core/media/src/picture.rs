//! Raw pictures: I420, which every encoder and decoder here speaks.
//!
//! Not here: conversion from what cameras give (`device`), scaling (`codec`).

use crate::monotonic::MonoTime;
use std::sync::Arc;
use thiserror::Error;

/// Why a picture cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PictureError {
    /// A side is zero, odd, or above [`Picture::MAX_SIDE`].
    #[error("picture size {width}×{height}: sides must be even, 2 to 8192")]
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The bytes do not match the size.
    #[error("{got} bytes, an I420 picture of this size has {want}")]
    Length {
        /// Bytes given.
        got: usize,
        /// Bytes needed.
        want: usize,
    },
}

/// One picture: Y, then U, then V, tightly packed, BT.601 or BT.709 limited range. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    data: Arc<[u8]>,
    captured: MonoTime,
}

impl Picture {
    /// The largest side accepted; 8K.
    pub const MAX_SIDE: u32 = 8192;

    /// Bytes of an I420 picture of this size.
    ///
    /// # Errors
    /// [`PictureError::Size`] for sides that are zero, odd or too large.
    pub fn bytes_of(width: u32, height: u32) -> Result<usize, PictureError> {
        let good = |side: u32| side >= 2 && side.is_multiple_of(2) && side <= Self::MAX_SIDE;
        if !good(width) || !good(height) {
            return Err(PictureError::Size { width, height });
        }
        Ok(width as usize * height as usize * 3 / 2)
    }

    /// A picture of `data` (Y, U, V packed), captured at `captured`.
    ///
    /// # Errors
    /// [`PictureError`] where size and bytes do not go together.
    pub fn new(width: u32, height: u32, data: impl Into<Arc<[u8]>>, captured: MonoTime) -> Result<Self, PictureError> {
        let (data, want) = (data.into(), Self::bytes_of(width, height)?);
        if data.len() != want {
            return Err(PictureError::Length { got: data.len(), want });
        }
        Ok(Self { width, height, data, captured })
    }

    /// Width in pixels, even.
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, even.
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// When the light met the sensor, as near as the device tells.
    pub const fn captured(&self) -> MonoTime {
        self.captured
    }

    /// All three planes in order.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The three planes: Y (`width` × `height`), U and V (half of each side).
    pub fn planes(&self) -> (&[u8], &[u8], &[u8]) {
        let luma = self.width as usize * self.height as usize;
        let (y, chroma) = self.data.split_at(luma);
        let (u, v) = chroma.split_at(luma / 4);
        (y, u, v)
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture {}×{} at {} µs", self.width, self.height, self.captured.micros())
    }
}
