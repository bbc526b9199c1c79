//! RTMP URLs: what a server makes of `app`, `tcUrl` and stream name, and what a client makes of a URL.
//!
//! Belongs here: splitting, percent-decoding, where queries may ride. Not here: whether a path is well formed
//! (`relay`), what a query means (`relay::auth`).

use super::RTMP_PORT;
use std::fmt;
use thiserror::Error;

/// What a client wants to publish or play. `Debug` leaves the values of the query out, since they carry credentials.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// App and stream name joined by `/`, percent-decoded, without slashes at the ends, not checked further.
    pub path: String,
    /// The queries of stream name, app and `tcUrl`, in this order, decoded as HTML forms are (`+` is a space); the same
    /// pair in two places counts once.
    pub query: Vec<(String, String)>,
    /// `user:password@` of `tcUrl`.
    pub user_info: Option<(String, String)>,
}

impl Target {
    /// Puts together what `connect` (`app`, `tcUrl`) and `publish` or `play` (`name`) said. One-element URLs have an empty
    /// name; a query may ride on any of the three.
    pub fn new(app: &str, tc_url: &str, name: &str) -> Self {
        let tc = split_url(tc_url);
        let (app, app_query) = split_query(app);
        let (name, name_query) = split_query(without_prefix(name));
        let (tc_path, tc_query) = tc.as_ref().map_or(("", ""), |url| split_query(url.rest));
        let (app, name) = (app.trim_matches('/'), name.trim_matches('/'));
        let app = if app.is_empty() { tc_path.trim_matches('/') } else { app };

        let elements: Vec<&str> = [app, name].into_iter().filter(|e| !e.is_empty()).collect();
        let mut query: Vec<(String, String)> = Vec::new();
        for pair in [name_query, app_query, tc_query].into_iter().flat_map(|q| q.split('&')).filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let pair = (form_decode(key), form_decode(value));
            if query.len() < MAX_PAIRS && !query.contains(&pair) {
                query.push(pair);
            }
        }
        let user_info = tc.and_then(|url| url.user_info).map(|(u, p)| (percent_decode(u), percent_decode(p)));
        Self { path: percent_decode(&elements.join("/")), query, user_info }
    }

    /// The first value of `key` in the query.
    pub fn param(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.query.iter().map(|(key, _)| key.as_str()).collect();
        write!(f, "Target({:?}, query {keys:?}, user info {})", self.path, self.user_info.is_some())
    }
}

/// More pairs than any URL of ours or of a platform has.
const MAX_PAIRS: usize = 64;

/// `rtmp` or `rtmps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain TCP.
    Rtmp,
    /// TLS.
    Rtmps,
}

impl Scheme {
    /// The port where the URL names none.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Rtmp => RTMP_PORT,
            Self::Rtmps => 443,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Rtmps => "rtmps",
        }
    }
}

/// Where a client connects, and what it asks for there. `Debug` and `Display` leave stream name and queries out.
#[derive(Clone, PartialEq, Eq)]
pub struct RtmpUrl {
    /// `rtmp` or `rtmps`.
    pub scheme: Scheme,
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The app as `connect` names it, a query included if it rides there.
    pub app: String,
    /// The stream name (or key) as `publish` and `play` name it, query included; empty for one-element URLs.
    pub name: String,
}

/// What is wrong with a URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UrlError {
    /// Neither `rtmp://` nor `rtmps://`.
    #[error("the address must begin with rtmp:// or rtmps://")]
    Scheme,
    /// No host.
    #[error("the address names no server")]
    Host,
    /// Not a port.
    #[error("{0:?} is not a port")]
    Port(String),
    /// Neither app nor stream name.
    #[error("the address ends behind the server; a path such as /live/key is missing")]
    Path,
}

impl RtmpUrl {
    /// Reads a whole URL. As in ffmpeg, one element is the app alone, two are app and name, and of more the first two are
    /// the app. `user:password@` becomes `user` and `pass` in the query.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let (mut parsed, rest) = Self::server(url)?;
        let (path, query) = split_query(&rest);
        let path = path.trim_start_matches('/');
        let mut slashes = path.match_indices('/').map(|(i, _)| i);
        let (first, second) = (slashes.next(), slashes.next());
        let (app, name) = match second.filter(|&i| i + 1 < path.len()).or(first) {
            Some(at) => (path.get(..at).unwrap_or(path), path.get(at + 1..).unwrap_or("")),
            None => (path, ""),
        };
        // A slash behind the app, even with nothing but a query behind it, says that the query is the name's: some
        // platforms hand out `rtmp://host/app/` and `?streamname=…` as key.
        parsed.app = app.to_owned();
        parsed.name = name.to_owned();
        if !query.is_empty() {
            let carrier = if first.is_some() { &mut parsed.name } else { &mut parsed.app };
            carrier.push('?');
            carrier.push_str(query);
        }
        parsed.finish(url)
    }

    /// Reads a server URL and a stream key given apart, as platforms hand them out: the whole path of the URL is the app.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn with_key(server: &str, key: &str) -> Result<Self, UrlError> {
        let (mut parsed, rest) = Self::server(server)?;
        parsed.app = match split_query(&rest) {
            (path, "") => path.trim_matches('/').to_owned(),
            (path, query) => format!("{}?{query}", path.trim_matches('/')),
        };
        key.trim().trim_start_matches('/').clone_into(&mut parsed.name);
        parsed.finish(server)
    }

    /// `tcUrl` for `connect`: the port only where it is not the scheme's own.
    pub fn tc_url(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let port = if self.port == self.scheme.default_port() { String::new() } else { format!(":{}", self.port) };
        format!("{}://{host}{port}/{}", self.scheme.name(), self.app)
    }

    fn server(url: &str) -> Result<(Self, String), UrlError> {
        let parts = split_url(url.trim()).ok_or(UrlError::Scheme)?;
        let scheme = match parts.scheme.to_ascii_lowercase().as_str() {
            "rtmp" => Scheme::Rtmp,
            "rtmps" => Scheme::Rtmps,
            _ => return Err(UrlError::Scheme),
        };
        let (host, port) = match parts.host.strip_prefix('[').and_then(|h| h.split_once(']')) {
            Some((address, rest)) => (address, rest.strip_prefix(':')),
            None => match parts.host.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (parts.host, None),
            },
        };
        if host.is_empty() {
            return Err(UrlError::Host);
        }
        let port = match port {
            None | Some("") => scheme.default_port(),
            Some(text) => text.parse().ok().filter(|&p| p > 0).ok_or_else(|| UrlError::Port(text.to_owned()))?,
        };
        let parsed = Self { scheme, host: host.to_owned(), port, app: String::new(), name: String::new() };
        Ok((parsed, parts.rest.to_owned()))
    }

    fn finish(mut self, url: &str) -> Result<Self, UrlError> {
        if split_query(&self.app).0.is_empty() && self.name.is_empty() {
            return Err(UrlError::Path);
        }
        if let Some((user, password)) = split_url(url.trim()).and_then(|u| u.user_info) {
            let carrier = if self.name.is_empty() { &mut self.app } else { &mut self.name };
            carrier.push(if carrier.contains('?') { '&' } else { '?' });
            // Still percent-encoded, which a query takes as well as user information does.
            carrier.push_str(&format!("user={user}&pass={password}"));
        }
        Ok(self)
    }
}

impl fmt::Display for RtmpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tc_url = self.tc_url();
        f.write_str(split_query(&tc_url).0)
    }
}

impl fmt::Debug for RtmpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RtmpUrl({self}, name of {} bytes)", self.name.len())
    }
}

/// A URL without its query, for logs.
pub(super) fn without_query(text: &str) -> &str {
    split_query(text).0
}

struct UrlParts<'a> {
    scheme: &'a str,
    user_info: Option<(&'a str, &'a str)>,
    host: &'a str,
    /// Path and query behind the host.
    rest: &'a str,
}

fn split_url(url: &str) -> Option<UrlParts<'_>> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let (user_info, host) = match authority.rsplit_once('@') {
        Some((info, host)) => (Some(info.split_once(':').unwrap_or((info, ""))), host),
        None => (None, authority),
    };
    Some(UrlParts { scheme, user_info, host, rest })
}

fn split_query(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

/// ffmpeg and Flash put a container's name before some stream names.
fn without_prefix(name: &str) -> &str {
    ["mp4:", "flv:", "f4v:", "mp3:"].iter().find_map(|p| name.strip_prefix(p)).unwrap_or(name)
}

fn form_decode(text: &str) -> String {
    percent_decode(&text.replace('+', " "))
}

/// `%XX` to bytes; what is not two hexadecimal digits stays, bytes that are not UTF-8 are replaced.
pub(crate) fn percent_decode(text: &str) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|&b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        match (byte, digit(after.first()), digit(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                rest = after.get(2..).unwrap_or(&[]);
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let check = |app: &str, tc_url: &str, name: &str, path: &str, query: &[(&str, &str)]| {
            let target = Target::new(app, tc_url, name);
            let got: Vec<_> = target.query.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!((target.path.as_str(), &got[..]), (path, query), "{app} {tc_url} {name}");
        };
        check("patientStream", "rtmp://h/patientStream", "", "patientStream", &[]);
        check("/live/", "rtmp://h/live", "/key/", "live/key", &[]);
        check("a/b", "rtmp://h:1935/a/b", "c/d", "a/b/c/d", &[]);
        check("live", "rtmp://h/live", "key?token=t", "live/key", &[("token", "t")]);
        check("live?token=t", "rtmp://h/live?token=t", "key", "live/key", &[("token", "t")]);
        check("live", "rtmp://h/live?token=t", "key?user=u", "live/key", &[("user", "u"), ("token", "t")]);
        check("one?token=a%2Fb&x", "rtmp://h/one", "", "one", &[("token", "a/b"), ("x", "")]);
        check("", "rtmp://h/", "key", "key", &[]);
        check("", "rtmp://h/app?x=1", "key", "app/key", &[("x", "1")]);
        check("", "", "", "", &[]);
        check("live", "", "mp4:film.mp4", "live/film.mp4", &[]);
        check("caf%C3%A9", "", "%zz%4", "café/%zz%4", &[]);
        check("live", "", "k?pass=a+b%2B%FF", "live/k", &[("pass", "a b+\u{FFFD}")]);
    }

    #[test]
    fn user_info_and_secrets() {
        let target = Target::new("live", "rtmp://doc:p%40ss@h/live", "k?token=hush");
        assert_eq!(target.user_info, Some(("doc".into(), "p@ss".into())));
        assert_eq!(target.param("token"), Some("hush"));
        assert!(!format!("{target:?}").contains("hush"));
        let url = RtmpUrl::parse("rtmp://h/live/secretkey?token=hush").unwrap();
        assert!(!format!("{url:?} {url}").contains("hush") && !format!("{url:?}").contains("secret"));
    }

    #[test]
    fn urls() {
        let check = |url: &str, want: Result<(&str, u16, &str, &str, &str), UrlError>| {
            let got = RtmpUrl::parse(url);
            let got = got.map(|u| (u.host.clone(), u.port, u.app.clone(), u.name.clone(), u.tc_url()));
            assert_eq!(got, want.map(|(h, p, a, n, t)| (h.into(), p, a.into(), n.into(), t.into())), "{url}");
        };
        check("rtmp://h/one", Ok(("h", 1935, "one", "", "rtmp://h/one")));
        check("rtmp://h/one?t=a/b", Ok(("h", 1935, "one?t=a/b", "", "rtmp://h/one?t=a/b")));
        check("rtmp://h:1936/app/key?t=a/b", Ok(("h", 1936, "app", "key?t=a/b", "rtmp://h:1936/app")));
        check("RTMPS://h/a/b/c/d", Ok(("h", 443, "a/b", "c/d", "rtmps://h/a/b")));
        check("rtmp://h/live/", Ok(("h", 1935, "live", "", "rtmp://h/live")));
        check(
            "rtmp://h/live-bvc/?streamname=x&key=y",
            Ok(("h", 1935, "live-bvc", "?streamname=x&key=y", "rtmp://h/live-bvc")),
        );
        check("rtmp://[::1]:1000/a/b", Ok(("::1", 1000, "a", "b", "rtmp://[::1]:1000/a")));
        check("rtmp://u:p%20w@h/a/b", Ok(("h", 1935, "a", "b?user=u&pass=p%20w", "rtmp://h/a")));
        check("rtmp://u:p@h/a", Ok(("h", 1935, "a?user=u&pass=p", "", "rtmp://h/a?user=u&pass=p")));
        check("http://h/a", Err(UrlError::Scheme));
        check("h/a", Err(UrlError::Scheme));
        check("rtmp:///a", Err(UrlError::Host));
        check("rtmp://h:99999/a", Err(UrlError::Port("99999".into())));
        check("rtmp://h", Err(UrlError::Path));
        check("rtmp://h/", Err(UrlError::Path));
    }

    #[test]
    fn server_and_key_apart() {
        let check = |server: &str, key: &str, app: &str, name: &str| {
            let url = RtmpUrl::with_key(server, key).unwrap();
            assert_eq!((url.app.as_str(), url.name.as_str()), (app, name), "{server} {key}");
        };
        check("rtmps://live-api-s.example:443/rtmp/", "FB-1?s_bl=1", "rtmp", "FB-1?s_bl=1");
        check("rtmp://h/a/b/c", "key", "a/b/c", "key");
        check("rtmp://h/live?x=1", " key ", "live?x=1", "key");
    }
}
