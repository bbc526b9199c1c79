//! What an RTSP request wishes, with the credentials it carries, for whoever decides. Not here: deciding (`crate::access`).

use crate::access::{AccessRequest, Action};
use crate::http::query_pairs;
use hub::PathName;
use proto::rtsp::{Credentials, Target};
use std::net::SocketAddr;

/// The wish for `path` that `target` and `credentials` express.
pub(super) fn wish(
    action: Action,
    path: PathName,
    target: &Target,
    credentials: Credentials,
    peer: SocketAddr,
) -> AccessRequest {
    let query = query_pairs(&target.query);
    let request = AccessRequest { action, path, peer, query, bearer: None, basic: None, digest: None };
    match credentials {
        Credentials::None => request,
        Credentials::Basic(user, password) => AccessRequest { basic: Some((user, password)), ..request },
        Credentials::Bearer(token) => AccessRequest { bearer: Some(token), ..request },
        Credentials::Digest(proof) => AccessRequest { digest: Some(proof), ..request },
    }
}
