//! What FLV bytes can get wrong. A codec that is merely not carried here is no error: it is skipped by name.

use crate::VideoError;
use media::{AacError, OpusError, amf0};
use thiserror::Error;

/// A broken tag or file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FlvError {
    /// The body ends inside a field.
    #[error("tag ends inside the field at byte {at}")]
    Truncated {
        /// Offset of the field in the body, or in one track's part of an extended body.
        at: usize,
    },
    /// More nested modifiers than the format can mean.
    #[error("more than {} ModEx prefixes", super::enhanced::MAX_MOD_EX)]
    TooManyModifiers,
    /// A picture, or what it decodes with.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// AAC configuration.
    #[error("AAC: {0}")]
    Aac(#[from] AacError),
    /// Opus header.
    #[error("Opus: {0}")]
    Opus(#[from] OpusError),
    /// Script data.
    #[error("metadata: {0}")]
    Script(#[from] amf0::Error),
    /// A file that does not begin with `FLV` and version 1, or with an impossible header length.
    #[error("not an FLV file")]
    Signature,
    /// Encrypted tags (§E.5).
    #[error("encrypted FLV")]
    Encrypted,
}
