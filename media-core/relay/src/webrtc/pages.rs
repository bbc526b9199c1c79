//! The player page of a path (`/PATH/`) and its publisher page (`/PATH/publish`).
//!
//! Belongs here: which URL is a page, and its headers. Not here: what the pages speak to (`http`), HLS' own player (`crate::hls`).
//! Each is one file that fetches nothing from elsewhere.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hub::PathName;

const PLAYER: &str = include_str!("player.html");
const PUBLISHER: &str = include_str!("publisher.html");

/// What the pages may do: run what carries this answer's own mark, and speak to the server they come from.
fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; \
         media-src 'self' blob:; base-uri 'none'; form-action 'none'"
    )
}

/// Answers whatever is no WHIP or WHEP resource.
pub(super) fn answer(request: &Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let url = request.uri().path().trim_start_matches('/');
    let (path, page) = match url.strip_suffix("/publish") {
        Some(path) => (path, PUBLISHER),
        None => (url.strip_suffix('/').unwrap_or(url), PLAYER),
    };
    let Ok(path) = PathName::parse(path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // From `/a/b` the endpoint is `b/whep`; from `/a/b/` and `/a/b/publish` it is `whep` itself. Relative, so that it survives a
    // prefix that a proxy adds.
    let folder = match path.as_str().rsplit('/').next() {
        Some(last) if page == PLAYER && !url.ends_with('/') => format!("{last}/"),
        _ => String::new(),
    };
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    // A path's characters mean nothing to HTML or JavaScript.
    let text = page.replace("{{path}}", path.as_str()).replace("{{base}}", &folder).replace("{{nonce}}", &nonce);
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(policy) = HeaderValue::from_str(&policy(&nonce)) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
