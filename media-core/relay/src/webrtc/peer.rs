//! The WebRTC stack in use: `rtc`, without its IO. ICE-lite, DTLS server, every picture that is carried and Opus, either way.
//!
//! Belongs here: everything that touches `rtc`. Not here: sockets (`mux`), media (`ingest`, `egress`).

use super::addresses::candidate_lines;
use super::delivery::{Delivery, is_keyframe_request};
use super::registry::SessionRole;
use super::transport::{Event, IceCredentials, Report, Transport, TransportError};
use bytes::{Bytes, BytesMut};
use media::{Codec, MediaKind};
use proto::rtp::rtcp::NtpTime;
use proto::rtp::{Header, Packet};
use proto::whip::{OfferedCodec, SessionText, Taken, TakenPicture};
use rtc::interceptor::{NackGeneratorBuilder, NackResponderBuilder, ReceiverReportBuilder, Registry, Slot};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::interceptor_registry::{
    configure_rtcp_reports, configure_simulcast_extension_headers, configure_twcc_receiver_only,
};
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_AV1, MIME_TYPE_H264, MIME_TYPE_HEVC, MIME_TYPE_OPUS, MIME_TYPE_PCMA, MIME_TYPE_PCMU, MIME_TYPE_RTX,
    MIME_TYPE_VP8, MIME_TYPE_VP9, MediaEngine,
};
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::event::RTCPeerConnectionEvent;
use rtc::peer_connection::message::{RTCMessage, TaggedRTCMessage};
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::RTCPeerConnectionState;
use rtc::peer_connection::transport::{RTCDtlsRole, RTCIceCandidateInit};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpSenderId, RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use rtc::sansio::Protocol;
use rtc::shared::error::Error as RtcError;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use std::any::Any;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

/// How often missing packets are asked for again: half of what a picture may wait for them on a connection of 100 ms.
const NACK_INTERVAL: Duration = Duration::from_millis(50);

/// Packets kept for sending again, a power of two: a second of 10 Mbit/s. They share the path's payloads.
const SENT_KEPT: u16 = 1024;

/// One peer connection.
pub(crate) struct Peer {
    connection: RTCPeerConnection,
    /// The offer without candidates; an ICE restart is the same offer with other credentials.
    offer: String,
    local: LocalBase,
    payload_types: PayloadTypes,
    video_ssrc: Option<u32>,
    audio_ssrc: Option<u32>,
    /// What is sent to a reader.
    senders: Vec<Sender>,
    events: VecDeque<Event>,
}

/// One track that is sent.
#[derive(Debug, Clone)]
struct Sender {
    kind: MediaKind,
    id: RTCRtpSenderId,
    ssrc: u32,
    payload_types: Vec<(Codec, u8)>,
}

/// What a publisher sends.
#[derive(Debug, Clone, Copy)]
struct PayloadTypes {
    video: Option<u8>,
    audio: Option<u8>,
}

/// The stack wants to know at which of its addresses a datagram came in; a lite agent only answers, so one address per family
/// stands for all.
#[derive(Debug, Clone, Copy)]
struct LocalBase {
    v4: SocketAddr,
    v6: SocketAddr,
}

impl LocalBase {
    const fn new(port: u16) -> Self {
        Self {
            v4: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
            v6: SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port),
        }
    }

    const fn facing(&self, peer: SocketAddr) -> SocketAddr {
        if peer.is_ipv4() { self.v4 } else { self.v6 }
    }
}

impl Peer {
    /// Answers `offer`, of which `taken` was chosen. `addresses` are what the answer offers as candidates; all share one port.
    ///
    /// # Errors
    /// [`TransportError`] where the stack refuses the offer.
    pub(crate) fn answer(
        offer: &str,
        taken: &Taken,
        role: SessionRole,
        addresses: &[SocketAddr],
        now: Instant,
    ) -> Result<(Self, String, IceCredentials), TransportError> {
        // Candidates are learned from the checks that arrive (RFC 8445 §7.3.1.3): a lite agent sends none of its own.
        let offer: String = offer.lines().filter(|l| !is_candidate(l)).flat_map(|l| [l.trim_end(), "\r\n"]).collect();
        let mut connection = build(taken, role, now)?;
        let senders = match role {
            SessionRole::Publish => Vec::new(),
            SessionRole::Read => add_senders(&mut connection, taken)?,
        };
        set_remote(&mut connection, offer.clone(), now)?;
        let local = LocalBase::new(addresses.first().map_or(0, SocketAddr::port));
        for base in [local.v4, local.v6] {
            let line = candidate_lines(&[base]).into_iter().next().unwrap_or_default();
            let candidate = RTCIceCandidateInit { candidate: line, ..RTCIceCandidateInit::default() };
            connection.add_local_candidate(candidate).map_err(TransportError::at("local candidate"))?;
        }
        let answer = set_answer(&mut connection, now)?;
        let own = credentials(&answer)?;
        let sdp = dress_answer(&answer, taken.audio.as_ref(), addresses);
        let payload_types = PayloadTypes {
            video: taken.video.first().map(|c| c.format.payload_type),
            audio: sounds(taken).first().map(|(_, c)| c.payload_type),
        };
        let peer = Self {
            connection,
            offer,
            local,
            payload_types,
            video_ssrc: None,
            audio_ssrc: None,
            senders,
            events: VecDeque::new(),
        };
        Ok((peer, sdp, own))
    }

    fn message(&mut self, message: RTCMessage) {
        match message {
            RTCMessage::RtpPacket(_, packet) => self.rtp(packet),
            RTCMessage::RtcpPacket(_, packets) => packets.iter().for_each(|p| self.rtcp(p.as_any())),
            _ => {}
        }
    }

    fn rtp(&mut self, packet: rtc::rtp::Packet) {
        let payload_type = Some(packet.header.payload_type);
        let kind = if payload_type == self.payload_types.video {
            self.video_ssrc = Some(packet.header.ssrc);
            MediaKind::Video
        } else if payload_type == self.payload_types.audio {
            self.audio_ssrc = Some(packet.header.ssrc);
            MediaKind::Audio
        } else {
            return;
        };
        let header = Header {
            marker: packet.header.marker,
            payload_type: packet.header.payload_type,
            sequence: packet.header.sequence_number,
            timestamp: packet.header.timestamp,
            ssrc: packet.header.ssrc,
        };
        self.events.push_back(Event::Rtp(kind, Packet { header, payload: packet.payload }));
    }

    fn rtcp(&mut self, packet: &dyn Any) {
        if let Some(report) = packet.downcast_ref::<SenderReport>() {
            let kind = match Some(report.ssrc) {
                ssrc if ssrc == self.video_ssrc => MediaKind::Video,
                ssrc if ssrc == self.audio_ssrc => MediaKind::Audio,
                _ => return,
            };
            let (ntp, timestamp) = (NtpTime(report.ntp_time), report.rtp_time);
            self.events.push_back(Event::SenderReport { kind, ntp, timestamp });
        } else if is_keyframe_request(packet) {
            self.events.push_back(Event::KeyframeWanted);
        }
    }
}

impl Transport for Peer {
    fn receive(&mut self, datagram: BytesMut, from: SocketAddr, now: Instant) {
        let transport = TransportContext {
            local_addr: self.local.facing(from),
            peer_addr: from,
            transport_protocol: TransportProtocol::UDP,
            ecn: None,
        };
        if let Err(error) = self.connection.handle_read(TaggedBytesMut { now, transport, message: datagram }) {
            tracing::debug!(%from, %error, "datagram refused");
        }
    }

    fn tick(&mut self, now: Instant) {
        if let Err(error) = self.connection.handle_timeout(now) {
            tracing::debug!(%error, "timer");
        }
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    fn transmit(&mut self) -> Option<(SocketAddr, Bytes)> {
        self.connection.poll_write().map(|t| (t.transport.peer_addr, t.message.freeze()))
    }

    fn event(&mut self) -> Option<Event> {
        while let Some(TaggedRTCMessage { message, .. }) = self.connection.poll_read() {
            self.message(message);
        }
        while let Some(event) = self.connection.poll_event() {
            let RTCPeerConnectionEvent::OnConnectionStateChangeEvent(state) = event else { continue };
            match state {
                RTCPeerConnectionState::Connected => self.events.push_back(Event::Connected),
                RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed => self.events.push_back(Event::Failed),
                _ => {}
            }
        }
        self.events.pop_front()
    }

    fn request_keyframe(&mut self, now: Instant) -> bool {
        let Some(media_ssrc) = self.video_ssrc else { return false };
        let receivers: Vec<_> = self.connection.get_receivers().collect();
        for id in receivers {
            let Some(mut receiver) = self.connection.rtp_receiver(id) else { continue };
            if receiver.track().kind() != RtpCodecKind::Video {
                continue;
            }
            // Our own source: receivers have none, and the peer does not look at it.
            let request = PictureLossIndication { sender_ssrc: 1, media_ssrc };
            if let Err(error) = receiver.write_rtcp(now, vec![Box::new(request)]) {
                tracing::debug!(%error, "key frame request");
            }
        }
        true
    }

    fn send(&mut self, codec: Codec, header: Header, payload: Bytes, now: Instant) {
        let Some(&Sender { id, ssrc, ref payload_types, .. }) = self.senders.iter().find(|s| s.kind == codec.kind())
        else {
            return;
        };
        let Some(&(_, payload_type)) = payload_types.iter().find(|(own, _)| *own == codec) else { return };
        let Some(mut sender) = self.connection.rtp_sender(id) else { return };
        let header = rtc::rtp::Header {
            version: 2,
            marker: header.marker,
            payload_type,
            sequence_number: header.sequence,
            timestamp: header.timestamp,
            ssrc,
            ..rtc::rtp::Header::default()
        };
        if let Err(error) = sender.write_rtp(now, rtc::rtp::Packet { header, payload }) {
            tracing::trace!(%error, "RTP not sent");
        }
    }

    fn report(&mut self, kind: MediaKind, report: Report, now: Instant) {
        let Some(&Sender { id, ssrc, .. }) = self.senders.iter().find(|s| s.kind == kind) else { return };
        let Some(mut sender) = self.connection.rtp_sender(id) else { return };
        let report = SenderReport {
            ssrc,
            ntp_time: report.ntp.0,
            rtp_time: report.timestamp,
            packet_count: report.packets,
            octet_count: report.octets,
            ..SenderReport::default()
        };
        if let Err(error) = sender.write_rtcp(now, vec![Box::new(report)]) {
            tracing::debug!(%error, "sender report not sent");
        }
    }

    fn restart_ice(&mut self, remote: &IceCredentials, now: Instant) -> Result<IceCredentials, TransportError> {
        let dress = |line: &str| match line.split(':').next() {
            Some("a=ice-ufrag") => format!("a=ice-ufrag:{}\r\n", remote.ufrag),
            Some("a=ice-pwd") => format!("a=ice-pwd:{}\r\n", remote.password),
            _ => format!("{line}\r\n"),
        };
        self.offer = self.offer.lines().map(dress).collect();
        set_remote(&mut self.connection, self.offer.clone(), now)?;
        let answer = set_answer(&mut self.connection, now)?;
        let own = credentials(&answer)?;
        for base in [self.local.v4, self.local.v6] {
            let line = candidate_lines(&[base]).into_iter().next().unwrap_or_default();
            let candidate = RTCIceCandidateInit { candidate: line, ..RTCIceCandidateInit::default() };
            if let Err(error) = self.connection.add_local_candidate(candidate) {
                tracing::debug!(%error, "local candidate after a restart");
            }
        }
        Ok(own)
    }

    fn close(&mut self) {
        if let Err(error) = self.connection.close() {
            tracing::debug!(%error, "close");
        }
    }
}

/// One track of each kind that was taken, before the offer is applied, so that its sections find them.
fn add_senders(connection: &mut RTCPeerConnection, taken: &Taken) -> Result<Vec<Sender>, TransportError> {
    let stream = uuid::Uuid::new_v4().to_string();
    let types = taken.video.iter().map(|picture| (picture.codec, picture.format.payload_type)).collect();
    let video = taken.video.first().map(|first| (RtpCodecKind::Video, types, video_codec(first)));
    let sounds = sounds(taken);
    let types = sounds.iter().map(|(codec, format)| (*codec, format.payload_type)).collect();
    let audio = sounds.into_iter().next().map(|first| (RtpCodecKind::Audio, types, audio_codec(&first)));
    let mut senders = Vec::new();
    for (rtc_kind, payload_types, codec) in video.into_iter().chain(audio) {
        let kind = if rtc_kind == RtpCodecKind::Video { MediaKind::Video } else { MediaKind::Audio };
        let ssrc = rand::random();
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..RTCRtpCodingParameters::default() },
            codec: codec.rtp_codec,
            ..RTCRtpEncodingParameters::default()
        };
        let id = uuid::Uuid::new_v4().to_string();
        let track = MediaStreamTrack::new(stream.clone(), id.clone(), id, rtc_kind, vec![encoding]);
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: vec![],
            send_encodings: vec![],
        };
        let transceiver =
            connection.add_transceiver_from_track(track, Some(init)).map_err(TransportError::at("track"))?;
        let sender = connection.rtp_transceiver(transceiver).and_then(|t| t.sender());
        let missing = || TransportError { step: "track", detail: "no sender".into() };
        senders.push(Sender { kind, id: sender.ok_or_else(missing)?, ssrc, payload_types });
    }
    Ok(senders)
}

fn build(taken: &Taken, role: SessionRole, now: Instant) -> Result<RTCPeerConnection, TransportError> {
    let mut engine = MediaEngine::default();
    let register =
        |engine: &mut MediaEngine, codec, kind| engine.register_codec(codec, kind).map_err(TransportError::at("codec"));
    for picture in &taken.video {
        register(&mut engine, video_codec(picture), RtpCodecKind::Video)?;
        if let Some(payload_type) = taken.retransmission {
            let apt = format!("apt={}", picture.format.payload_type);
            register(&mut engine, codec(MIME_TYPE_RTX, 90_000, 0, apt, vec![], payload_type), RtpCodecKind::Video)?;
        }
    }
    for sound in sounds(taken) {
        register(&mut engine, audio_codec(&sound), RtpCodecKind::Audio)?;
    }
    let registry = match role {
        SessionRole::Publish => ingest_interceptors(&mut engine),
        SessionRole::Read => Ok(egress_interceptors()),
    };
    let registry = registry.map_err(TransportError::at("interceptors"))?;
    let settings = SettingEngineBuilder::new().with_lite(true).with_answering_dtls_role(RTCDtlsRole::Server).build();
    RTCPeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::new().build())
        .with_media_engine(engine)
        .with_setting_engine(settings)
        .with_interceptor_registry(registry)
        .build(now)
        .map_err(TransportError::at("peer connection"))
}

fn video_codec(TakenPicture { codec: own, format }: &TakenPicture) -> RTCRtpCodecParameters {
    let mime = match own {
        Codec::H265 => MIME_TYPE_HEVC,
        Codec::Vp8 => MIME_TYPE_VP8,
        Codec::Vp9 => MIME_TYPE_VP9,
        Codec::Av1 => MIME_TYPE_AV1,
        // Nothing else is taken as a picture.
        Codec::H264 | Codec::Mjpeg | Codec::Aac | Codec::Opus | Codec::G711 | Codec::MpegAudio => MIME_TYPE_H264,
    };
    let feedback = |typ: &str, parameter: &str| RTCPFeedback { typ: typ.into(), parameter: parameter.into() };
    let all = vec![feedback("ccm", "fir"), feedback("nack", ""), feedback("nack", "pli")];
    codec(mime, 90_000, 0, format.parameters.clone(), all, format.payload_type)
}

fn codec(
    mime: &str,
    clock_rate: u32,
    channels: u16,
    fmtp: String,
    rtcp_feedback: Vec<RTCPFeedback>,
    payload_type: u8,
) -> RTCRtpCodecParameters {
    let rtp_codec = RTCRtpCodec { mime_type: mime.into(), clock_rate, channels, sdp_fmtp_line: fmtp, rtcp_feedback };
    RTCRtpCodecParameters { rtp_codec, payload_type }
}

/// What was taken of the sound, the best first.
fn sounds(taken: &Taken) -> Vec<(Codec, OfferedCodec)> {
    let opus = taken.audio.iter().map(|format| (Codec::Opus, format.clone()));
    opus.chain(taken.telephone.iter().map(|(_, format)| (Codec::G711, format.clone()))).collect()
}

fn audio_codec((own, format): &(Codec, OfferedCodec)) -> RTCRtpCodecParameters {
    let (mime, clock, channels) = match own {
        Codec::G711 if format.name.eq_ignore_ascii_case("PCMA") => (MIME_TYPE_PCMA, 8000, 0),
        Codec::G711 => (MIME_TYPE_PCMU, 8000, 0),
        _ => (MIME_TYPE_OPUS, 48_000, 2),
    };
    codec(mime, clock, channels, format.parameters.clone(), vec![], format.payload_type)
}

/// Sender reports are our own, because the stack's go by when a packet was sent and not by the path's common timeline.
fn egress_interceptors() -> Registry {
    let wanted = |p: &dyn Any| is_keyframe_request(p);
    Registry::new()
        .with(Slot::NackResponder, NackResponderBuilder::new().with_size(SENT_KEPT).build())
        .with(Slot::ReceiverReport, ReceiverReportBuilder::new().build())
        .with(Slot::from(Delivery::SLOT), Delivery::new(wanted))
}

pub(crate) fn ingest_interceptors(engine: &mut MediaEngine) -> Result<Registry, RtcError> {
    configure_simulcast_extension_headers(engine)?;
    let registry = Registry::new()
        .with(Slot::NackResponder, NackResponderBuilder::new().build())
        .with(Slot::NackGenerator, NackGeneratorBuilder::new().with_interval(NACK_INTERVAL).build());
    let registry = configure_twcc_receiver_only(registry, engine)?;
    let registry = configure_rtcp_reports(registry);
    let wanted = |p: &dyn Any| p.is::<SenderReport>() || is_keyframe_request(p);
    Ok(registry.with(Slot::from(Delivery::SLOT), Delivery::new(wanted)))
}

fn set_remote(connection: &mut RTCPeerConnection, offer: String, now: Instant) -> Result<(), TransportError> {
    let offer = RTCSessionDescription::offer(offer).map_err(TransportError::at("offer"))?;
    connection.set_remote_description(now, offer).map_err(TransportError::at("offer"))
}

fn set_answer(connection: &mut RTCPeerConnection, now: Instant) -> Result<String, TransportError> {
    let answer = connection.create_answer(None).map_err(TransportError::at("answer"))?;
    let sdp = answer.sdp.clone();
    connection.set_local_description(now, answer).map_err(TransportError::at("answer"))?;
    Ok(sdp)
}

/// Our own, which the stack draws anew for every ICE session.
fn credentials(answer: &str) -> Result<IceCredentials, TransportError> {
    let missing = || TransportError { step: "answer", detail: "no ICE credentials".into() };
    let session = SessionText::parse(answer).map_err(TransportError::at("answer"))?;
    let (ufrag, password) = session.ice_ufrag().zip(session.ice_password()).ok_or_else(missing)?;
    Ok(IceCredentials { ufrag: ufrag.into(), password: password.into() })
}

fn is_candidate(line: &str) -> bool {
    line.starts_with("a=candidate:") || line.trim_end() == "a=end-of-candidates"
}

/// The answer with our candidates in its first section (the others are bundled with it), and with stereo asked for.
fn dress_answer(answer: &str, opus: Option<&OfferedCodec>, addresses: &[SocketAddr]) -> String {
    let opus_line = opus.map(|c| format!("a=fmtp:{} ", c.payload_type));
    let opus_map = opus.map(|c| format!("a=rtpmap:{} ", c.payload_type));
    let mut out = String::with_capacity(answer.len() + 512);
    let mut sections = 0;
    for line in answer.lines().map(str::trim_end).filter(|l| !is_candidate(l)) {
        if line.starts_with("m=") {
            sections += 1;
            if sections == 2 {
                push_candidates(&mut out, addresses);
            }
        }
        out.push_str(line);
        // RFC 7587 §7.1: without it browsers mix down to one channel before they encode.
        if let Some(opus) = &opus_line {
            let written = answer.contains(opus);
            if line.starts_with(opus) && !line.contains("stereo=1") {
                out.push_str(";stereo=1;sprop-stereo=1");
            } else if !written && opus_map.as_ref().is_some_and(|map| line.starts_with(map)) {
                out.push_str("\r\n");
                out.push_str(opus);
                out.push_str("stereo=1;sprop-stereo=1");
            }
        }
        out.push_str("\r\n");
    }
    if sections == 1 {
        push_candidates(&mut out, addresses);
    }
    out
}

fn push_candidates(out: &mut String, addresses: &[SocketAddr]) {
    for line in candidate_lines(addresses) {
        out.push_str("a=");
        out.push_str(&line);
        out.push_str("\r\n");
    }
    out.push_str("a=end-of-candidates\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::{ClockRate, CodecParams, Track, TrackId, TrackSet};
    use std::sync::Arc;

    const AUDIO: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\n\
        a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n";
    const H264: &str = "m=video 9 UDP/TLS/RTP/SAVPF 120 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=recvonly\r\na=rtcp-mux\r\n\
        a=rtpmap:120 VP8/90000\r\na=rtpmap:96 H264/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n\
        a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
        a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";
    const VP7: &str = "m=video 9 UDP/TLS/RTP/SAVPF 120\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=recvonly\r\na=rtcp-mux\r\n\
        a=rtpmap:120 VP7/90000\r\n";

    /// What a reader is answered, its lines by section, and the tracks that are sent to it.
    fn read_answer(video: &str, picture: Option<CodecParams>) -> (Vec<Vec<String>>, Vec<MediaKind>) {
        drop(rustls::crypto::ring::default_provider().install_default());
        let fingerprint = vec!["AB"; 32].join(":");
        let offer = format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=ice-ufrag:abcd\r\n\
             a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n{AUDIO}{video}"
        );
        let track = |params| Track { id: TrackId(0), clock: ClockRate::VIDEO, params: Arc::new(params) };
        let tracks: Option<TrackSet> = picture.map(|params| [track(params)].into_iter().collect());
        let taken = proto::whip::take_read_offer(&SessionText::parse(&offer).unwrap(), tracks.as_ref()).unwrap();
        let addresses = ["192.0.2.1:8189".parse().unwrap()];
        let (peer, sdp, _) = Peer::answer(&offer, &taken, SessionRole::Read, &addresses, Instant::now()).unwrap();
        let mut sections: Vec<Vec<String>> = vec![vec![]];
        for line in sdp.lines() {
            if line.starts_with("m=") {
                sections.push(vec![]);
            }
            sections.last_mut().unwrap().push(line.into());
        }
        (sections, peer.senders.iter().map(|s| s.kind).collect())
    }

    #[test]
    fn a_reader_is_answered_in_its_own_payload_types() {
        let h264 = (**crate::webrtc::egress::tests::VIDEO).clone();
        let (sections, senders) = read_answer(H264, Some(h264));
        assert_eq!(senders, [MediaKind::Video, MediaKind::Audio]);
        let has = |section: usize, line: &str| sections[section].iter().any(|l| l.starts_with(line));
        assert!(has(1, "m=audio 9 UDP/TLS/RTP/SAVPF 111") && has(1, "a=sendonly"), "{sections:#?}");
        assert!(has(2, "m=video 9 UDP/TLS/RTP/SAVPF 96 97") && has(2, "a=sendonly"), "{sections:#?}");
        assert!(
            has(2, "a=ssrc-group:FID") && has(2, "a=rtcp-fb:96 nack"),
            "it can ask for packets again: {sections:#?}"
        );
        assert!(has(1, "a=candidate:") && !has(2, "a=candidate:"), "{sections:#?}");
    }

    #[test]
    fn a_reader_that_comes_first_is_answered_in_every_codec() {
        let (sections, senders) = read_answer(H264, None);
        assert_eq!(senders, [MediaKind::Video, MediaKind::Audio]);
        let has = |line: &str| sections[2].iter().any(|l| l.starts_with(line));
        assert!(has("m=video 9 UDP/TLS/RTP/SAVPF 120 96"), "{sections:#?}");
        assert!(!has("a=ssrc-group:FID") && has("a=rtcp-fb:96 nack"), "{sections:#?}");
    }

    #[test]
    fn a_reader_without_any_picture_is_answered_with_sound() {
        let (sections, senders) = read_answer(VP7, None);
        assert_eq!(senders, [MediaKind::Audio]);
        assert!(sections[1].contains(&"a=sendonly".into()), "{sections:#?}");
        assert!(
            sections[2][0].starts_with("m=video 0 ") || sections[2].contains(&"a=inactive".into()),
            "{sections:#?}"
        );
    }

    #[test]
    fn candidates_stand_in_the_first_section() {
        let answer = "v=0\r\nm=audio 9 X 111\r\na=fmtp:111 minptime=10\r\na=candidate:9 1 udp 1 10.0.0.9 9 typ host\r\n\
                      m=video 9 X 96\r\n";
        let opus = OfferedCodec {
            payload_type: 111,
            name: "opus".into(),
            clock: 48_000,
            channels: 2,
            parameters: "minptime=10".into(),
        };
        let want = "v=0\r\nm=audio 9 X 111\r\na=fmtp:111 minptime=10;stereo=1;sprop-stereo=1\r\n\
                    a=candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host\r\na=end-of-candidates\r\nm=video 9 X 96\r\n";
        assert_eq!(dress_answer(answer, Some(&opus), &["192.0.2.1:8189".parse().unwrap()]), want);
    }
}
