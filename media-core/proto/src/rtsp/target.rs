//! What a request URL names: a path, its query, and perhaps one track of it.
//!
//! Not here: whether the path exists, and what the query grants (`relay`).

use std::fmt;

/// What stands before a track's number in the URLs we hand out, as MediaMTX has it.
pub(super) const TRACK: &str = "/trackID=";

/// Parts of a URL. `Debug` leaves the query out, since it carries credentials.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// Without slashes round it, not decoded.
    pub path: String,
    /// Behind the question mark, as it came.
    pub query: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Target {
    /// Reads an absolute URL or a path, and the number of the track where it names one of ours. Clients hang the track on the end
    /// of all they know, which may be the query.
    pub(super) fn parse(url: &str) -> (Self, Option<usize>) {
        let rest = match url.split_once("://") {
            Some((_, rest)) => rest.find(['/', '?']).map_or("", |at| rest.get(at..).unwrap_or_default()),
            None => url,
        };
        let (rest, track) = without_track(rest);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        // …or in the middle: rtsp://host/path/trackID=0?token=x.
        let (path, inner) = without_track(path);
        let target = Self { path: path.trim_matches('/').into(), query: query.trim_end_matches('/').into() };
        (target, track.or(inner))
    }
}

fn without_track(text: &str) -> (&str, Option<usize>) {
    let found = text.rfind(TRACK).and_then(|at| {
        let number = text.get(at + TRACK.len()..)?.trim_end_matches('/').parse().ok()?;
        Some((text.get(..at)?, Some(number)))
    });
    found.unwrap_or((text, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |url: &str, path: &str, query: &str, track: Option<usize>| {
            assert_eq!(Target::parse(url), (Target { path: path.into(), query: query.into() }, track), "{url}");
        };
        check("rtsp://host:8554/cam", "cam", "", None);
        check("rtsp://u:p@host/a/b/", "a/b", "", None);
        check("rtsp://host/cam/trackID=1", "cam", "", Some(1));
        check("rtsp://host/cam?token=x/trackID=0", "cam", "token=x", Some(0));
        check("rtsp://host/cam?token=x/", "cam", "token=x", None);
        check("rtsp://host/cam/trackID=0?token=x", "cam", "token=x", Some(0));
        check("rtsp://host/cam/trackID=x", "cam/trackID=x", "", None);
        check("rtsp://host?a", "", "a", None);
        check("/cam", "cam", "", None);
    }
}
