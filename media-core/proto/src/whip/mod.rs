//! WHIP and WHEP in text (RFC 9725; draft-ietf-wish-whep): what stands in paths, headers and bodies.
//!
//! Belongs here: `Link` of ICE servers, resource paths, trickle fragments, entity tags, what an offer contains and which codec is
//! taken from it, whose a datagram is. Not here: HTTP itself, ICE, DTLS (`relay::webrtc`).

mod etag;
#[doc(hidden)]
pub mod fuzz;
mod link;
mod resource;
mod sdp;
mod sdpfrag;
mod stun;

pub use etag::{EntityTag, IfMatch};
pub use link::{IceServer, LinkError, format_links, parse_links};
pub use resource::{Endpoint, Resource, relative_location, resolve_location};
pub use sdp::{
    Direction, MediaSection, OfferError, OfferedCodec, Profile, SdpError, SessionText, Taken, TakenPicture, take_offer,
    take_read_offer,
};
pub use sdpfrag::{FragmentMedia, SdpFragment, SdpFragmentError};
pub use stun::Datagram;

/// Body of `POST` and its answer (RFC 9725 §4.2).
pub const SDP_TYPE: &str = "application/sdp";
/// Body of `PATCH` (RFC 8840, RFC 9725 §4.3).
pub const FRAGMENT_TYPE: &str = "application/trickle-ice-sdpfrag";

/// Is this `Content-Type` the media type `wanted`? Parameters and case do not matter (RFC 9110 §8.3.1).
pub fn is_media_type(content_type: &str, wanted: &str) -> bool {
    content_type.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case(wanted)
}

#[cfg(test)]
mod tests {
    #[test]
    fn media_types() {
        assert!(super::is_media_type("Application/SDP; charset=utf-8", super::SDP_TYPE));
        assert!(!super::is_media_type("application/sdpx", super::SDP_TYPE));
    }
}
