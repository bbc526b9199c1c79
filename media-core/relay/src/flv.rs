//! HTTP-FLV: `GET /PATH.flv`, an FLV file without an end.
//!
//! Belongs here: the route and its body. Not here: tags (`container::flv`), the port (`relay`).

use crate::access::{Action, Authorizer, Refusal};
use crate::http::wish;
use crate::listen::{Listener, Listening, Sound};
use crate::rtmp::{BY_FOUR_CC, Egress, PATIENCE};
use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use container::flv::{Signalling, file_header};
use hub::{Item, PathName, ReadError, ReaderInfo, Start};
use media::MediaKind;
use std::sync::Arc;
use tracing::{debug, info, warn};

/// What the route needs.
#[derive(Debug, Clone)]
pub(crate) struct HttpFlv {
    pub(crate) listening: Listening,
    pub(crate) authorizer: Arc<dyn Authorizer>,
}

/// The path that `/PATH.flv` means; `None` for another URL.
pub(crate) fn path_of(url_path: &str) -> Option<&str> {
    url_path.strip_prefix('/')?.strip_suffix(".flv")
}

impl HttpFlv {
    /// Answers a request whose URL [`path_of`] recognises.
    pub(crate) async fn answer(&self, request: Request) -> Response {
        // The body is not Sync, and nobody sends one.
        let (parts, _body) = request.into_parts();
        let mut response = self.answer_parts(&parts).await;
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    async fn answer_parts(&self, request: &Parts) -> Response {
        let Some(Ok(path)) = path_of(request.uri.path()).map(PathName::parse) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let access = wish(Action::Read, &path, request);
        let peer = access.peer;
        if let Err(refusal) = self.authorizer.authorize(&access).await {
            warn!(path = %access.path, %peer, %refusal, "HTTP-FLV refused");
            return match refusal {
                Refusal::Unauthorized => StatusCode::UNAUTHORIZED.into_response(),
                Refusal::NoSuchPath => StatusCode::NOT_FOUND.into_response(),
            };
        }
        match request.method {
            Method::GET => self.stream(access.path, peer).await,
            Method::HEAD if self.listening.exists(&access.path) => content_type(StatusCode::OK.into_response()),
            Method::HEAD => StatusCode::NOT_FOUND.into_response(),
            _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        }
    }

    async fn stream(&self, path: PathName, peer: std::net::SocketAddr) -> Response {
        let info = ReaderInfo { kind: "httpFLVConn", id: uuid::Uuid::new_v4().to_string() };
        match self.listening.open(&path, Sound::Aac, info, Start::Soonest).await {
            Ok(listener) => {
                info!(%path, %peer, "HTTP-FLV playing");
                // Nobody can say here what they understand. Players that know no FourCC pass over those tags and play the sound.
                let listener = listener.with_patience(PATIENCE).with_pictures(BY_FOUR_CC);
                let body = FlvBody {
                    listener,
                    egress: Egress::new(Signalling::Enhanced),
                    header: file_header(true, true),
                    begun: false,
                };
                let stream = futures_util::stream::unfold(body, FlvBody::next);
                content_type(Body::from_stream(stream).into_response())
            }
            Err(error) => (StatusCode::NOT_FOUND, error.to_string()).into_response(),
        }
    }
}

fn content_type(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("video/x-flv"));
    response
}

struct FlvBody {
    listener: Listener,
    egress: Egress,
    /// What there is now: players wait long for a track that is announced and does not come, and take one that comes later.
    header: [u8; 13],
    begun: bool,
}

impl FlvBody {
    /// The next bytes; nothing is made before the connection can take it.
    async fn next(mut self) -> Option<(Result<Bytes, std::convert::Infallible>, Self)> {
        let mut out = Vec::new();
        while out.is_empty() {
            match self.listener.next().await {
                Ok(item) => {
                    if let Item::Tracks(tracks) = &item {
                        let has = |kind| tracks.first(kind).is_some();
                        self.header = file_header(has(MediaKind::Video), has(MediaKind::Audio));
                    }
                    self.egress.messages(&item).iter().for_each(|message| message.write_tag(&mut out));
                }
                Err(ReadError::Lagged(lagged)) => warn!(missed = lagged.missed, "HTTP-FLV player fell behind"),
                Err(ReadError::Ended(ended)) => {
                    debug!(%ended, "HTTP-FLV ended");
                    return None;
                }
            }
        }
        if !self.begun {
            self.begun = true;
            out.splice(0..0, self.header);
        }
        Some((Ok(out.into()), self))
    }
}
