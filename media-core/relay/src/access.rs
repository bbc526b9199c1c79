//! Who may publish and read.
//!
//! Belongs here: what a request looks like to whoever decides, visit tokens. Not here: how a protocol carries credentials
//! (its own folder) or says no (likewise).

use hub::PathName;
use proto::rtsp::DigestProof;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use thiserror::Error;

/// What somebody wants to do with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send a stream.
    Publish,
    /// Receive one.
    Read,
}

/// One wish, with all that was shown to support it.
#[derive(Debug, Clone)]
pub struct AccessRequest {
    /// What is wished.
    pub action: Action,
    /// For which path.
    pub path: PathName,
    /// From where.
    pub peer: SocketAddr,
    /// Query parameters of the URL, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The bearer token, where there is one.
    pub bearer: Option<String>,
    /// User and password, where the protocol carries them.
    pub basic: Option<(String, String)>,
    /// User and a proof of the password, where there is one.
    pub digest: Option<DigestProof>,
}

impl AccessRequest {
    /// The first query parameter called `key`.
    pub fn param(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Is the password shown, or proved, by whatever user? Takes the same time wherever the difference is.
    pub fn shows_password(&self, password: &str) -> bool {
        let plain = self.login().is_some_and(|(_, shown)| constant_time_eq(password, shown));
        plain || self.digest.as_ref().is_some_and(|proof| proof.is_of(password))
    }

    /// Who it says it is.
    pub fn user(&self) -> Option<&str> {
        self.login().map(|(user, _)| user).or(self.digest.as_ref().map(DigestProof::user))
    }

    /// User and password, as the protocol carries them or as the query's `user` and `pass`.
    fn login(&self) -> Option<(&str, &str)> {
        let own = self.basic.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
        own.or_else(|| Some((self.param("user")?, self.param("pass").unwrap_or_default())))
    }
}

/// Why a wish is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Nothing, or nothing right, was shown.
    #[error("credentials are missing or wrong")]
    Unauthorized,
    /// The path is not one of those that may be used.
    #[error("there is no such path here")]
    NoSuchPath,
}

/// The answer of an [`Authorizer`], later.
pub type Verdict<'a> = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>>;

/// Decides on wishes. One per relay; cheap to ask.
pub trait Authorizer: Send + Sync + std::fmt::Debug {
    /// Grants or refuses `request`.
    fn authorize<'a>(&'a self, request: &'a AccessRequest) -> Verdict<'a>;
}

/// Grants everything: a relay without credentials in its configuration.
#[derive(Debug, Clone, Copy)]
pub struct Open;

impl Authorizer for Open {
    fn authorize<'a>(&'a self, _request: &'a AccessRequest) -> Verdict<'a> {
        Box::pin(async { Ok(()) })
    }
}

/// What holds for one path of a visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitPath {
    /// The path; its `_aac` and `_opus` names are meant too.
    pub path: PathName,
    /// The token that publishing takes; `None` leaves it to the visit's own side, which writes to the hub directly.
    pub publish: Option<String>,
    /// The token that reading takes; `None` lets anybody read.
    pub read: Option<String>,
}

/// Grants what a visit needs and nothing else: its paths, each with its tokens.
#[derive(Debug, Clone)]
pub struct Visit {
    paths: Arc<[VisitPath]>,
    open: bool,
}

impl Visit {
    /// A visit of `paths`. With `open`, names alone suffice and tokens are not asked for.
    pub fn new(paths: impl Into<Arc<[VisitPath]>>, open: bool) -> Self {
        Self { paths: paths.into(), open }
    }

    fn decide(&self, request: &AccessRequest) -> Result<(), Refusal> {
        let base = ["_aac", "_opus"].into_iter().find_map(|s| request.path.without_suffix(s));
        let rule = self.paths.iter().find(|p| p.path == request.path || Some(&p.path) == base.as_ref());
        let rule = rule.ok_or(Refusal::NoSuchPath)?;
        let wanted = match request.action {
            Action::Publish => rule.publish.as_ref().ok_or(Refusal::Unauthorized)?,
            Action::Read => match &rule.read {
                Some(token) => token,
                None => return Ok(()),
            },
        };
        let shown = request.param("token").or(request.bearer.as_deref()).unwrap_or("");
        // Players that know no tokens show it as their password.
        if self.open || constant_time_eq(wanted, shown) || request.shows_password(wanted) {
            Ok(())
        } else {
            Err(Refusal::Unauthorized)
        }
    }
}

impl Authorizer for Visit {
    fn authorize<'a>(&'a self, request: &'a AccessRequest) -> Verdict<'a> {
        Box::pin(async { self.decide(request) })
    }
}

/// Compares without telling by its duration where the difference is. Lengths may show.
pub fn constant_time_eq(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits() {
        let name = |n: &str| PathName::parse(n).unwrap();
        let paths = [
            VisitPath { path: name("doctorStream"), publish: None, read: Some("see".into()) },
            VisitPath { path: name("patientStream"), publish: Some("push".into()), read: Some("see".into()) },
        ];
        let check = |open: bool, action, path: &str, token: Option<&str>, want| {
            let request = AccessRequest {
                action,
                path: name(path),
                peer: "127.0.0.1:1".parse().unwrap(),
                query: token.map(|t| ("token".into(), t.into())).into_iter().collect(),
                bearer: None,
                basic: None,
                digest: None,
            };
            assert_eq!(Visit::new(paths.to_vec(), open).decide(&request), want, "{action:?} {path} {token:?}");
        };
        check(false, Action::Read, "doctorStream_aac", Some("see"), Ok(()));
        check(false, Action::Read, "doctorStream", Some("push"), Err(Refusal::Unauthorized));
        check(false, Action::Publish, "patientStream", Some("push"), Ok(()));
        check(false, Action::Publish, "patientStream", None, Err(Refusal::Unauthorized));
        check(false, Action::Publish, "doctorStream", Some("see"), Err(Refusal::Unauthorized));
        check(true, Action::Publish, "doctorStream", None, Err(Refusal::Unauthorized));
        check(true, Action::Publish, "patientStream", None, Ok(()));
        check(false, Action::Read, "elsewhere", Some("see"), Err(Refusal::NoSuchPath));
    }
}
