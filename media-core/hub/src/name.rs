//! Path names: parsed once at the edge, good ever after.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// Why a text is no path name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathNameError {
    /// There is nothing left.
    #[error("the path is empty")]
    Empty,
    /// Longer than [`PathName::MAX`].
    #[error("the path is longer than {} characters", PathName::MAX)]
    TooLong,
    /// A character outside `A-Z a-z 0-9 _ . ~ / -`.
    #[error("the path has a character that is not allowed: {0:?}")]
    Character(char),
    /// An empty, `.` or `..` segment, or a leading slash.
    #[error("the path has an empty, '.' or '..' segment")]
    Segment,
    /// `whip`, `whep` and `publish` name what one does with a path.
    #[error("the path may not end in {0:?}")]
    Reserved(&'static str),
}

/// The public name of a path, such as `doctorStream` or `live/cam1`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathName(Arc<str>);

impl PathName {
    /// Longest name; a longer one is no typing mistake.
    pub const MAX: usize = 512;
    const RESERVED: [&'static str; 3] = ["whip", "whep", "publish"];

    /// Checks `text` against the contract.
    ///
    /// # Errors
    /// [`PathNameError`] says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, PathNameError> {
        if text.is_empty() {
            return Err(PathNameError::Empty);
        }
        if text.len() > Self::MAX {
            return Err(PathNameError::TooLong);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '~' | '/' | '-');
        if let Some(bad) = text.chars().find(|&c| !allowed(c)) {
            return Err(PathNameError::Character(bad));
        }
        if text.split('/').any(|s| matches!(s, "" | "." | "..")) {
            return Err(PathNameError::Segment);
        }
        let last = text.rsplit('/').next().unwrap_or(text);
        match Self::RESERVED.into_iter().find(|&r| r == last) {
            Some(reserved) => Err(PathNameError::Reserved(reserved)),
            None => Ok(Self(text.into())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name with `suffix` added, where that is still a name.
    pub fn with_suffix(&self, suffix: &str) -> Option<Self> {
        Self::parse(&format!("{}{suffix}", self.0)).ok()
    }

    /// The name without `suffix`, where it ends so and something is left.
    pub fn without_suffix(&self, suffix: &str) -> Option<Self> {
        Self::parse(self.0.strip_suffix(suffix)?).ok()
    }
}

impl fmt::Display for PathName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PathName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for PathName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for PathName {
    type Err = PathNameError;

    fn from_str(text: &str) -> Result<Self, PathNameError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check =
            |text: &str, want: Result<(), PathNameError>| assert_eq!(PathName::parse(text).map(drop), want, "{text}");
        check("doctorStream", Ok(()));
        check("a/b.c/~d-e_f", Ok(()));
        check("", Err(PathNameError::Empty));
        check("/a", Err(PathNameError::Segment));
        check("a//b", Err(PathNameError::Segment));
        check("a/../b", Err(PathNameError::Segment));
        check("a b", Err(PathNameError::Character(' ')));
        check("cam/whip", Err(PathNameError::Reserved("whip")));
        check("whipped", Ok(()));
        check(&"x".repeat(513), Err(PathNameError::TooLong));
    }
}
