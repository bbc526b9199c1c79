//! What an HTTP request wishes, with the credentials it carries, for whoever decides. Not here: deciding (`crate::access`).

use super::{Peer, query_pairs};
use crate::access::{AccessRequest, Action};
use axum::extract::ConnectInfo;
use axum::http::header;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub::PathName;
use std::net::{Ipv4Addr, SocketAddr};

/// The wish that `parts` express.
pub(crate) fn wish(action: Action, path: &PathName, parts: &Parts) -> AccessRequest {
    let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let peer = parts.extensions.get::<ConnectInfo<Peer>>().map_or(unknown, |ConnectInfo(Peer(peer))| *peer);
    let query = query_pairs(parts.uri.query().unwrap_or_default());
    let header = parts.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let (bearer, basic) = authorization(header);
    AccessRequest { action, path: path.clone(), peer, query, bearer, basic, digest: None }
}

/// Reads the value of an `Authorization` header (RFC 6750, RFC 7617): bearer token, or user and password.
fn authorization(header: Option<&str>) -> (Option<String>, Option<(String, String)>) {
    let Some((scheme, value)) = header.and_then(|h| h.trim().split_once(' ')) else { return (None, None) };
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return (Some(value.into()), None);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return (None, None);
    }
    let decoded = STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
    (None, pair.map(|(user, password)| (user.into(), password.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorization_headers() {
        let check = |header: Option<&str>, bearer: Option<&str>, basic: Option<(&str, &str)>| {
            let basic = basic.map(|(u, p)| (u.to_owned(), p.to_owned()));
            assert_eq!(authorization(header), (bearer.map(str::to_owned), basic), "{header:?}");
        };
        check(None, None, None);
        check(Some("Bearer abc.def"), Some("abc.def"), None);
        check(Some("basic dTpwOnc="), None, Some(("u", "p:w")));
        check(Some("Basic ???"), None, None);
        check(Some("Digest x"), None, None);
    }
}
