//! The HTTP half of a client: `OPTIONS`, `POST`, `PATCH`, `DELETE`.
//!
//! Not here: what offers and fragments say (`connection`), headers in text (`proto::whip`).

use super::{FAREWELL, WhipAuth, WhipError, WhipTarget};
use proto::whip::{
    EntityTag, FRAGMENT_TYPE, IceServer, SDP_TYPE, SdpFragment, is_media_type, parse_links, resolve_location,
};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, IF_MATCH, LINK, LOCATION};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect};
use std::time::Duration;

/// For one request and its answer. A visit's first sign of a wrong address must come sooner than patience ends.
const TIMEOUT: Duration = Duration::from_secs(8);
/// A refused or unreachable address says so within this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// RFC 9725 §4.5 leaves the number open; more are a loop.
const MAX_REDIRECTS: usize = 3;
/// An answer is a few kilobytes.
const MAX_ANSWER: usize = 256 << 10;

/// One endpoint and, after [`Self::post`], one session there.
pub(super) struct Signalling {
    client: Client,
    auth: WhipAuth,
    endpoint: String,
    session: Option<Session>,
}

struct Session {
    url: String,
    tag: Option<EntityTag>,
    /// `false` once the server said that it does not take fragments.
    trickle: bool,
}

/// What `POST` brought.
pub(super) struct Posted {
    pub(super) answer: String,
    pub(super) ice_servers: Vec<IceServer>,
}

impl Signalling {
    pub(super) fn new(target: &WhipTarget) -> Result<Self, WhipError> {
        Self::with_timeout(target, TIMEOUT)
    }

    fn with_timeout(target: &WhipTarget, timeout: Duration) -> Result<Self, WhipError> {
        let tls = target.trust.client_config().map_err(|e| WhipError::Protocol { detail: format!("TLS: {e}") })?;
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(timeout)
            .connect_timeout(CONNECT_TIMEOUT)
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("visavis/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| protocol(&error))?;
        Ok(Self { client, auth: target.auth.clone(), endpoint: target.url.clone(), session: None })
    }

    /// The ICE servers the endpoint names beforehand (RFC 9725 §4.6). A server that does not know `OPTIONS` names none; one
    /// that cannot be reached is an error already here.
    pub(super) async fn options(&mut self) -> Result<Vec<IceServer>, WhipError> {
        let response = self.follow(Method::OPTIONS, |request| request).await?;
        match response.status() {
            status if status.is_success() => Ok(ice_servers(response.headers())),
            _ => Ok(Vec::new()),
        }
    }

    /// Offers, and remembers the session.
    pub(super) async fn post(&mut self, offer: &str) -> Result<Posted, WhipError> {
        let dress = |request: RequestBuilder| request.header(CONTENT_TYPE, SDP_TYPE).body(offer.to_owned());
        let mut response = self.follow(Method::POST, dress).await?;
        let detail = |detail: String| WhipError::Protocol { detail };
        match response.status() {
            StatusCode::CREATED | StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(WhipError::Unauthorized),
            StatusCode::NOT_FOUND => return Err(WhipError::NotFound),
            other => {
                let said = body(&mut response).await.unwrap_or_default();
                let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
                return Err(detail(format!("{other} {said}")));
            }
        }
        let headers = response.headers();
        // From here there is a session at the server, which must be ended even when the rest is unusable.
        let location = headers.get(LOCATION).and_then(|v| v.to_str().ok());
        if let Some(url) = location.and_then(|l| resolve_location(&self.endpoint, l)) {
            let tag = headers.get(ETAG).and_then(|v| v.to_str().ok()).and_then(EntityTag::parse);
            self.session = Some(Session { url, tag, trickle: true });
        } else {
            tracing::warn!("the server names no session; it can only end by timeout");
        }
        let ice_servers = ice_servers(headers);
        let content_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        if !is_media_type(content_type, SDP_TYPE) {
            let error = detail(format!("the answer is of type {content_type:?}"));
            self.delete().await;
            return Err(error);
        }
        match body(&mut response).await {
            Ok(answer) => Ok(Posted { answer, ice_servers }),
            Err(error) => {
                self.delete().await;
                Err(error)
            }
        }
    }

    /// Sends candidates that were found after the offer. A server that does not take them is not asked again.
    pub(super) async fn patch(&mut self, fragment: &SdpFragment) {
        let Some(session) = self.session.as_ref().filter(|s| s.trickle) else { return };
        let mut request = self.authorized(self.client.request(Method::PATCH, &session.url));
        if let Some(tag) = &session.tag {
            request = request.header(IF_MATCH, tag.header());
        }
        let sent = request.header(CONTENT_TYPE, FRAGMENT_TYPE).body(fragment.format()).send().await;
        let trickle = match sent {
            Ok(response) if response.status().is_success() => true,
            Ok(response) => {
                tracing::info!(status = %response.status(), "the server takes no trickled candidates");
                false
            }
            Err(error) => {
                tracing::info!(%error, "trickled candidates were not delivered");
                false
            }
        };
        if let Some(session) = &mut self.session {
            session.trickle = trickle;
        }
    }

    /// Ends the session, if there is one. A failure is only logged: the server will notice the silence.
    pub(super) async fn delete(&self) {
        let Some(session) = &self.session else { return };
        let request = self.authorized(self.client.request(Method::DELETE, &session.url)).timeout(FAREWELL);
        match request.send().await {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => tracing::info!(status = %response.status(), "the server does not end the session"),
            Err(error) => tracing::info!(%error, "the session was not ended at the server"),
        }
    }

    /// Sends to the endpoint and follows redirects, which move the endpoint for good.
    async fn follow(
        &mut self,
        method: Method,
        dress: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, WhipError> {
        for _ in 0..=MAX_REDIRECTS {
            let request = self.authorized(self.client.request(method.clone(), &self.endpoint));
            let response = dress(request).send().await.map_err(|error| failed(&error))?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let location = response.headers().get(LOCATION).and_then(|v| v.to_str().ok());
            let next = location.and_then(|l| resolve_location(&self.endpoint, l));
            let next = next.ok_or_else(|| WhipError::Protocol { detail: "a redirect to nowhere".into() })?;
            if host(&next) != host(&self.endpoint) {
                // Credentials are for the server they were given for.
                self.auth = WhipAuth::None;
            }
            self.endpoint = next;
        }
        Err(WhipError::Protocol { detail: format!("more than {MAX_REDIRECTS} redirects") })
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.header(ACCEPT_ENCODING, "identity");
        match &self.auth {
            WhipAuth::None => request,
            WhipAuth::Bearer(token) => request.bearer_auth(token),
            WhipAuth::Basic { user, password } => request.basic_auth(user, Some(password)),
        }
    }
}

/// Scheme, host and port of a URL.
fn host(url: &str) -> Option<&str> {
    let end = url.find("://")? + 3;
    let rest = url.get(end..)?;
    url.get(..end + rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

fn ice_servers(headers: &HeaderMap) -> Vec<IceServer> {
    let values = headers.get_all(LINK).iter().filter_map(|v| v.to_str().ok());
    values
        .flat_map(|value| {
            parse_links(value).unwrap_or_else(|error| {
                tracing::info!(%error, "Link header not understood");
                Vec::new()
            })
        })
        .collect()
}

async fn body(response: &mut Response) -> Result<String, WhipError> {
    let mut out = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
        if out.len() + chunk.len() > MAX_ANSWER {
            return Err(WhipError::Protocol { detail: "the answer is too large".into() });
        }
        out.extend_from_slice(&chunk);
    }
    String::from_utf8(out).map_err(|_| WhipError::Protocol { detail: "the answer is not UTF-8".into() })
}

fn failed(error: &reqwest::Error) -> WhipError {
    if error.is_timeout() {
        WhipError::Timeout("HTTP")
    } else if error.is_connect() {
        WhipError::Refused { detail: innermost(error) }
    } else {
        protocol(error)
    }
}

fn protocol(error: &reqwest::Error) -> WhipError {
    WhipError::Protocol { detail: innermost(error) }
}

/// The cause says what happened, the outer layers only where.
fn innermost(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => innermost(source),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Trust;
    use axum::Router;
    use axum::http::{HeaderMap as Headers, StatusCode as Status, Uri};
    use axum::response::{IntoResponse, Response as Answer};
    use axum::routing::any;

    /// One server that answers by path.
    async fn answer(method: Method, uri: Uri, headers: Headers) -> Answer {
        if method == Method::OPTIONS {
            return ([("link", "<stun:s>; rel=\"ice-server\"")], ()).into_response();
        }
        let authorized = headers.get("authorization").is_some_and(|a| a == "Bearer t");
        let created = [("location", "whip/1"), ("etag", "\"e\""), ("content-type", "application/sdp")];
        match uri.path() {
            "/ok/whip" if authorized => (Status::CREATED, created, "v=0\r\n").into_response(),
            "/ok/whip" => Status::UNAUTHORIZED.into_response(),
            "/moved/whip" => (Status::TEMPORARY_REDIRECT, [("location", "/ok/whip")], ()).into_response(),
            "/loop/whip" => (Status::TEMPORARY_REDIRECT, [("location", "/loop/whip")], ()).into_response(),
            "/busy/whip" => (Status::CONFLICT, "somebody\n else").into_response(),
            "/html/whip" => (Status::CREATED, [("content-type", "text/html")], "hello").into_response(),
            "/hang/whip" => std::future::pending().await,
            _ => Status::NOT_FOUND.into_response(),
        }
    }

    async fn post(url: String, token: &str) -> Result<String, WhipError> {
        // Another test may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let auth = WhipAuth::Bearer(token.into());
        let target = WhipTarget { url, auth, trust: Trust::System, ice_servers: vec![] };
        let mut signalling = Signalling::with_timeout(&target, Duration::from_millis(500))?;
        signalling.options().await?;
        let posted = signalling.post("v=0").await?;
        Ok(posted.answer + &signalling.session.map(|s| s.url).unwrap_or_default())
    }

    #[tokio::test]
    async fn answers_become_errors_of_their_kind() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(any(answer));
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        let detail = |detail: &str| Err(WhipError::Protocol { detail: detail.into() });
        let check = async |path: &str, token: &str, want: Result<String, WhipError>| {
            assert_eq!(post(format!("{base}{path}"), token).await, want, "{path}");
        };
        let ok = || Ok(format!("v=0\r\n{base}/ok/whip/1"));
        check("/ok/whip", "t", ok()).await;
        check("/moved/whip", "t", ok()).await;
        check("/ok/whip", "wrong", Err(WhipError::Unauthorized)).await;
        check("/none/whip", "t", Err(WhipError::NotFound)).await;
        check("/loop/whip", "t", detail("more than 3 redirects")).await;
        check("/busy/whip", "t", detail("409 Conflict somebody else")).await;
        check("/html/whip", "t", detail("the answer is of type \"text/html\"")).await;
        check("/hang/whip", "t", Err(WhipError::Timeout("HTTP"))).await;
        server.abort();
        drop(server.await);
        let refused = post(format!("{base}/ok/whip"), "t").await;
        assert!(matches!(refused, Err(WhipError::Refused { .. })), "{refused:?}");
    }

    #[test]
    fn hosts() {
        let check = |url, want| assert_eq!(host(url), want, "{url}");
        check("http://a:1/b?c", Some("http://a:1"));
        check("https://a", Some("https://a"));
        check("nonsense", None);
    }
}
