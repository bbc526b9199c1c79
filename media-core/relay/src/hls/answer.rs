//! Requests and their answers: status, headers, bodies.
//!
//! Not here: what is in a playlist (`proto::hls`), who waits for what (`muxer`).
//!
//! Every file's name belongs to one muxer and one content, so caches may keep it for ever. A reload that was held is the same
//! for everybody who asks so and may be kept for seconds; everything else must be asked for anew.

use super::muxer::{Absent, Muxer, TooFar};
use super::{HlsState, page};
use crate::access::{Action, Refusal};
use crate::http::wish;
use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hub::PathName;
use proto::hls::{Directives, PLAYLIST_TYPE, Packaging, Resource, SegmentView, Variant, split_url};
use std::sync::Arc;
use tracing::{debug, warn};

/// A blocked reload: kept by caches for six target durations of a second, as Apple recommends for blocking servers.
const CACHE_BLOCKED: &str = "max-age=6";
const CACHE_FILE: &str = "max-age=31536000, immutable";
const CACHE_RELOAD: &str = "no-cache";
const CACHE_NEVER: &str = "no-store";

/// What a URL asks for.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    path: &'a str,
    resource: Resource,
    /// From the URL to the path's folder: empty, or the name itself where the slash behind it is missing.
    folder: &'a str,
}

/// Reads a URL's path; `None` for what is not ours.
pub(super) fn parse(url_path: &str) -> Option<Asked<'_>> {
    if let Some((path, resource)) = split_url(url_path) {
        return (!path.is_empty()).then_some(Asked { path, resource, folder: "" });
    }
    // `/PATH` is answered as `/PATH/` is, without sending anybody elsewhere: redirects do not survive a proxy's prefix.
    // What has a dot is a file that we do not have.
    let path = url_path.strip_prefix('/')?;
    let name = path.rsplit('/').next().filter(|name| !name.is_empty() && !name.contains('.'))?;
    PathName::parse(path).is_ok().then_some(Asked { path, resource: Resource::Page, folder: name })
}

pub(super) async fn answer(state: &HlsState, request: Request) -> Response {
    // The body is not Sync, and nobody sends one.
    let (parts, _body) = request.into_parts();
    let head = parts.method == Method::HEAD;
    let mut response = match parts.method {
        Method::OPTIONS => preflight(),
        Method::GET | Method::HEAD => get(state, &parts).await,
        _ => {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD and OPTIONS are understood");
            put(response.headers_mut(), header::ALLOW, "GET, HEAD, OPTIONS");
            response
        }
    };
    allow_origin(state, &parts.headers, response.headers_mut());
    keep_private(&parts.headers, response.headers_mut());
    if head {
        // The length stays in the header.
        *response.body_mut() = Body::empty();
    }
    response
}

async fn get(state: &HlsState, parts: &Parts) -> Response {
    let Some(asked) = parse(parts.uri.path()) else { return not_found() };
    let Ok(path) = PathName::parse(asked.path) else { return not_found() };
    if let Err(response) = authorize(state, &path, parts).await {
        return *response;
    }
    let query = parts.uri.query().unwrap_or_default();
    let answered = match asked.resource {
        Resource::Page => return page::page(path.as_str(), asked.folder),
        Resource::Multivariant => multivariant(state, &path, query, &parts.method).await,
        Resource::Media => media(state, &path, query, &parts.method).await,
        Resource::Init { seed, number } => running(state, &path, Packaging::Fmp4).and_then(|muxer| {
            let bytes = muxer.init(seed, number).ok_or(Absent::NotFound)?;
            Ok(file(&muxer, bytes))
        }),
        Resource::Segment { seed, msn, packaging } => running(state, &path, packaging).and_then(|muxer| {
            let view = muxer.segment(seed, msn).ok_or(Absent::NotFound)?;
            Ok(segment(muxer, view))
        }),
        Resource::Part { seed, number } => match running(state, &path, Packaging::Fmp4) {
            Ok(muxer) => muxer.part(seed, number).await.map(|bytes| file(&muxer, bytes)),
            Err(absent) => Err(absent),
        },
    };
    answered.unwrap_or_else(|absent| match absent {
        Absent::NotFound => not_found(),
        Absent::NotYet => later("there is nothing to play yet"),
        Absent::Crowded => later("too many requests are waiting"),
    })
}

/// The muxer of a path that has one.
fn running(state: &HlsState, path: &PathName, packaging: Packaging) -> Result<Arc<Muxer>, Absent> {
    let muxer = state.existing(path, packaging).ok_or(Absent::NotFound)?;
    muxer.touch();
    Ok(muxer)
}

/// The muxer of a path, started if need be. `HEAD` asks what is true now: it does not wait for a publisher.
fn started(state: &HlsState, path: &PathName, packaging: Packaging, method: &Method) -> Result<Arc<Muxer>, Absent> {
    let shown = state.existing(path, packaging).filter(|muxer| !muxer.is_over());
    if shown.is_none() && *method == Method::HEAD && !state.0.source.exists(path) {
        return Err(Absent::NotFound);
    }
    let muxer = state.ensure(path, packaging).ok_or(Absent::Crowded)?;
    if *method == Method::HEAD && muxer.is_opening() && !state.0.source.exists(path) {
        return Err(Absent::NotFound);
    }
    muxer.touch();
    Ok(muxer)
}

async fn multivariant(state: &HlsState, path: &PathName, query: &str, method: &Method) -> Result<Response, Absent> {
    let directives = match Directives::parse(query) {
        Ok(directives) => directives,
        Err(error) => return Ok(text(StatusCode::BAD_REQUEST, &error.to_string())),
    };
    let packaging = directives.variant.unwrap_or(state.0.config.variant).packaging();
    let muxer = started(state, path, packaging, method)?;
    // Where the URL does not choose, neither does the playlist's.
    let playlist = muxer.multivariant(directives.variant, &directives.carried).await?;
    Ok(text_of(&muxer, playlist, CACHE_RELOAD))
}

async fn media(state: &HlsState, path: &PathName, query: &str, method: &Method) -> Result<Response, Absent> {
    let directives = match Directives::parse(query) {
        Ok(directives) => directives,
        Err(error) => return Ok(text(StatusCode::BAD_REQUEST, &error.to_string())),
    };
    let variant = directives.variant.unwrap_or(state.0.config.variant);
    let packaging = variant.packaging();
    // A stream that has just ended is still told so.
    let muxer = match state.existing(path, packaging).filter(|m| m.is_over() && !state.0.source.exists(path)) {
        Some(muxer) => muxer,
        None => started(state, path, packaging, method)?,
    };
    muxer.first_wait().await?;
    let cache = match directives.block.filter(|_| *method == Method::GET) {
        None if variant == Variant::LowLatency => CACHE_RELOAD.into(),
        None => {
            // Players ask again after half a target duration at the earliest (RFC 8216 §6.3.4), and a cache in between may
            // answer so long; nothing shorter than a second can be said.
            format!("max-age={}", (muxer.target() / 2).as_secs().max(1))
        }
        Some(block) => match muxer.block(block).await? {
            Ok(true) => CACHE_BLOCKED.into(),
            Ok(false) => CACHE_NEVER.into(),
            Err(TooFar) => return Ok(text(StatusCode::BAD_REQUEST, "_HLS_msn or _HLS_part is too far ahead")),
        },
    };
    let playlist = muxer.playlist(variant, directives.skip, &directives.carried)?;
    Ok(text_of(&muxer, playlist, &cache))
}

async fn authorize(state: &HlsState, path: &PathName, parts: &Parts) -> Result<(), Box<Response>> {
    let access = wish(Action::Read, path, parts);
    let Err(refusal) = state.0.authorizer.authorize(&access).await else { return Ok(()) };
    warn!(%path, peer = %access.peer, %refusal, "HLS refused");
    Err(Box::new(match refusal {
        Refusal::Unauthorized => {
            let mut response = text(StatusCode::UNAUTHORIZED, "credentials are missing or wrong");
            put(response.headers_mut(), header::WWW_AUTHENTICATE, "Basic realm=\"visavis\"");
            response
        }
        Refusal::NoSuchPath => not_found(),
    }))
}

fn file(muxer: &Muxer, bytes: Bytes) -> Response {
    muxer.count(bytes.len());
    let mut response = Body::from(bytes).into_response();
    put(response.headers_mut(), header::CONTENT_TYPE, muxer.packaging.content_type());
    put(response.headers_mut(), header::CACHE_CONTROL, CACHE_FILE);
    response
}

/// A segment is sent part by part. A client slower than the window finds the next part gone and its connection closed; it
/// never holds more than one.
fn segment(muxer: Arc<Muxer>, view: SegmentView) -> Response {
    let kind = muxer.packaging.content_type();
    let parts = (view.first_part, view.first_part + view.parts);
    let stream = futures_util::stream::unfold((muxer, parts), |(muxer, (next, end))| async move {
        if next >= end {
            return None;
        }
        let part = muxer.part_now(next).inspect(|bytes| muxer.count(bytes.len())).ok_or_else(|| {
            debug!(path = %muxer.path, part = next, "an HLS client was slower than the window");
            std::io::Error::other("the segment has left the window")
        });
        let rest = if part.is_ok() { (next + 1, end) } else { (end, end) };
        Some((part, (muxer, rest)))
    });
    let mut response = Body::from_stream(stream).into_response();
    put(response.headers_mut(), header::CONTENT_TYPE, kind);
    put(response.headers_mut(), header::CACHE_CONTROL, CACHE_FILE);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(view.bytes));
    response
}

fn text_of(muxer: &Muxer, playlist: String, cache: &str) -> Response {
    muxer.count(playlist.len());
    let length = HeaderValue::from(playlist.len());
    let mut response = playlist.into_response();
    put(response.headers_mut(), header::CONTENT_TYPE, PLAYLIST_TYPE);
    if let Ok(cache) = HeaderValue::from_str(cache) {
        response.headers_mut().insert(header::CACHE_CONTROL, cache);
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    response
}

fn text(status: StatusCode, words: &str) -> Response {
    let mut response = (status, words.to_owned()).into_response();
    put(response.headers_mut(), header::CACHE_CONTROL, CACHE_NEVER);
    response
}

fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "nothing is published there")
}

fn later(words: &str) -> Response {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, words);
    put(response.headers_mut(), header::RETRY_AFTER, "1");
    response
}

fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    put(headers, header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS");
    put(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Range");
    put(headers, header::ACCESS_CONTROL_MAX_AGE, "86400");
    response
}

/// What credentials in a header have opened is for nobody else: unlike those of a URL, they are no part of what caches go by,
/// and not every cache looks at them (nginx does not).
fn keep_private(asked: &HeaderMap, headers: &mut HeaderMap) {
    let shared = headers.get(header::CACHE_CONTROL).and_then(|v| v.to_str().ok()).filter(|v| v.starts_with("max-age"));
    if let (true, Some(shared)) = (asked.contains_key(header::AUTHORIZATION), shared)
        && let Ok(private) = HeaderValue::try_from(format!("private, {shared}"))
    {
        headers.insert(header::CACHE_CONTROL, private);
    }
}

fn allow_origin(state: &HlsState, asked: &HeaderMap, headers: &mut HeaderMap) {
    let allowed = &state.0.config.allow_origins;
    if allowed.iter().any(|origin| origin == "*") {
        put(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        return;
    }
    // The answer depends on who asks; caches must know.
    put(headers, header::VARY, "Origin");
    if let Some(origin) = asked.get(header::ORIGIN).filter(|origin| allowed.contains(origin)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |url: &str, want: Option<(&str, Resource, &str)>| {
            assert_eq!(parse(url).map(|a| (a.path, a.resource, a.folder)), want, "{url}");
        };
        check("/a/b/", Some(("a/b", Resource::Page, "")));
        check("/a/b", Some(("a/b", Resource::Page, "b")));
        check("/a/b/index.m3u8", Some(("a/b", Resource::Multivariant, "")));
        check("/a.flv", None);
        check("/favicon.ico", None);
        check("/index.m3u8", None);
        check("/a/whip", None);
        check("/", None);
        check("//", None);
    }
}
