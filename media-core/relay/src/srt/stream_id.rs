//! What a caller says it wants: the stream id.
//!
//! Belongs here: the syntax of SRT's access control guidelines (draft-sharabayko-srt-01 appendix B) and MediaMTX's own. Not here: whether
//! it is granted.

use crate::access::Action;
use crate::http::query_pairs;
use hub::{PathName, PathNameError};
use thiserror::Error;

/// SRT's own limit (§3.2.1.3).
const MAX: usize = 512;

/// Why a stream id says nothing of use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum StreamIdError {
    #[error("there is no stream id; write 'read:PATH' or 'publish:PATH'")]
    Missing,
    #[error("the stream id is longer than {MAX} bytes")]
    TooLong,
    #[error(
        "the stream id is neither 'read:PATH', 'publish:PATH', with ':USER:PASS' behind or not, nor '#!::m=…,r=PATH'"
    )]
    Shape,
    #[error("the stream id's mode is neither 'request' nor 'publish'")]
    Mode,
    #[error("the stream id has a key that is not known: {0:?}")]
    Key(String),
    #[error(transparent)]
    Path(#[from] PathNameError),
}

/// A wish, parsed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct StreamId {
    pub(super) action: Action,
    pub(super) path: PathName,
    pub(super) credentials: Option<(String, String)>,
    /// Pairs of the query, decoded.
    pub(super) query: Vec<(String, String)>,
}

impl std::fmt::Debug for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamId").field("action", &self.action).field("path", &self.path).finish_non_exhaustive()
    }
}

impl StreamId {
    pub(super) fn parse(text: Option<&str>) -> Result<Self, StreamIdError> {
        let text = text.filter(|text| !text.is_empty()).ok_or(StreamIdError::Missing)?;
        if text.len() > MAX {
            return Err(StreamIdError::TooLong);
        }
        match text.strip_prefix("#!::") {
            Some(pairs) => Self::standard(pairs),
            None => Self::short(text),
        }
    }

    /// `m=publish,r=PATH,u=USER,s=PASS`, in any order.
    fn standard(pairs: &str) -> Result<Self, StreamIdError> {
        let (mut action, mut path, mut user, mut password) = (Action::Read, "", None, "");
        for pair in pairs.split(',').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or(StreamIdError::Shape)?;
            match key {
                "m" => {
                    action = match value {
                        "request" => Action::Read,
                        "publish" => Action::Publish,
                        _ => return Err(StreamIdError::Mode),
                    };
                }
                "r" => path = value,
                "u" => user = Some(value),
                "s" => password = value,
                // Host and type say nothing here.
                "h" | "t" => {}
                other => return Err(StreamIdError::Key(other.to_owned())),
            }
        }
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let credentials = user.map(|user| (user, password));
        Self::new(action, path, credentials, query)
    }

    /// `publish:PATH`, `publish:PATH:QUERY`, `publish:PATH:USER:PASS`, `publish:PATH:USER:PASS:QUERY`.
    fn short(text: &str) -> Result<Self, StreamIdError> {
        let parts: Vec<&str> = text.split(':').collect();
        let (action, path, credentials, query) = match parts[..] {
            [action, path] => (action, path, None, ""),
            [action, path, query] => (action, path, None, query),
            [action, path, user, password] => (action, path, Some((user, password)), ""),
            [action, path, user, password, query] => (action, path, Some((user, password)), query),
            _ => return Err(StreamIdError::Shape),
        };
        let action = match action {
            "read" => Action::Read,
            "publish" => Action::Publish,
            _ => return Err(StreamIdError::Shape),
        };
        Self::new(action, path, credentials.filter(|(user, _)| !user.is_empty()), query)
    }

    fn new(action: Action, path: &str, credentials: Option<(&str, &str)>, query: &str) -> Result<Self, StreamIdError> {
        let path = PathName::parse(path.strip_prefix('/').unwrap_or(path))?;
        let credentials = credentials.map(|(user, password)| (user.to_owned(), password.to_owned()));
        Ok(Self { action, path, credentials, query: query_pairs(query) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntaxes() {
        let check = |text: &str, action: Action, path: &str, credentials: Option<(&str, &str)>, token: Option<&str>| {
            let id = StreamId::parse(Some(text)).unwrap();
            let shown = id.credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
            assert_eq!((id.action, id.path.as_str(), shown), (action, path, credentials), "{text}");
            assert_eq!(
                id.query.first().map(|(key, value)| (key.as_str(), value.as_str())),
                token.map(|t| ("token", t)),
                "{text}"
            );
        };
        check("publish:live/cam1", Action::Publish, "live/cam1", None, None);
        check("read:cam", Action::Read, "cam", None, None);
        check("publish:cam:joe:secret", Action::Publish, "cam", Some(("joe", "secret")), None);
        check("read:cam:token=a%20b", Action::Read, "cam", None, Some("a b"));
        check("read:cam:::token=t", Action::Read, "cam", None, Some("t"));
        check("#!::m=publish,r=/cam", Action::Publish, "cam", None, None);
        check("#!::r=cam,u=joe,s=a:b=c,h=host,t=stream", Action::Read, "cam", Some(("joe", "a:b=c")), None);
        check("#!::r=cam?token=t,m=request", Action::Read, "cam", None, Some("t"));
    }

    #[test]
    fn what_is_none() {
        let check = |text: &str, want: StreamIdError| assert_eq!(StreamId::parse(Some(text)), Err(want), "{text}");
        assert_eq!(StreamId::parse(None), Err(StreamIdError::Missing));
        check("", StreamIdError::Missing);
        check("cam", StreamIdError::Shape);
        check("write:cam", StreamIdError::Shape);
        check("read:a:b:c:d:e", StreamIdError::Shape);
        check("#!::r", StreamIdError::Shape);
        check("#!::m=bidirectional,r=cam", StreamIdError::Mode);
        check("#!::r=cam,x=1", StreamIdError::Key("x".into()));
        check("#!::m=publish", StreamIdError::Path(PathNameError::Empty));
        check("read:../cam", StreamIdError::Path(PathNameError::Segment));
        check(&"a".repeat(600), StreamIdError::TooLong);
        let id = StreamId::parse(Some("read:cam:joe:secret:token=x")).unwrap();
        assert!(!format!("{id:?}").contains("secret") && !format!("{id:?}").contains("token"), "{id:?}");
    }
}
