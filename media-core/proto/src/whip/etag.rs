//! Entity tags of an ICE session (RFC 9725 §4.3.1) and the precondition that names them (RFC 9110 §13.1.1).

/// A strong entity tag; for WHIP it names one ICE session (one pair of credentials).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag(String);

impl EntityTag {
    /// A tag over an opaque text; characters that may not stand in a tag are left out (RFC 9110 §8.8.3).
    pub fn new(opaque: &str) -> Self {
        Self(opaque.chars().filter(|c| c.is_ascii_graphic() && *c != '"').collect())
    }

    /// The tag in the value of an `ETag` header. Weak tags and `*` (which some servers send) give `None`: they name nothing.
    pub fn parse(value: &str) -> Option<Self> {
        let inner = value.trim().strip_prefix('"')?.strip_suffix('"')?;
        inner.chars().all(|c| c.is_ascii_graphic() && c != '"').then(|| Self(inner.into()))
    }

    /// The header's value, quotes included.
    pub fn header(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

/// What a request's `If-Match` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// The header is absent or unreadable.
    Absent,
    /// `*`: whatever session there is; for WHIP this asks for an ICE restart (RFC 9725 §4.3.3).
    Any,
    /// One of these.
    Tags(Vec<EntityTag>),
}

impl IfMatch {
    /// Reads the header's value.
    pub fn parse(value: Option<&str>) -> Self {
        match value.map(str::trim) {
            Some("*") => Self::Any,
            Some(list) => match list.split(',').filter_map(EntityTag::parse).collect::<Vec<_>>() {
                tags if tags.is_empty() => Self::Absent,
                tags => Self::Tags(tags),
            },
            None => Self::Absent,
        }
    }

    /// Does a request with this precondition speak of `current`?
    pub fn admits(&self, current: &EntityTag) -> bool {
        match self {
            Self::Absent => false,
            Self::Any => true,
            Self::Tags(tags) => tags.contains(current),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preconditions() {
        let current = EntityTag::new("ab c\"1");
        assert_eq!(current.header(), "\"abc1\"");
        let check =
            |value: Option<&str>, want: bool| assert_eq!(IfMatch::parse(value).admits(&current), want, "{value:?}");
        check(None, false);
        check(Some("*"), true);
        check(Some("\"abc1\""), true);
        check(Some("\"x\", \"abc1\""), true);
        check(Some("W/\"abc1\""), false);
        check(Some("abc1"), false);
        assert_eq!(EntityTag::parse("\"abc1\""), Some(current));
    }
}
