//! Where WHIP and WHEP live: `/PATH/whip` and `/PATH/whip/SESSION`, and `Location` as it is answered and followed.
//!
//! Not here: which paths are good names (`hub`).

/// What one does with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Ingest.
    Whip,
    /// Egress.
    Whep,
}

impl Endpoint {
    /// The last segment of the endpoint's URL.
    pub const fn segment(self) -> &'static str {
        match self {
            Self::Whip => "whip",
            Self::Whep => "whep",
        }
    }
}

/// What a URL path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// The stream's path, without slashes around it; not yet checked.
    pub path: &'a str,
    /// Ingest or egress.
    pub endpoint: Endpoint,
    /// The session, where the URL goes on behind the endpoint.
    pub session: Option<&'a str>,
}

impl<'a> Resource<'a> {
    /// Reads a URL path such as `/live/cam1/whip` or `/live/cam1/whip/0b5e…`; `None` for anything else.
    pub fn parse(url_path: &'a str) -> Option<Self> {
        let trimmed = url_path.strip_prefix('/')?;
        let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
        for endpoint in [Endpoint::Whip, Endpoint::Whep] {
            if let Some(path) = trimmed.strip_suffix(endpoint.segment()).and_then(|p| p.strip_suffix('/')) {
                return (!path.is_empty()).then_some(Self { path, endpoint, session: None });
            }
        }
        let (rest, session) = trimmed.rsplit_once('/')?;
        let (path, last) = rest.rsplit_once('/')?;
        let endpoint = [Endpoint::Whip, Endpoint::Whep].into_iter().find(|e| e.segment() == last)?;
        (!path.is_empty() && !session.is_empty()).then_some(Self { path, endpoint, session: Some(session) })
    }
}

/// `Location` of a session, relative to the endpoint's URL, so that it survives a prefix a proxy adds.
pub fn relative_location(endpoint: Endpoint, session: &str) -> String {
    format!("{}/{session}", endpoint.segment())
}

/// Follows `location` from the URL it was answered for (RFC 3986 §5.2, as far as servers use it: absolute URLs, absolute and
/// relative paths). The query of `base` is not carried over. `None` where `base` has no host.
pub fn resolve_location(base: &str, location: &str) -> Option<String> {
    let (scheme, rest) = base.split_once("://")?;
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    if host.is_empty() {
        return None;
    }
    let location = location.trim();
    if location.starts_with("http://") || location.starts_with("https://") {
        return Some(location.into());
    }
    if let Some(other_host) = location.strip_prefix("//") {
        return Some(format!("{scheme}://{other_host}"));
    }
    if location.starts_with('/') {
        return Some(format!("{scheme}://{host}{location}"));
    }
    let (relative, tail) = location.find(['?', '#']).map_or((location, ""), |at| location.split_at(at));
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut segments: Vec<&str> = folder.split('/').skip(1).collect();
    for segment in relative.split('/') {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    Some(format!("{scheme}://{host}/{}{tail}", segments.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources() {
        let check = |url: &str, want: Option<(&str, Endpoint, Option<&str>)>| {
            assert_eq!(Resource::parse(url).map(|r| (r.path, r.endpoint, r.session)), want, "{url}");
        };
        check("/cam/whip", Some(("cam", Endpoint::Whip, None)));
        check("/a/b/whep/", Some(("a/b", Endpoint::Whep, None)));
        check("/a/b/whip/ID", Some(("a/b", Endpoint::Whip, Some("ID"))));
        check("/whip", None);
        check("/whip/ID", None);
        check("/cam", None);
        check("cam/whip", None);
        check("/cam/whip/ID/more", None);
    }

    #[test]
    fn locations() {
        let check = |base: &str, location: &str, want: &str| {
            assert_eq!(resolve_location(base, location).as_deref(), Some(want), "{location} from {base}");
        };
        check("http://h:8889/cam/whip?t=1", &relative_location(Endpoint::Whip, "ID"), "http://h:8889/cam/whip/ID");
        check("https://h/prefix/cam/whip", "whip/ID", "https://h/prefix/cam/whip/ID");
        check("http://h/cam/whip", "/s/ID?x=1", "http://h/s/ID?x=1");
        check("http://h/cam/whip", "../s/ID", "http://h/s/ID");
        check("http://h/cam/whip", "https://other/ID", "https://other/ID");
        check("http://h", "ID", "http://h/ID");
        assert_eq!(resolve_location("nonsense", "ID"), None);
    }
}
