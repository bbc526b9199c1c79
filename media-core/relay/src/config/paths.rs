//! Configuration keys of paths: which there are, what feeds them, and who may use them.

use super::yaml::Section;
use super::{ConfigError, Done, Note};
use crate::access::{AccessRequest, Action, Authorizer, Refusal, Verdict, constant_time_eq};
use hub::PathName;
use std::collections::BTreeMap;

/// The paths that may be used, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paths {
    named: BTreeMap<PathName, Rights>,
    all_others: Option<Rights>,
}

/// What one path asks for; nothing where it is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Rights {
    publish: Option<User>,
    read: Option<User>,
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
    let mut paths = Paths { named: BTreeMap::new(), all_others: None };
    let Some(section) = top.done("paths", notes) else {
        return Ok(Paths { all_others: Some(Rights::default()), ..paths });
    };
    for (name, value) in section.section("paths.".into())?.into_entries() {
        notes.push(Note { line: value.line, key: format!("paths.{name}"), done: Done::Yes });
        let mut rights = Rights::default();
        if !value.is_empty() {
            let mut path = value.section(format!("paths.{name}."))?;
            if let Some(source) = path.done("source", notes) {
                let text = source.text()?;
                if text != "publisher" {
                    let why = format!("source '{text}' cannot be pulled yet; 'publisher' can");
                    return Err(ConfigError::new(source.line, why));
                }
            }
            rights.publish = user(&mut path, "publishUser", "publishPass", notes)?;
            rights.read = user(&mut path, "readUser", "readPass", notes)?;
            path.finish()?;
        }
        if name == "all_others" || name == "all" {
            paths.all_others = Some(rights);
        } else {
            let bad = |e| ConfigError::new(value.line, format!("path '{name}': {e}"));
            paths.named.insert(PathName::parse(&name).map_err(bad)?, rights);
        }
    }
    Ok(paths)
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
            let paths = yaml::read(text, |mut top| super::read(&mut top, &mut Vec::new())).unwrap();
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
        let paths = yaml::read(text, |mut top| super::read(&mut top, &mut Vec::new())).unwrap();
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
        };
        check(Action::Read, "a", None, Ok(()));
        check(Action::Publish, "a", None, Err(Refusal::Unauthorized));
        check(Action::Publish, "a", Some(("cam", "Secret")), Err(Refusal::Unauthorized));
        check(Action::Publish, "a", Some(("dog", "secret")), Err(Refusal::Unauthorized));
        check(Action::Publish, "a", Some(("cam", "secret")), Ok(()));
        check(Action::Read, "b", None, Err(Refusal::NoSuchPath));
        assert_eq!(error("paths:\n  a:\n    readUser: x\n"), "line 3: 'readUser' and 'readPass' go together");
    }
}
