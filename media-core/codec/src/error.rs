//! What a codec can answer instead of media.

use thiserror::Error;

/// Why a codec could not do what was asked. Carries native codes only: the libraries' own error values hold backtraces whose
/// formatting takes hundreds of milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The library refused; `code` is its own number.
    #[error("{what} failed with native code {code}")]
    Native {
        /// Which call of which library.
        what: &'static str,
        /// The library's number.
        code: i64,
    },
    /// A configuration that cannot be: sizes, rates, bitrates, channels.
    #[error("impossible configuration: {0}")]
    Config(String),
    /// A stream of a kind this build has no decoder or encoder for.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// A unit of another codec than the one this object handles.
    #[error("an access unit of another codec")]
    WrongCodec,
    /// A unit that does not decode; the next one may.
    #[error("damaged access unit: {0}")]
    Damaged(String),
    /// A delta picture while the decoder waits for a key picture.
    #[error("waiting for a key picture")]
    NeedKey,
}

impl CodecError {
    pub(crate) fn openh264(what: &'static str, error: &openh264::Error) -> Self {
        Self::Native { what, code: error.native_code() }
    }
}
