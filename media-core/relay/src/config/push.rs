//! The key `push` of a path: where it is pushed to. Our own; MediaMTX's users run ffmpeg from `runOnReady` for this.
//!
//! Not here: what a destination is (`crate::push`), YAML (`yaml`).

use super::yaml::{Section, Value};
use super::{ConfigError, Note};
use crate::push::Destination;
use crate::tls::{Fingerprint, Trust};
use saphyr::YamlData;

/// Most destinations of one path: each costs its stream's bytes a second.
const MAX: usize = 32;

/// Reads `push` of a path: a URL, or a list of URLs and of `{url: …, fingerprint: …, token: …}`.
pub(super) fn read(path: &mut Section<'_>, notes: &mut Vec<Note>) -> Result<Vec<Destination>, ConfigError> {
    let Some(value) = path.done("push", notes) else { return Ok(Vec::new()) };
    let items: Vec<Value<'_>> = match &value.node.data {
        YamlData::Sequence(items) => items.iter().map(|node| Value { node, line: node.span.start.line() }).collect(),
        _ => vec![value],
    };
    if items.len() > MAX {
        return Err(ConfigError::new(value.line, format!("a path is pushed to {MAX} servers at most")));
    }
    items.into_iter().map(|item| destination(item, notes)).collect()
}

fn destination(item: Value<'_>, notes: &mut Vec<Note>) -> Result<Destination, ConfigError> {
    let parse = |url: Value<'_>| {
        // The value carries keys and passwords: what is wrong is said without it.
        url.text()?.parse::<Destination>().map_err(|e| ConfigError::new(url.line, e.to_string()))
    };
    if !matches!(item.node.data, YamlData::Mapping(_)) {
        return parse(item);
    }
    let mut section = item.section("push.".into())?;
    let url = section.done("url", notes);
    let (fingerprint, token) = (section.done("fingerprint", notes), section.done("token", notes));
    section.finish()?;
    let url = url.ok_or_else(|| ConfigError::new(item.line, "a destination has a 'url'".into()))?;
    let mut destination = parse(url)?;
    if let Some(value) = fingerprint {
        let trust = Trust::Fingerprint(value.parse::<Fingerprint>()?);
        destination = destination.with_trust(trust).map_err(|e| ConfigError::new(value.line, e.to_string()))?;
    }
    if let Some(value) = token {
        destination = destination.with_token(value.text()?).map_err(|e| ConfigError::new(value.line, e.to_string()))?;
    }
    Ok(destination)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn keys() {
        let text = "paths:\n  live:\n    push:\n      - rtmp://a/live/key\n      - url: rtmps://b/live/key\n        fingerprint: ";
        let config =
            Config::parse(&(text.to_owned() + &"ab".repeat(32) + "\n  other:\n    push: rtmp://c/x/y\n")).unwrap();
        let got: Vec<String> = config.relay.pushes.iter().map(|(path, to)| format!("{path} {to}")).collect();
        assert_eq!(got, ["live rtmp://a/live", "live rtmps://b/live", "other rtmp://c/x"]);
        assert!(!format!("{config:?}").contains("key\""), "keys are not shown");
    }

    #[test]
    fn what_is_wrong_is_said_without_secrets() {
        let check = |push: &str, want: &str| {
            let text = format!("paths:\n  live:\n    push: {push}\n");
            assert_eq!(Config::parse(&text).map(|_| ()).unwrap_err().to_string(), want);
        };
        check(
            "ftp://u:secret@h",
            "line 3: nothing is pushed to 'ftp://'; write rtmp(s)://, rtsp(s)://, srt:// or whip(s)://",
        );
        check("[{url: rtmp://h/a/b, token: hush}]", "line 3: a token goes with whip:// and whips://");
        check("[{fingerprint: ab}]", "line 3: a destination has a 'url'");
        check(
            "[{url: rtmp://h/a/b, uri: c}]",
            "line 3: 'push.uri' is not a known key; the nearest known one is 'push.url'",
        );
        let text = "paths:\n  all_others:\n    push: rtmp://h/a/b\n";
        assert_eq!(
            Config::parse(text).map(|_| ()).unwrap_err().to_string(),
            "line 2: 'push' goes with a path that has a name: many would be pushed to one place"
        );
    }
}
