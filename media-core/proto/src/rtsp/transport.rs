//! The `Transport` header (RFC 2326 §12.39), read as leniently as clients write it.
//!
//! Belongs here: the alternatives a client offers, and our answer. Not here: which of them is taken (`server`).

use std::fmt;

/// Most alternatives looked at; clients offer three.
const MAX_ALTERNATIVES: usize = 8;

/// One way a client would take or send a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// In the RTSP connection itself.
    Interleaved {
        /// The channels it names for RTP and RTCP.
        channels: Option<(u8, u8)>,
    },
    /// Straight to its own ports.
    Udp {
        /// Where it takes RTP and RTCP, and sends from.
        client: (u16, u16),
    },
    /// A way nobody here goes: multicast, SRTP, another profile, or ports that are none.
    Other,
}

/// The alternatives of a header, in the client's order.
pub fn parse_transports(value: &str) -> Vec<Offered> {
    value.split(',').take(MAX_ALTERNATIVES).map(parse_one).collect()
}

fn parse_one(text: &str) -> Offered {
    let mut fields = text.split(';').map(str::trim);
    let profile = fields.next().unwrap_or_default().to_ascii_uppercase();
    let tcp = match profile.as_str() {
        // Feedback is a promise to understand more RTCP, which we do.
        "RTP/AVP" | "RTP/AVP/UDP" | "RTP/AVPF" | "RTP/AVPF/UDP" => false,
        "RTP/AVP/TCP" | "RTP/AVPF/TCP" => true,
        _ => return Offered::Other,
    };
    let (mut channels, mut client) = (None, None);
    for field in fields {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        if name.eq_ignore_ascii_case("multicast") {
            return Offered::Other;
        } else if name.eq_ignore_ascii_case("interleaved") {
            channels = pair::<u8>(value);
        } else if name.eq_ignore_ascii_case("client_port") {
            client = pair::<u16>(value);
        }
    }
    match (tcp, client) {
        (true, _) => Offered::Interleaved { channels },
        // "Interleaved" without "TCP" means the same (old VLC).
        (false, None) if channels.is_some() => Offered::Interleaved { channels },
        (false, Some(client)) if client.0 > 0 && client.1 > 0 => Offered::Udp { client },
        (false, _) => Offered::Other,
    }
}

/// `A-B`, or `A` where `B` is the next.
fn pair<T: std::str::FromStr + Copy + Into<u32> + TryFrom<u32>>(text: &str) -> Option<(T, T)> {
    let (first, second) = match text.split_once('-') {
        Some((first, second)) => (first.trim().parse::<T>().ok()?, second.trim().parse::<T>().ok()?),
        None => {
            let first = text.trim().parse::<T>().ok()?;
            (first, T::try_from(first.into() + 1).ok()?)
        }
    };
    (first.into() != second.into()).then_some((first, second))
}

/// The way a track goes, as agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In the connection, on these channels for RTP and RTCP.
    Interleaved {
        /// RTP's channel.
        rtp: u8,
        /// RTCP's channel.
        rtcp: u8,
    },
    /// By UDP, to and from the client's address.
    Udp {
        /// The client's port for RTP.
        rtp: u16,
        /// The client's port for RTCP.
        rtcp: u16,
    },
}

/// The header of the answer.
pub(super) struct Agreed {
    pub(super) transport: Transport,
    pub(super) server: (u16, u16),
    pub(super) ssrc: Option<u32>,
    pub(super) record: bool,
}

impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Transport::Interleaved { rtp, rtcp } => write!(f, "RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}")?,
            Transport::Udp { rtp, rtcp } => {
                let (server_rtp, server_rtcp) = self.server;
                write!(f, "RTP/AVP/UDP;unicast;client_port={rtp}-{rtcp};server_port={server_rtp}-{server_rtcp}")?;
            }
        }
        if let Some(ssrc) = self.ssrc {
            write!(f, ";ssrc={ssrc:08X}")?;
        }
        f.write_str(if self.record { ";mode=record" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialects() {
        let check = |text: &str, want: &[Offered]| assert_eq!(parse_transports(text), want, "{text}");
        let tcp = |channels| Offered::Interleaved { channels };
        let udp = |client| Offered::Udp { client };
        check("RTP/AVP/TCP;unicast;interleaved=0-1;mode=record", &[tcp(Some((0, 1)))]);
        check("rtp/avp/tcp; UNICAST; Interleaved=4", &[tcp(Some((4, 5)))]);
        check("RTP/AVP;unicast;client_port=5000-5001", &[udp((5000, 5001))]);
        check(
            "RTP/AVP/UDP;unicast;client_port=5000-5001,RTP/AVP;multicast,RTP/AVP/TCP;unicast;interleaved=0-1",
            &[udp((5000, 5001)), Offered::Other, tcp(Some((0, 1)))],
        );
        check("RTP/AVP;unicast;interleaved=0-1", &[tcp(Some((0, 1)))]);
        check("RTP/AVP/TCP", &[tcp(None)]);
        check("RTP/AVP/TCP;interleaved=255", &[tcp(None)]);
        check("RTP/SAVP;unicast;client_port=5000-5001", &[Offered::Other]);
        check("RTP/AVP;client_port=0-1", &[Offered::Other]);
        check("RTP/AVP;client_port=70000-70001", &[Offered::Other]);
        check("RTP/AVP;client_port=5000-5000", &[Offered::Other]);
        check("", &[Offered::Other]);
    }

    #[test]
    fn answers() {
        let check = |transport, ssrc, record, want: &str| {
            assert_eq!(Agreed { transport, server: (8000, 8001), ssrc, record }.to_string(), want);
        };
        check(
            Transport::Interleaved { rtp: 2, rtcp: 3 },
            Some(0xAB),
            false,
            "RTP/AVP/TCP;unicast;interleaved=2-3;ssrc=000000AB",
        );
        check(
            Transport::Udp { rtp: 5000, rtcp: 5001 },
            None,
            true,
            "RTP/AVP/UDP;unicast;client_port=5000-5001;server_port=8000-8001;mode=record",
        );
    }
}
