//! Entry points for the fuzzers, built and replayed in ordinary tests: what the window says, what a profile holds, what a user types.

use crate::player::FromWindow;
use crate::server::ServerTarget;
use crate::settings::{ServerPorts, Settings};
use hub::PathName;
use relay::rtmp::RtmpUrl;
use std::path::Path;

/// A message of the window.
pub fn fuzz_window_message(data: &[u8]) {
    let _message = FromWindow::parse(&String::from_utf8_lossy(data));
}

/// A settings file; what is taken is written and read back the same.
pub fn fuzz_settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file = Path::new("settings.toml");
    if let Ok(settings) = Settings::parse(text, file) {
        let written = settings.to_text().expect("what was read can be written");
        assert_eq!(Settings::parse(&written, file).ok(), Some(settings), "what we write reads back the same");
    }
}

/// A server's address, a user's name and a password, one on a line each.
pub fn fuzz_server_address(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or("").to_owned();
    let (Ok(doctor), Ok(patient)) = (PathName::parse("doctorStream"), PathName::parse("patientStream")) else { return };
    let target = ServerTarget {
        address: line(),
        user: line(),
        password: line(),
        ports: ServerPorts::default(),
        doctor,
        patient,
    };
    let whip = target.whip();
    assert!(whip.url.contains("://") && whip.url.ends_with("/doctorStream/whip"), "an endpoint for the doctor");
    assert!(target.address.contains(target.host()), "the host is part of the address");
    if let Ok(url) = RtmpUrl::parse(&target.rtmp()) {
        assert!(!url.host.is_empty(), "a server to connect to");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz_replay::replay;
    use proptest::prelude::*;

    #[test]
    fn corpora() {
        let messages: &[&[u8]] = &[
            br#"{"type":"selfTest","ok":true}"#,
            br#"{"type":"shown","sequence":4294967295,"decodeMs":1.5,"displayMs":-0}"#,
            br#"{"type":"needKey"}"#,
            br#"{"type":"shown","sequence":-1,"decodeMs":1e999}"#,
            b"[[[[[[[[[[[[",
        ];
        replay("window_message", fuzz_window_message, messages);
        let default = Settings::default().to_text().unwrap();
        let files: &[&[u8]] = &[
            default.as_bytes(),
            b"version = 1\nlanguage = \"en\"\ncamera = \"v4l2:0\"\n[server]\nkind = \"address\"\naddress = \"10.0.0.5\"\n",
            b"version = 2\n",
            b"version = 1\nwidht = 3\n[ports]\nrtmp = 65536\n",
            b"version = 1\nwidth = -9223372036854775808\n",
        ];
        replay("settings", fuzz_settings, files);
        let addresses: &[&[u8]] = &[
            b"10.0.0.5:9000\n\nt/1",
            b"https://relay.example/live/\ndoc\np w",
            b" [fd00::1]:80 ",
            b"://\n",
            b"]:[/\n%\n\xE4\xBD\xA0",
        ];
        replay("server_address", fuzz_server_address, addresses);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[ -~\r\n]{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            for data in [text.as_bytes(), &bytes] {
                fuzz_window_message(data);
                fuzz_settings(data);
                fuzz_server_address(data);
            }
        }
    }
}
