//! Configuration keys of paths: which there are, what feeds them, and who may use them.

use super::srt::PathPassphrases;
use super::values::Span;
use super::yaml::{Section, Value};
use super::{ConfigError, Done, Note, push};
use crate::access::{AccessRequest, Action, Authorizer, Refusal, Verdict, constant_time_eq};
use crate::push::Destination;
use crate::rtsp::PullTransport;
use crate::source::{OnDemand, SourceConfig, SourceUrl};
use crate::srt::{Passphrase, Passphrases};
use crate::tls::{Fingerprint, Trust};
use hub::PathName;
use std::collections::BTreeMap;

/// The paths that may be used, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paths {
    /// What the relay fetches; nobody else publishes there.
    pub(super) sources: Vec<SourceConfig>,
    /// Where what is published here goes besides.
    pub(super) pushes: Vec<(PathName, Destination)>,
    named: BTreeMap<PathName, Rights>,
    all_others: Option<Rights>,
}

/// What one path asks for; nothing where it is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Rights {
    publish: Option<User>,
    read: Option<User>,
    /// A source feeds it, so nobody publishes.
    fetched: bool,
    srt: PathPassphrases,
}

#[derive(Clone, PartialEq, Eq)]
struct User {
    name: String,
    password: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

pub(super) fn read(top: &mut Section<'_>, notes: &mut Vec<Note>) -> Result<Paths, ConfigError> {
    let mut paths = Paths { sources: Vec::new(), pushes: Vec::new(), named: BTreeMap::new(), all_others: None };
    let Some(section) = top.done("paths", notes) else {
        return Ok(Paths { all_others: Some(Rights::default()), ..paths });
    };
    for (name, value) in section.section("paths.".into())?.into_entries() {
        notes.push(Note { line: value.line, key: format!("paths.{name}"), done: Done::Yes });
        let (mut rights, mut source, mut pushes) = (Rights::default(), None, Vec::new());
        if !value.is_empty() {
            let mut path = value.section(format!("paths.{name}."))?;
            source = read_source(&mut path, notes)?;
            rights.publish = user(&mut path, "publishUser", "publishPass", notes)?;
            rights.read = user(&mut path, "readUser", "readPass", notes)?;
            rights.srt = PathPassphrases::read(&mut path, notes)?;
            pushes = push::read(&mut path, notes)?;
            path.finish()?;
        }
        if name == "all_others" || name == "all" {
            if source.is_some() {
                let why = format!("'{name}' is no one path that a source could feed; give the path's name");
                return Err(ConfigError::new(value.line, why));
            }
            if !pushes.is_empty() {
                let why = "'push' goes with a path that has a name: many would be pushed to one place".into();
                return Err(ConfigError::new(value.line, why));
            }
            paths.all_others = Some(rights);
        } else {
            let bad = |e| ConfigError::new(value.line, format!("path '{name}': {e}"));
            let name = PathName::parse(&name).map_err(bad)?;
            if let Some(source) = source {
                rights.fetched = true;
                paths.sources.push(source.of(name.clone()));
            }
            paths.pushes.extend(pushes.into_iter().map(|to| (name.clone(), to)));
            paths.named.insert(name, rights);
        }
    }
    Ok(paths)
}

/// What a path is fed from, before the path's name is known to be one.
struct PathSource {
    url: SourceUrl,
    on_demand: Option<OnDemand>,
    trust: Trust,
    transport: PullTransport,
}

impl PathSource {
    fn of(self, path: PathName) -> SourceConfig {
        let Self { url, on_demand, trust, transport } = self;
        SourceConfig { path, url, on_demand, trust, transport }
    }
}

/// The source of a path; `None` for one that somebody publishes.
fn read_source(path: &mut Section<'_>, notes: &mut Vec<Note>) -> Result<Option<PathSource>, ConfigError> {
    let source = path.done("source", notes);
    let on_demand = path.done("sourceOnDemand", notes);
    let start_timeout = path.done("sourceOnDemandStartTimeout", notes);
    let close_after = path.done("sourceOnDemandCloseAfter", notes);
    let fingerprint = path.done("sourceFingerprint", notes);
    let token = path.done("whepBearerToken", notes);
    // The second is the first's old name.
    let transport =
        [path.done("rtspTransport", notes), path.done("sourceProtocol", notes)].into_iter().flatten().next();
    let Some(source) = source.filter(|source| source.text().as_deref() != Ok("publisher")) else {
        let given = [on_demand.filter(|value| value.flag() != Ok(false)), fingerprint, transport, token];
        return match given.into_iter().flatten().next() {
            Some(value) => Err(ConfigError::new(
                value.line,
                "this is for a source that is fetched, and a publisher comes by itself".into(),
            )),
            None => Ok(None),
        };
    };
    let mut url = source.parse::<SourceUrl>()?;
    if let Some(value) = token {
        url = url.with_token(value.text()?).map_err(|error| ConfigError::new(value.line, error.to_string()))?;
    }
    let mut times = OnDemand::default();
    if let Some(value) = start_timeout {
        times.start_timeout = value.parse::<Span>()?.0;
    }
    if let Some(value) = close_after {
        times.close_after = value.parse::<Span>()?.0;
    }
    let on_demand = on_demand.map_or(Ok(false), Value::flag)?.then_some(times);
    let encrypted = matches!(url, SourceUrl::Rtsps(_));
    let trust = match fingerprint {
        Some(value) => Trust::Fingerprint(value.parse::<Fingerprint>()?),
        None => Trust::System,
    };
    let transport = match transport.map(|value| Ok((value.line, value.text()?))).transpose()? {
        None => PullTransport::Automatic,
        Some((line, text)) => match text.as_str() {
            "automatic" => PullTransport::Automatic,
            "tcp" => PullTransport::Tcp,
            "udp" if encrypted => {
                return Err(ConfigError::new(
                    line,
                    "rtsps:// comes in its connection alone; write tcp, or nothing".into(),
                ));
            }
            "udp" => PullTransport::Udp,
            other => {
                return Err(ConfigError::new(line, format!("'{other}' is no transport; write automatic, tcp or udp")));
            }
        },
    };
    Ok(Some(PathSource { url, on_demand, trust, transport }))
}

/// The user that a path is for, if it is for one alone.
fn user(
    path: &mut Section<'_>,
    user: &'static str,
    password: &'static str,
    notes: &mut Vec<Note>,
) -> Result<Option<User>, ConfigError> {
    let (name, secret) = (path.done(user, notes), path.done(password, notes));
    let (Some(name), Some(secret)) = (name, secret) else {
        return match name.or(secret) {
            Some(value) => Err(ConfigError::new(value.line, format!("'{user}' and '{password}' go together"))),
            None => Ok(None),
        };
    };
    let (line, name, password) = (secret.line, name.text()?, secret.text()?);
    if ["sha256:", "argon2:"].iter().any(|hash| name.starts_with(hash) || password.starts_with(hash)) {
        return Err(ConfigError::new(line, "hashed passwords are not understood yet; write a plain one".into()));
    }
    Ok(Some(User { name, password }))
}

impl Paths {
    /// What is asked for `path`; `None` where there is no such path.
    fn rights(&self, path: &PathName) -> Option<&Rights> {
        let base =
            ["_aac", "_opus"].into_iter().filter_map(|s| path.without_suffix(s)).find_map(|b| self.named.get(&b));
        self.named.get(path).or(base).or(self.all_others.as_ref())
    }

    fn decide(&self, request: &AccessRequest) -> Result<(), Refusal> {
        let rights = self.rights(&request.path).ok_or(Refusal::NoSuchPath)?;
        let wanted = match request.action {
            Action::Publish if rights.fetched => return Err(Refusal::NoSuchPath),
            Action::Publish => &rights.publish,
            Action::Read => &rights.read,
        };
        let Some(wanted) = wanted else { return Ok(()) };
        let right = request.user().is_some_and(|user| constant_time_eq(&wanted.name, user))
            && request.shows_password(&wanted.password);
        if right { Ok(()) } else { Err(Refusal::Unauthorized) }
    }
}

impl Authorizer for Paths {
    fn authorize<'a>(&'a self, request: &'a AccessRequest) -> Verdict<'a> {
        Box::pin(async { self.decide(request) })
    }
}

impl Passphrases for Paths {
    fn passphrase(&self, path: &PathName, action: Action) -> Option<Passphrase> {
        self.rights(path)?.srt.of(action)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, yaml};
    use super::*;

    fn error(text: &str) -> String {
        Config::parse(text).map(|c| format!("{c:?}")).unwrap_err().to_string()
    }

    #[test]
    fn only_named_paths() {
        let check = |text: &str, path: &str, want: bool| {
            let paths = yaml::read(text, |mut top| read(&mut top, &mut Vec::new())).unwrap();
            assert_eq!(paths.rights(&PathName::parse(path).unwrap()).is_some(), want, "{text:?} {path}");
        };
        check("paths: {a: }", "a", true);
        check("paths: {a: }", "a_aac", true);
        check("paths: {a: }", "b", false);
        check("paths: {a: , all_others: }", "b", true);
        check("", "b", true);
    }

    #[test]
    fn users_of_a_path() {
        let text = "paths:\n  a:\n    publishUser: cam\n    publishPass: secret\n";
        let paths = yaml::read(text, |mut top| read(&mut top, &mut Vec::new())).unwrap();
        let check = |action, path: &str, basic: Option<(&str, &str)>, want| {
            let request = AccessRequest {
                action,
                path: PathName::parse(path).unwrap(),
                peer: "127.0.0.1:1".parse().unwrap(),
                query: Vec::new(),
                bearer: None,
                basic: basic.map(|(u, p)| (u.into(), p.into())),
                digest: None,
            };
            assert_eq!(paths.decide(&request), want, "{action:?} {path} {basic:?}");
            // The same in the URL, for players that know no other way.
            let pairs = basic.map(|(u, p)| [("user", u), ("pass", p)].map(|(k, v)| (k.to_owned(), v.to_owned())));
            let query = pairs.into_iter().flatten().collect();
            let request = AccessRequest { basic: None, query, ..request };
            assert_eq!(paths.decide(&request), want, "{action:?} {path} {basic:?} in the query");
        };
        check(Action::Read, "a", None, Ok(()));
        check(Action::Publish, "a", None, Err(Refusal::Unauthorized));
        check(Action::Publish, "a", Some(("cam", "Secret")), Err(Refusal::Unauthorized));
        check(Action::Publish, "a", Some(("dog", "secret")), Err(Refusal::Unauthorized));
        check(Action::Publish, "a", Some(("cam", "secret")), Ok(()));
        check(Action::Read, "b", None, Err(Refusal::NoSuchPath));
        assert_eq!(error("paths:\n  a:\n    readUser: x\n"), "line 3: 'readUser' and 'readPass' go together");
    }

    #[test]
    fn sources() {
        let config = Config::parse(
            "paths:\n  cam:\n    source: rtmp://h/live/x\n    sourceOnDemand: yes\n    sourceOnDemandStartTimeout: 5s\n  \
             own:\n    source: publisher\n    sourceOnDemand: no\n  tls:\n    source: rtmps://h/live/x\n    sourceFingerprint: \
             33949e05fffb5ff3e8aa16f8213a6251b4d9363804ba53233c4da9a46d6f2739\n",
        )
        .unwrap();
        let [cam, tls] = &config.relay.sources[..] else { panic!("{:?}", config.relay.sources) };
        let times = cam.on_demand.unwrap();
        assert_eq!((cam.path.as_str(), times.start_timeout.as_secs(), times.close_after.as_secs()), ("cam", 5, 10));
        assert_eq!((tls.on_demand, tls.url.kind()), (None, "rtmpSource"));
        assert!(matches!(tls.trust, Trust::Fingerprint(_)));

        let check = |lines: &str, want: &str| {
            let got = error(&format!("paths:\n  {lines}\n"));
            assert!(got.starts_with(want), "{lines}: {got}");
        };
        check("a: {source: redirect}", "line 2: readers are not sent elsewhere here;");
        check("a: {source: rtmp://h}", "line 2: the address ends behind the server;");
        check("a: {sourceOnDemand: yes}", "line 2: this is for a source that is fetched");
        check("all_others: {source: rtmp://h/a}", "line 2: 'all_others' is no one path");
        check(
            "a: {source: rtsp://h/a, rtspTransport: multicast}",
            "line 2: 'multicast' is no transport; write automatic, tcp or udp",
        );
        check("a: {source: rtsps://h/a, rtspTransport: udp}", "line 2: rtsps:// comes in its connection alone;");
        check("a: {source: rtmp://h/a, sourceFingerprint: 00}", "line 2: a fingerprint is");
        check(
            "a: {source: rtmp://h/a, whepBearerToken: hush}",
            "line 2: a bearer token goes with whep:// and wheps://",
        );
    }

    #[test]
    fn nobody_publishes_where_a_source_does() {
        let text = "paths: {cam: {source: rtmp://h/a}}";
        let paths = yaml::read(text, |mut top| read(&mut top, &mut Vec::new())).unwrap();
        let decide = |action| {
            let path = PathName::parse("cam").unwrap();
            let peer = "127.0.0.1:1".parse().unwrap();
            let query = Vec::new();
            paths.decide(&AccessRequest { action, path, peer, query, bearer: None, basic: None, digest: None })
        };
        assert_eq!(decide(Action::Publish), Err(Refusal::NoSuchPath));
        assert_eq!(decide(Action::Read), Ok(()));
    }
}
