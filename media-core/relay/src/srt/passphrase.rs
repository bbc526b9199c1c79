//! The secrets that streams are encrypted with.
//!
//! Not here: how (`srt-protocol`), where they are written (`config`).

use crate::access::Action;
use hub::PathName;
use std::str::FromStr;
use thiserror::Error;

/// A passphrase is 10 to 79 bytes long (libsrt's `SRTO_PASSPHRASE`).
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(srt_protocol::options::Passphrase);

/// A passphrase of a length that nobody takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an SRT passphrase is 10 to 79 bytes long; this one is {0}")]
pub struct PassphraseError(usize);

impl FromStr for Passphrase {
    type Err = PassphraseError;

    fn from_str(text: &str) -> Result<Self, PassphraseError> {
        text.to_owned().try_into().map(Self).map_err(|_length| PassphraseError(text.len()))
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passphrase").finish_non_exhaustive()
    }
}

impl Passphrase {
    pub(super) fn inner(&self) -> srt_protocol::options::Passphrase {
        self.0.clone()
    }
}

/// Knows which paths are encrypted.
pub trait Passphrases: Send + Sync + std::fmt::Debug {
    /// What doing `action` with `path` takes; `None` where it is done in clear.
    fn passphrase(&self, path: &PathName, action: Action) -> Option<Passphrase>;
}

/// Everything in clear.
#[derive(Debug, Clone, Copy)]
pub struct NoPassphrases;

impl Passphrases for NoPassphrases {
    fn passphrase(&self, _path: &PathName, _action: Action) -> Option<Passphrase> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let parse = |length: usize| "x".repeat(length).parse::<Passphrase>();
        assert_eq!((parse(9), parse(80)), (Err(PassphraseError(9)), Err(PassphraseError(80))));
        assert!(parse(10).is_ok() && parse(79).is_ok());
        assert!(!format!("{:?}", parse(10)).contains('x'.to_string().repeat(2).as_str()));
    }
}
