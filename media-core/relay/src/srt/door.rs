//! Who asks to be let in.
//!
//! Belongs here: handshakes of callers that are not known yet, without keeping anything of them. Not here: connections (`link`), who may
//! do what (`connection`).
//!
//! The crate's own listener remembers every address that ever sent it a datagram. This one answers an induction with a cookie that only
//! we can make, and takes a conclusion that brings it back (draft-sharabayko-srt-01 §4.3.1).

use super::link::{Link, Terms, guarded, parse, serialize};
use bytes::Bytes;
use srt_protocol::connection::{Connection, ConnectionSettings};
use srt_protocol::options::{KeySize, PacketCount};
use srt_protocol::packet::{
    ControlPacket, ControlTypes, CoreRejectReason, HandshakeControlInfo, HandshakeVsInfo, HsV5Info, Packet,
    RejectReason, ShakeType, SocketId, SrtControlPacket, SrtShakeFlags, TimeStamp,
};
use srt_protocol::protocol::handshake::Handshake;
use srt_protocol::protocol::pending_connection::listen::Listen;
use srt_protocol::protocol::pending_connection::{ConnectionReject, ConnectionResult};
use srt_protocol::settings::{KeyMaterialRefreshSettings, KeySettings};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Bytes of a packet's header (§3), and with a handshake that has no extensions (§3.2.1).
const HEADER: usize = 16;
const HANDSHAKE: usize = HEADER + 48;
/// Extensions that the crate reads: handshake, key material, stream id. It panics at others.
const READ: RangeInclusive<u16> = 1..=5;
/// What else there is (§3.2.1, table 5).
const CONGESTION: u16 = 6;
const GROUP: u16 = 8;

/// What a datagram that belongs to no connection comes to.
#[derive(Debug)]
pub(super) enum Knock {
    /// Nothing.
    Silence,
    /// This is sent back.
    Answer(Bytes),
    /// Somebody who really is at that address asks for a connection.
    Asks(Box<Caller>),
}

/// The listener's side of handshakes.
#[derive(Debug, Default)]
pub(super) struct Door {
    secret: RandomState,
}

impl Door {
    /// Takes a datagram that belongs to no connection. `minute` counts up; a cookie is good for one or two.
    pub(super) fn knock(&self, datagram: &[u8], from: SocketAddr, minute: u64) -> Knock {
        let Some((datagram, refusal)) = readable(datagram) else { return Knock::Silence };
        let Some(Packet::Control(ControlPacket { timestamp, control_type: ControlTypes::Handshake(shake), .. })) =
            parse(&datagram)
        else {
            return Knock::Silence;
        };
        let caller = Caller { from, timestamp, shake };
        match caller.shake.shake_type {
            ShakeType::Induction => Knock::Answer(caller.answer(HandshakeControlInfo {
                syn_cookie: self.cookie(from, minute),
                info: HandshakeVsInfo::V5(HsV5Info::default()),
                ..caller.shake.clone()
            })),
            ShakeType::Conclusion => {
                let cookie = caller.shake.syn_cookie;
                if ![minute, minute.wrapping_sub(1)].into_iter().any(|minute| self.cookie(from, minute) == cookie) {
                    return Knock::Silence;
                }
                match refusal.or(caller.flaw()) {
                    Some(reason) => Knock::Answer(caller.reject(reason)),
                    None => Knock::Asks(Box::new(caller)),
                }
            }
            ShakeType::Waveahand | ShakeType::Agreement | ShakeType::Rejection(_) => Knock::Silence,
        }
    }

    fn cookie(&self, from: SocketAddr, minute: u64) -> i32 {
        // The field has 32 bits.
        self.secret.hash_one((from, minute)) as i32
    }
}

/// A handshake with the extensions that are read, and why it is refused where others matter. `None` for what is no handshake.
pub(super) fn readable(datagram: &[u8]) -> Option<(Vec<u8>, Option<RejectReason>)> {
    let mut out = datagram.get(..HANDSHAKE).filter(|fixed| fixed.starts_with(&[0x80, 0]))?.to_vec();
    let (mut rest, mut refusal) = (datagram.get(HANDSHAKE..)?, None);
    while let [kind @ .., _, _] = rest.first_chunk::<4>().map_or(&[][..], |head| head) {
        let kind = u16::from_be_bytes([*kind.first()?, *kind.get(1)?]);
        let words = usize::from(u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]));
        let (extension, next) = rest.split_at_checked(4 + words * 4)?;
        if READ.contains(&kind) && words > 0 {
            out.extend_from_slice(extension);
        } else if kind == GROUP {
            refusal = Some(CoreRejectReason::Group.into());
        } else if kind == CONGESTION && extension.get(4..) != Some(b"evil") {
            // Text is in little-endian words: that was "live".
            refusal = Some(CoreRejectReason::Congestion.into());
        }
        rest = next;
    }
    Some((out, refusal))
}

/// Somebody to be let in or not.
#[derive(Debug)]
pub(super) struct Caller {
    from: SocketAddr,
    timestamp: TimeStamp,
    shake: HandshakeControlInfo,
}

impl Caller {
    /// Its address and its own number of the connection: who it is when it asks again.
    pub(super) fn key(&self) -> (SocketAddr, u32) {
        (self.from, self.shake.socket_id.0)
    }

    pub(super) fn stream_id(&self) -> Option<&str> {
        match &self.shake.info {
            HandshakeVsInfo::V5(info) => info.sid.as_deref(),
            HandshakeVsInfo::V4(_) => None,
        }
    }

    /// What keeps it out, whoever it is.
    fn flaw(&self) -> Option<RejectReason> {
        let HandshakeVsInfo::V5(info) = &self.shake.info else { return Some(CoreRejectReason::Version.into()) };
        match (&info.ext_hs, &info.ext_km) {
            (Some(SrtControlPacket::HandshakeRequest(_)), None | Some(SrtControlPacket::KeyRefreshRequest(_))) => None,
            _ => Some(CoreRejectReason::Rogue.into()),
        }
    }

    /// The refusal to send it.
    pub(super) fn reject(&self, reason: impl Into<RejectReason>) -> Bytes {
        self.answer(HandshakeControlInfo { shake_type: ShakeType::Rejection(reason.into()), ..self.shake.clone() })
    }

    fn answer(&self, shake: HandshakeControlInfo) -> Bytes {
        let control_type = ControlTypes::Handshake(shake);
        serialize(&ControlPacket { timestamp: self.timestamp, dest_sockid: self.shake.socket_id, control_type }.into())
    }

    /// Lets it in as connection `socket`: what to send it, and our end.
    pub(super) fn accept(&self, now: Instant, socket: u32, terms: &Terms) -> Result<(Bytes, Link), RejectReason> {
        guarded(|| self.try_accept(now, socket, terms)).unwrap_or(Err(CoreRejectReason::Rogue.into()))
    }

    fn try_accept(&self, now: Instant, socket: u32, terms: &Terms) -> Result<(Bytes, Link), RejectReason> {
        let rogue = RejectReason::from(CoreRejectReason::Rogue);
        let mut shake = self.shake.clone();
        let HandshakeVsInfo::V5(info) = &mut shake.info else { return Err(rogue) };
        let keys = match (&terms.passphrase, &info.ext_km) {
            (None, None) => None,
            (Some(passphrase), Some(SrtControlPacket::KeyRefreshRequest(material))) => {
                // libsrt leaves the size to the key material where its user named none.
                let count = material.key_flags.bits().count_ones() as usize;
                info.key_size = match material.wrapped_keys.len().saturating_sub(8).checked_div(count) {
                    Some(16) => KeySize::AES128,
                    Some(24) => KeySize::AES192,
                    Some(32) => KeySize::AES256,
                    _ => return Err(rogue),
                };
                Some(KeySettings { key_size: info.key_size, passphrase: passphrase.inner() })
            }
            _ => return Err(CoreRejectReason::Unsecure.into()),
        };
        let mut settings = terms.settings(SocketId(socket));
        (settings.key_settings, settings.key_refresh) = (keys, KeyMaterialRefreshSettings::default());
        // The crate's machine wants to have seen the induction and to have made the cookie.
        let mut listen = Listen::new(settings, false);
        let induction = HandshakeControlInfo {
            shake_type: ShakeType::Induction,
            info: HandshakeVsInfo::V5(HsV5Info::default()),
            ..shake.clone()
        };
        let answer = listen.handle_packet(now, Ok((self.packet(induction), self.from)));
        let ConnectionResult::SendPacket((Packet::Control(answer), _)) = answer else { return Err(rogue) };
        shake.syn_cookie = answer.handshake().ok_or(rogue)?.syn_cookie;
        match listen.handle_packet(now, Ok((self.packet(shake), self.from))) {
            ConnectionResult::Connected(Some((Packet::Control(mut answer), _)), connection) => {
                // Our clock begins now. The crate sends the caller's own time back, and a caller that sets its clock by ours would take
                // everything for later than it is.
                answer.timestamp = TimeStamp::from_micros(0);
                if let ControlTypes::Handshake(shake) = &mut answer.control_type {
                    shake.syn_cookie = self.shake.syn_cookie;
                    shake.max_flow_size = PacketCount(terms.receive.into());
                    say_what_we_do(shake);
                    say_what_is_agreed(shake, &connection.settings);
                }
                let handshake = Handshake::Listener(answer.control_type.clone());
                Ok((serialize(&answer.into()), Link::new(Connection { handshake, ..connection })))
            }
            ConnectionResult::Reject(_, ConnectionReject::Rejecting(reason) | ConnectionReject::Rejected(reason)) => {
                Err(reason)
            }
            _ => Err(rogue),
        }
    }

    fn packet(&self, shake: HandshakeControlInfo) -> Packet {
        let control_type = ControlTypes::Handshake(shake);
        ControlPacket { timestamp: self.timestamp, dest_sockid: SocketId(0), control_type }.into()
    }
}

/// An answer says the latencies that both sides go by (§4.3.1.1.3), the caller takes them as they are; the crate says its own wishes.
fn say_what_is_agreed(shake: &mut HandshakeControlInfo, agreed: &ConnectionSettings) {
    if let HandshakeVsInfo::V5(HsV5Info { ext_hs: Some(SrtControlPacket::HandshakeResponse(said)), .. }) =
        &mut shake.info
    {
        said.send_latency = agreed.send_tsbpd_latency;
        said.recv_latency = agreed.recv_tsbpd_latency;
    }
}

/// The same answer once more, when `elapsed` has passed since the first: its stamp says when it was sent.
pub(super) fn again(answer: &Bytes, elapsed: Duration) -> Bytes {
    let mut answer = answer.to_vec();
    if let Some(stamp) = answer.get_mut(8..12) {
        // Stamps wrap after 71 minutes (§3).
        stamp.copy_from_slice(&(elapsed.as_micros() as u32).to_be_bytes());
    }
    answer.into()
}

/// The crate drops what is too late and repeats its loss reports, and does not say so.
pub(super) fn say_what_we_do(shake: &mut HandshakeControlInfo) {
    if let HandshakeVsInfo::V5(HsV5Info {
        ext_hs: Some(SrtControlPacket::HandshakeRequest(said) | SrtControlPacket::HandshakeResponse(said)),
        ..
    }) = &mut shake.info
    {
        said.flags |= SrtShakeFlags::TLPKTDROP | SrtShakeFlags::NAKREPORT;
    }
}
