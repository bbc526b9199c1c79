//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) over HTTP: `POST`, `PATCH`, `DELETE`, `OPTIONS`.
//!
//! Belongs here: status codes and headers. Not here: their text (`proto::whip`), sessions (`server`), pages (`pages`).

use super::addresses::{candidate_lines, tcp_candidate_lines};
use super::pages;
use super::registry::SessionRole;
use super::server::{self, Asker, OpenError, WebRtcState};
use super::transport::IceCredentials;
use crate::access::{Action, Refusal};
use crate::http::wish;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hub::PathName;
use proto::whip::{
    Endpoint, FRAGMENT_TYPE, FragmentMedia, IfMatch, Resource, SDP_TYPE, SdpFragment, SessionText, format_links,
    is_media_type, relative_location, take_offer, take_read_offer,
};

/// Browsers' offers are below 10 kB, with all codecs and candidates.
const MAX_BODY: usize = 256 << 10;

/// The routes as a router of their own; everything else is `404`.
pub fn router(state: WebRtcState) -> Router {
    Router::new().fallback(any).with_state(state)
}

async fn any(State(state): State<WebRtcState>, request: Request) -> Response {
    match serve(&state, request).await {
        Ok(response) => response,
        Err(request) => pages::answer(&request),
    }
}

/// Serves a request for a WHIP or WHEP resource; anything else is handed back, so that pages can live on the same port.
///
/// # Errors
/// The request itself, untouched, where its path is not of the form `/PATH/whip` or `/PATH/whip/SESSION`, or the same with
/// `whep`.
pub async fn serve(state: &WebRtcState, request: Request) -> Result<Response, Box<Request>> {
    let url_path = request.uri().path().to_owned();
    let Some(resource) = Resource::parse(&url_path) else {
        return Err(Box::new(request));
    };
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = match PathName::parse(resource.path) {
        Ok(path) => match resource.session {
            None => endpoint(state, resource.endpoint, path, request).await,
            Some(secret) => session(state, role(resource.endpoint), path, secret, request).await,
        },
        Err(error) => text(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    allow_origin(state, origin.as_ref(), response.headers_mut());
    Ok(response)
}

const fn role(endpoint: Endpoint) -> SessionRole {
    match endpoint {
        Endpoint::Whip => SessionRole::Publish,
        Endpoint::Whep => SessionRole::Read,
    }
}

async fn endpoint(state: &WebRtcState, endpoint: Endpoint, path: PathName, request: Request) -> Response {
    match *request.method() {
        Method::OPTIONS => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            preflight(response.headers_mut());
            put(response.headers_mut(), HeaderName::from_static("accept-post"), SDP_TYPE);
            links(state, response.headers_mut());
            response
        }
        Method::POST => open(state, endpoint, path, request).await,
        // RFC 9725 §4.1: reserved for later.
        _ => not_allowed("OPTIONS, POST"),
    }
}

async fn open(state: &WebRtcState, endpoint: Endpoint, path: PathName, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let role = role(endpoint);
    let action = match role {
        SessionRole::Publish => Action::Publish,
        SessionRole::Read => Action::Read,
    };
    let access = wish(action, &path, &parts);
    let peer = access.peer;
    if let Err(refusal) = state.0.authorizer.authorize(&access).await {
        return refused(refusal);
    }
    let body = match read_body(&parts.headers, body, SDP_TYPE).await {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let session = match SessionText::parse(&body) {
        Ok(session) => session,
        Err(error) => return text(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let taken = match role {
        SessionRole::Publish => take_offer(&session),
        SessionRole::Read => take_read_offer(&session, state.0.hub.tracks(&path).as_deref()),
    };
    let taken = match taken {
        Ok(taken) => taken,
        Err(error) => {
            tracing::info!(%path, %peer, %error, "offer not acceptable");
            return text(StatusCode::NOT_ACCEPTABLE, &error.to_string());
        }
    };
    let user_agent = header_text(&parts.headers, &header::USER_AGENT).unwrap_or("").to_owned();
    let query = parts.uri.query().unwrap_or("").to_owned();
    let asker = Asker { role, path: path.clone(), http_peer: peer, query, user_agent };
    let opened = match state.open(&body, session.ice_ufrag().unwrap_or(""), &taken, asker).await {
        Ok(opened) => opened,
        Err(OpenError::Full) => return text(StatusCode::SERVICE_UNAVAILABLE, "too many WebRTC sessions"),
        Err(OpenError::Offer(error)) => {
            tracing::info!(%path, %peer, %error, "offer refused");
            return text(StatusCode::BAD_REQUEST, &error.to_string());
        }
    };
    tracing::info!(%path, id = %opened.id, %peer, ?role, "WebRTC session opened");
    let mut response = (StatusCode::CREATED, opened.answer).into_response();
    let headers = response.headers_mut();
    put(headers, header::CONTENT_TYPE, SDP_TYPE);
    put(headers, header::LOCATION, &relative_location(endpoint, &opened.secret));
    put(headers, header::ETAG, &opened.tag.header());
    put(headers, HeaderName::from_static("accept-patch"), FRAGMENT_TYPE);
    put(headers, HeaderName::from_static("id"), &opened.id);
    links(state, headers);
    response
}

async fn session(state: &WebRtcState, role: SessionRole, path: PathName, secret: &str, request: Request) -> Response {
    if request.method() == Method::OPTIONS {
        let mut response = StatusCode::NO_CONTENT.into_response();
        preflight(response.headers_mut());
        put(response.headers_mut(), HeaderName::from_static("accept-patch"), FRAGMENT_TYPE);
        return response;
    }
    let Some(handle) = state.session(secret, &path, role) else {
        return text(StatusCode::NOT_FOUND, "no such session");
    };
    match *request.method() {
        Method::DELETE => {
            if server::close(&handle).await {
                StatusCode::OK.into_response()
            } else {
                text(StatusCode::NOT_FOUND, "no such session")
            }
        }
        Method::PATCH => {
            let (parts, body) = request.into_parts();
            let body = match read_body(&parts.headers, body, FRAGMENT_TYPE).await {
                Ok(body) => body,
                Err(response) => return *response,
            };
            let fragment = match SdpFragment::parse(&body) {
                Ok(fragment) => fragment,
                Err(error) => return text(StatusCode::BAD_REQUEST, &error.to_string()),
            };
            let condition = IfMatch::parse(header_text(&parts.headers, &header::IF_MATCH));
            patch(state, secret, &handle, &fragment, &condition).await
        }
        _ => not_allowed("OPTIONS, PATCH, DELETE"),
    }
}

/// Trickle or ICE restart (RFC 9725 §4.3). Candidates are not needed here: a lite agent learns addresses from the checks it
/// answers. They are read and acknowledged.
async fn patch(
    state: &WebRtcState,
    secret: &str,
    handle: &super::registry::Handle,
    fragment: &SdpFragment,
    condition: &IfMatch,
) -> Response {
    let current = handle.ice.lock().clone();
    let restart = fragment.ufrag.as_ref().is_some_and(|ufrag| *ufrag != current.remote_ufrag);
    let applies = match condition {
        // Many clients leave it out; the user name fragment says as well which ICE session is meant.
        IfMatch::Absent => !restart,
        other => other.admits(&current.tag),
    };
    if !applies {
        let status = match condition {
            IfMatch::Absent => StatusCode::PRECONDITION_REQUIRED,
            _ => StatusCode::PRECONDITION_FAILED,
        };
        return text(status, "this is not the current ICE session");
    }
    if !restart {
        return StatusCode::NO_CONTENT.into_response();
    }
    let (Some(ufrag), Some(password)) = (fragment.ufrag.clone(), fragment.password.clone()) else {
        return text(StatusCode::BAD_REQUEST, "an ICE restart needs ice-ufrag and ice-pwd");
    };
    let (own, tag) = match state.restart(secret, handle, IceCredentials { ufrag, password }).await {
        Ok(restarted) => restarted,
        Err(error) => {
            tracing::info!(%error, "ICE restart refused");
            return text(StatusCode::CONFLICT, &error.to_string());
        }
    };
    let (udp, tcp) = state.candidates().await;
    let candidates = candidate_lines(&udp).into_iter().chain(tcp_candidate_lines(&tcp)).collect();
    let first = fragment.media.first();
    let media = FragmentMedia {
        kind: first.map_or_else(|| "audio".into(), |m| m.kind.clone()),
        mid: first.and_then(|m| m.mid.clone()),
        candidates,
        end_of_candidates: true,
    };
    let answer = SdpFragment {
        ufrag: Some(own.ufrag),
        password: Some(own.password),
        session: FragmentMedia::default(),
        media: vec![media],
    };
    let mut response = (StatusCode::OK, answer.format()).into_response();
    put(response.headers_mut(), header::CONTENT_TYPE, FRAGMENT_TYPE);
    put(response.headers_mut(), header::ETAG, &tag.header());
    response
}

/// The body as text, if it is of the type `wanted`.
async fn read_body(headers: &HeaderMap, body: Body, wanted: &str) -> Result<String, Box<Response>> {
    let fail = |status, detail: &str| Err(Box::new(text(status, detail)));
    if !header_text(headers, &header::CONTENT_TYPE).is_some_and(|t| is_media_type(t, wanted)) {
        return fail(StatusCode::UNSUPPORTED_MEDIA_TYPE, &format!("expected {wanted}"));
    }
    let Ok(bytes) = to_bytes(body, MAX_BODY).await else {
        return fail(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or broke off");
    };
    match String::from_utf8(bytes.into()) {
        Ok(body) => Ok(body),
        Err(_) => fail(StatusCode::BAD_REQUEST, "the body is not UTF-8"),
    }
}

fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Unauthorized => {
            let mut response = text(StatusCode::UNAUTHORIZED, "authentication is needed");
            put(response.headers_mut(), header::WWW_AUTHENTICATE, "Basic realm=\"visavis\", Bearer realm=\"visavis\"");
            response
        }
        Refusal::NoSuchPath => text(StatusCode::NOT_FOUND, "there is no such path here"),
    }
}

fn not_allowed(methods: &str) -> Response {
    let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
    put(response.headers_mut(), header::ALLOW, methods);
    response
}

fn text(status: StatusCode, detail: &str) -> Response {
    (status, format!("{detail}\n")).into_response()
}

fn links(state: &WebRtcState, headers: &mut HeaderMap) {
    for link in format_links(&state.0.config.ice_servers) {
        if let Ok(value) = HeaderValue::from_str(&link) {
            headers.append(header::LINK, value);
        }
    }
}

fn allow_origin(state: &WebRtcState, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    let allowed = &state.0.config.allow_origins;
    let value = if allowed.iter().any(|a| a == "*") {
        Some(HeaderValue::from_static("*"))
    } else {
        origin.filter(|o| o.to_str().is_ok_and(|o| allowed.iter().any(|a| a == o))).cloned()
    };
    let Some(value) = value else { return };
    if value != "*" {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
    put(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, "Location, Link, ETag, Accept-Patch, ID");
}

fn preflight(headers: &mut HeaderMap) {
    put(headers, header::ACCESS_CONTROL_ALLOW_METHODS, "OPTIONS, POST, PATCH, DELETE");
    put(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, If-Match");
    put(headers, header::ACCESS_CONTROL_MAX_AGE, "86400");
}

/// Values made here hold nothing that a header refuses; if one did, the header is left out.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}
