//! The keys of SRT: the listener's, and the passphrases of paths.
//!
//! Not here: what they do (`crate::srt`).

use super::yaml::Section;
use super::{ConfigError, Note, server};
use crate::access::Action;
use crate::srt::{Passphrase, SrtConfig};
use std::net::SocketAddr;

pub(super) fn read(
    top: &mut Section<'_>,
    notes: &mut Vec<Note>,
) -> Result<Option<(SocketAddr, SrtConfig)>, ConfigError> {
    let address = server(top, "srt", "srtAddress", ":8890", true, notes)?;
    // The paths are read later, and give their passphrases then.
    Ok(address.map(|address| (address, SrtConfig::default())))
}

/// What one path is encrypted with; in clear where it is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PathPassphrases {
    publish: Option<Passphrase>,
    read: Option<Passphrase>,
}

impl PathPassphrases {
    pub(super) fn read(path: &mut Section<'_>, notes: &mut Vec<Note>) -> Result<Self, ConfigError> {
        Ok(Self {
            publish: passphrase(path, "srtPublishPassphrase", notes)?,
            read: passphrase(path, "srtReadPassphrase", notes)?,
        })
    }

    pub(super) fn of(&self, action: Action) -> Option<Passphrase> {
        match action {
            Action::Publish => self.publish.clone(),
            Action::Read => self.read.clone(),
        }
    }
}

fn passphrase(
    path: &mut Section<'_>,
    key: &'static str,
    notes: &mut Vec<Note>,
) -> Result<Option<Passphrase>, ConfigError> {
    match path.done(key, notes) {
        // MediaMTX's reference file has the keys with nothing behind them.
        Some(value) if value.is_empty() || value.text().as_deref() == Ok("") => Ok(None),
        Some(value) => value.parse().map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use crate::access::Action;
    use crate::config::Config;
    use hub::PathName;

    #[test]
    fn keys() {
        assert_eq!(Config::parse("").unwrap().relay.srt.unwrap().0.port(), 8890);
        assert!(Config::parse("srt: no\n").unwrap().relay.srt.is_none());
        let text = "srtAddress: 127.0.0.1:9000\npaths:\n  cam:\n    srtReadPassphrase: reading it\n    \
                    srtPublishPassphrase: ''\n  all_others:\n    srtPublishPassphrase: publishing\n";
        let config = Config::parse(text).unwrap();
        let (address, srt) = config.relay.srt.unwrap();
        assert_eq!(address.to_string(), "127.0.0.1:9000");
        let check = |action, path: &str, want: Option<&str>| {
            let got = srt.passphrases.passphrase(&PathName::parse(path).unwrap(), action);
            assert_eq!(got, want.map(|want| want.parse().unwrap()), "{action:?} {path}");
        };
        check(Action::Read, "cam", Some("reading it"));
        check(Action::Read, "cam_aac", Some("reading it"));
        check(Action::Publish, "cam", None);
        check(Action::Publish, "other", Some("publishing"));
        check(Action::Read, "other", None);
        let note = |key: &str| config.notes.iter().any(|note| note.to_string().contains(&format!("{key}: done")));
        assert!(note("srtAddress") && note("paths.cam.srtReadPassphrase"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = Config::parse("paths:\n  cam:\n    srtReadPassphrase: short\n").map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "line 3: an SRT passphrase is 10 to 79 bytes long; this one is 5");
        let error = Config::parse("srtAdress: :1\n").map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("'srtAddress'"), "{error}");
    }
}
