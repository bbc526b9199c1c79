//! What the entrances of all picture codecs have in common: the unit they make, and what becomes of a NAL unit.
//!
//! Not here: which number means what (`nal`, `h265`), the codecs themselves (`h264`, `h265`, `av1`, `vp9`, `mjpeg`).

use crate::CodecParams;
use crate::unit::UnitKind;
use bytes::Bytes;
use std::sync::Arc;

/// One coded picture in canonical form: what of it is constant is out of band.
#[derive(Debug, Clone)]
pub struct VideoUnit {
    /// Key or delta.
    pub kind: UnitKind,
    /// What it decodes with; the same `Arc` as long as nothing changes.
    pub params: Arc<CodecParams>,
    /// As [`crate::AccessUnit::payload`].
    pub payload: Bytes,
}

/// What becomes of a NAL unit where access units are made, whichever codec it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NalRole {
    /// Kept out of band.
    ParameterSet,
    /// Says where an access unit begins or ends: containers have their own ways.
    Delimiter,
    /// Picture data at which decoding can start.
    Key,
    /// Picture data that needs pictures before it.
    Delta,
    /// Carried along: supplemental enhancement information and what is reserved.
    Other,
}

impl NalRole {
    /// Does the NAL unit carry picture data?
    pub const fn is_picture(self) -> bool {
        matches!(self, Self::Key | Self::Delta)
    }
}
