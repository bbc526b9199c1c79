//! The player page of a path.
//!
//! One file, nothing fetched from elsewhere. Browsers that play HLS themselves (Safari, and Chromium of late) do; the
//! others get a small player of our own on Media Source Extensions.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

const PAGE: &str = include_str!("player.html");

/// The page of `path`; `folder` leads from the page's URL to the path's own folder.
pub(super) fn page(path: &str, folder: &str) -> Response {
    let base = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    // A path's characters mean nothing to HTML or JavaScript.
    let mut response = PAGE.replace("{{path}}", path).replace("{{base}}", &base).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; media-src 'self' blob:",
        ),
    );
    response
}
