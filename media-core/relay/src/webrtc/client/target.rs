//! Where a client connects, and with what rights. Not here: asking (`signalling`).

use crate::tls::Trust;
use percent_encoding::percent_decode_str;
use proto::whip::IceServer;
use std::fmt;
use url::Url;

/// Where to publish or read, and with what rights. `Display` and `Debug` say which server, never which path: platforms put the key there.
#[derive(Clone, PartialEq, Eq)]
pub struct WhipTarget {
    /// The endpoint, such as `http://192.0.2.7:8889/doctorStream/whip`.
    pub url: String,
    /// What is shown to the server.
    pub auth: WhipAuth,
    /// Whose certificate is good, where the endpoint has TLS.
    pub trust: Trust,
    /// ICE servers besides those the server names in `Link` headers.
    pub ice_servers: Vec<IceServer>,
}

/// Credentials of a [`WhipTarget`].
#[derive(Clone, PartialEq, Eq)]
pub enum WhipAuth {
    /// None.
    None,
    /// A token (RFC 6750).
    Bearer(String),
    /// User and password (RFC 7617).
    Basic {
        /// User name, without a colon.
        user: String,
        /// Password.
        password: String,
    },
}

impl WhipTarget {
    /// The endpoint `scheme://rest`, where `scheme` is `http` or `https`; `user:password@` becomes Basic.
    ///
    /// # Errors
    /// Where that is no URL.
    pub fn parse(scheme: &str, rest: &str) -> Result<Self, url::ParseError> {
        let mut url = Url::parse(&format!("{scheme}://{rest}"))?;
        let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let auth = match (url.username(), url.password()) {
            ("", None) => WhipAuth::None,
            (user, password) => {
                WhipAuth::Basic { user: decoded(user), password: decoded(password.unwrap_or_default()) }
            }
        };
        // Neither fails where there is a host, and HTTP has one.
        let _removed = (url.set_username(""), url.set_password(None));
        Ok(Self { url: url.into(), auth, trust: Trust::System, ice_servers: Vec::new() })
    }
}

impl fmt::Display for WhipTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("http", &self.url));
        write!(f, "{scheme}://{}", rest.split(['/', '?']).next().unwrap_or_default())
    }
}

impl fmt::Debug for WhipTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WhipTarget({self})")
    }
}
