//! ICE servers in `Link` headers (RFC 8288, RFC 9725 §4.6).

use thiserror::Error;

/// A STUN or TURN server, with what it wants to be told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IceServer {
    /// `stun:HOST[:PORT]`, `turn:…`, `turns:…?transport=tcp`.
    pub url: String,
    /// TURN user.
    pub username: Option<String>,
    /// TURN password (or token).
    pub credential: Option<String>,
}

/// Why a `Link` header cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkError {
    /// A link without `<…>`.
    #[error("Link header: no <target> at byte {0}")]
    Target(usize),
    /// A quoted string without its end.
    #[error("Link header: the quote at byte {0} does not end")]
    Quote(usize),
    /// More links than anybody sends.
    #[error("Link header: more than {MAX_LINKS} links")]
    TooMany,
}

/// Browsers warn from five on; fifty are not meant.
const MAX_LINKS: usize = 50;

/// The ICE servers among the links of one header value. Links with other relations, and targets that are no ICE URL, are read
/// over. Servers write the target both as `<stun:host>` and, wrongly, as `<turn:host>; rel=ice-server` without quotes: both
/// are taken.
///
/// # Errors
/// [`LinkError`] for a value that is not a list of links.
pub fn parse_links(value: &str) -> Result<Vec<IceServer>, LinkError> {
    let mut cursor = Cursor { text: value, at: 0 };
    let mut servers = Vec::new();
    let mut count = 0;
    loop {
        cursor.skip(|c| c.is_ascii_whitespace() || c == ',');
        if cursor.rest().is_empty() {
            return Ok(servers);
        }
        count += 1;
        if count > MAX_LINKS {
            return Err(LinkError::TooMany);
        }
        let (server, relations) = cursor.link()?;
        let ice = relations.split_ascii_whitespace().any(|r| r.eq_ignore_ascii_case("ice-server"));
        if ice && is_ice_url(&server.url) {
            servers.push(server);
        }
    }
}

/// One header value for each server, as RFC 9725 §4.6 writes them.
pub fn format_links(servers: &[IceServer]) -> Vec<String> {
    let line = |server: &IceServer| {
        let url: String = server.url.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>')).collect();
        let mut out = format!("<{url}>; rel=\"ice-server\"");
        if let (Some(username), Some(credential)) = (&server.username, &server.credential) {
            out.push_str("; username=");
            quote(&mut out, username);
            out.push_str("; credential=");
            quote(&mut out, credential);
            out.push_str("; credential-type=\"password\"");
        }
        out
    };
    servers.iter().map(line).collect()
}

fn is_ice_url(url: &str) -> bool {
    let scheme = url.split_once(':').map(|(s, rest)| (s.to_ascii_lowercase(), !rest.is_empty()));
    matches!(&scheme, Some((s, true)) if matches!(s.as_str(), "stun" | "stuns" | "turn" | "turns"))
}

/// Control characters cannot stand in a header; they are left out.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn skip(&mut self, what: impl Fn(char) -> bool) {
        self.take(what);
    }

    /// The longest run of characters that satisfy `what`.
    fn take(&mut self, what: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !what(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or("")
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.rest().starts_with(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn link(&mut self) -> Result<(IceServer, String), LinkError> {
        if !self.eat('<') {
            return Err(LinkError::Target(self.at));
        }
        let target = self.take(|c| c != '>');
        if !self.eat('>') {
            return Err(LinkError::Target(self.at));
        }
        let mut server = IceServer { url: target.trim().into(), ..IceServer::default() };
        let mut relations = String::new();
        loop {
            self.skip(|c| c.is_ascii_whitespace());
            if !self.eat(';') {
                // Whatever else stands before the next comma belongs to no parameter.
                self.skip(|c| c != ',');
                return Ok((server, relations));
            }
            self.skip(|c| c.is_ascii_whitespace());
            let name = self.take(|c| !matches!(c, '=' | ';' | ',') && !c.is_ascii_whitespace());
            self.skip(|c| c.is_ascii_whitespace());
            if !self.eat('=') {
                continue;
            }
            self.skip(|c| c.is_ascii_whitespace());
            let value = self.value()?;
            match name.to_ascii_lowercase().as_str() {
                "rel" => relations = value,
                "username" => server.username = Some(value),
                "credential" => server.credential = Some(value),
                _ => {}
            }
        }
    }

    fn value(&mut self) -> Result<String, LinkError> {
        let start = self.at;
        if !self.eat('"') {
            return Ok(self.take(|c| !matches!(c, ';' | ',') && !c.is_ascii_whitespace()).into());
        }
        let mut out = String::new();
        loop {
            out.push_str(self.take(|c| !matches!(c, '"' | '\\')));
            if self.eat('"') {
                return Ok(out);
            }
            if !self.eat('\\') {
                return Err(LinkError::Quote(start));
            }
            let escaped = self.rest().chars().next().ok_or(LinkError::Quote(start))?;
            self.at += escaped.len_utf8();
            out.push(escaped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn server(url: &str, login: Option<(&str, &str)>) -> IceServer {
        IceServer { url: url.into(), username: login.map(|l| l.0.into()), credential: login.map(|l| l.1.into()) }
    }

    #[test]
    fn headers() {
        let check =
            |value: &str, want: Result<Vec<IceServer>, LinkError>| assert_eq!(parse_links(value), want, "{value}");
        check("", Ok(vec![]));
        check("<stun:stun.example.net>; rel=\"ice-server\"", Ok(vec![server("stun:stun.example.net", None)]));
        check(
            "<turn:t.example?transport=udp>; rel=\"ice-server\"; username=\"us,er\"; credential=\"p\\\"w;\"; \
             credential-type=\"password\", <stun:s>;rel=ice-server",
            Ok(vec![server("turn:t.example?transport=udp", Some(("us,er", "p\"w;"))), server("stun:s", None)]),
        );
        check("<https://x>; rel=\"ice-server\", <style.css>; rel=preload; as", Ok(vec![]));
        check("stun:x", Err(LinkError::Target(0)));
        check("<stun:x>; rel=\"ice", Err(LinkError::Quote(14)));
    }

    proptest! {
        #[test]
        fn round_trips(user in "[ -~äß]{0,20}", password in "[ -~]{0,20}", host in "[a-z.]{1,20}") {
            let servers = vec![server(&format!("turn:{host}:3478"), Some((&user, &password))), server("stun:a", None)];
            prop_assert_eq!(parse_links(&format_links(&servers).join(", ")), Ok(servers));
        }
    }
}
