//! WebRTC, either way: a reader by WHEP and a publisher by WHIP, each with its socket.
//!
//! Belongs here: everything that touches `rtc`, the crate the relay's own side is made with. Not here: that browsers and others can do so
//! (`tests/tests/whep.rs`, `tests/tests/whip.rs`). What a reader decrypts is its own CPU time, not the relay's.

use crate::common::clip::Clip;
use crate::common::crowd::Member;
use crate::common::player::Arrival;
use crate::common::publisher::{Outlet, now};
use crate::rtp::Track;
use crate::rtsp::begin;
use crate::wire::Wire;
use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use device::MonoClock;
use media::{AccessUnit, ClockRate, MediaKind, OpusParams};
use proto::rtp::rtcp::Rtcp;
use proto::rtp::{Header, Packet};
use proto::rtsp::{Egress, Format, Presentation, Setup, Transport, payloads};
use rtc::interceptor::{NackGeneratorBuilder, NackResponderBuilder, ReceiverReportBuilder, Registry, Slot};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MIME_TYPE_OPUS, MediaEngine};
use rtc::peer_connection::event::RTCPeerConnectionEvent;
use rtc::peer_connection::message::{RTCMessage, TaggedRTCMessage};
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::{RTCIceConnectionState, RTCPeerConnectionState};
use rtc::peer_connection::transport::RTCIceCandidateInit;
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpSenderId, RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// Of the picture and of the sound, in our offers.
const PAYLOAD_TYPES: [u8; 2] = [102, 111];
/// Of what is published.
const SOURCES: [u32; 2] = [7001, 7002];
/// ICE and DTLS take milliseconds on one machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often one that hears nothing looks up.
const LOOK: Duration = Duration::from_millis(100);
/// The agent in use waits so long between two checks (RFC 8445 §14.2 asks for 50 ms, browsers are as quick as the answers), and would need two
/// before it chooses.
const CHECK: Duration = Duration::from_millis(200);
/// A check on one machine is answered by then.
const ANSWER: Duration = Duration::from_millis(5);
/// How often a publisher says what wall clock its tracks stand for.
const REPORT: Duration = Duration::from_secs(1);
/// What a reader's socket may hold: the GOP that a join brings at once.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A connection and its socket.
struct Peer {
    connection: RTCPeerConnection,
    socket: UdpSocket,
    local: SocketAddr,
    /// How far the time it is told is ahead of the clock.
    ahead: Duration,
    /// ICE has chosen.
    chosen: bool,
    connected: bool,
}

impl Peer {
    /// Offers at `path` of `host` (`HOST:PORT`), and takes the answer. What is to be sent was added by `tracks`.
    fn offer<T>(host: &str, path: &str, tracks: impl FnOnce(&mut RTCPeerConnection) -> Result<T>) -> Result<(Self, T)> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
        let local = socket.local_addr()?;
        let mut engine = MediaEngine::default();
        for kind in [RtpCodecKind::Video, RtpCodecKind::Audio] {
            engine.register_codec(codec(kind), kind)?;
        }
        let registry = Registry::new()
            .with(Slot::NackResponder, NackResponderBuilder::new().build())
            .with(Slot::NackGenerator, NackGeneratorBuilder::new().build())
            .with(Slot::ReceiverReport, ReceiverReportBuilder::new().build());
        let mut connection = RTCPeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .build(Instant::now())?;
        let tracks = tracks(&mut connection)?;
        let candidate = format!("candidate:1 1 udp 2130706431 {} {} typ host", local.ip(), local.port());
        connection.add_local_candidate(RTCIceCandidateInit { candidate, ..RTCIceCandidateInit::default() })?;
        let offer = connection.create_offer(None)?;
        let sdp = offer.sdp.clone();
        connection.set_local_description(Instant::now(), offer)?;
        let answer = RTCSessionDescription::answer(post(host, path, &sdp)?)?;
        connection.set_remote_description(Instant::now(), answer)?;
        let mut peer = Self { connection, socket, local, ahead: Duration::ZERO, chosen: false, connected: false };
        let until = Instant::now() + PATIENCE;
        while !peer.connected {
            ensure!(Instant::now() < until, "the connection does not come about");
            if !peer.chosen {
                // It need not wait for the time of its next check.
                peer.ahead += CHECK;
                peer.settle(|_| {})?;
            }
            peer.work(if peer.chosen { LOOK } else { ANSWER }, |_| {})?;
        }
        Ok((peer, tracks))
    }

    /// Sends what waits; takes what comes within `time`, one datagram at most; hands on its packets.
    fn work(&mut self, time: Duration, packet: impl FnMut(rtc::rtp::Packet)) -> Result<()> {
        while let Some((to, datagram)) = self.outgoing() {
            self.socket.send_to(&datagram, to)?;
        }
        let mut buffer = [0; 2048];
        let wait = self.deadline().saturating_duration_since(Instant::now()).min(time);
        // Zero would be for ever.
        self.socket.set_read_timeout(Some(wait.max(Duration::from_micros(1))))?;
        match self.socket.recv_from(&mut buffer) {
            Ok((count, from)) => self.incoming(&buffer[..count], from)?,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(e) => return Err(e.into()),
        }
        self.settle(packet)
    }

    fn outgoing(&mut self) -> Option<(SocketAddr, BytesMut)> {
        self.connection.poll_write().map(|tagged| (tagged.transport.peer_addr, tagged.message))
    }

    /// The time as it is told.
    fn now(&self) -> Instant {
        Instant::now() + self.ahead
    }

    /// When it wants to be called, by the clock.
    fn deadline(&mut self) -> Instant {
        let told = self.connection.poll_timeout();
        told.and_then(|told| told.checked_sub(self.ahead)).unwrap_or_else(|| Instant::now() + LOOK)
    }

    fn incoming(&mut self, datagram: &[u8], from: SocketAddr) -> Result<()> {
        let transport = TransportContext {
            local_addr: self.local,
            peer_addr: from,
            transport_protocol: TransportProtocol::UDP,
            ecn: None,
        };
        let tagged = TaggedBytesMut { now: self.now(), transport, message: BytesMut::from(datagram) };
        Ok(self.connection.handle_read(tagged)?)
    }

    fn settle(&mut self, mut packet: impl FnMut(rtc::rtp::Packet)) -> Result<()> {
        if self.deadline() <= Instant::now() {
            let now = self.now();
            self.connection.handle_timeout(now)?;
        }
        while let Some(event) = self.connection.poll_event() {
            match event {
                RTCPeerConnectionEvent::OnIceConnectionStateChangeEvent(state) => {
                    self.chosen |= matches!(state, RTCIceConnectionState::Connected | RTCIceConnectionState::Completed);
                }
                RTCPeerConnectionEvent::OnConnectionStateChangeEvent(state) => {
                    self.connected |= state == RTCPeerConnectionState::Connected;
                    let over = matches!(state, RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed);
                    ensure!(!over, "the connection is over");
                }
                _ => {}
            }
        }
        while let Some(TaggedRTCMessage { message, .. }) = self.connection.poll_read() {
            if let RTCMessage::RtpPacket(_, read) = message {
                packet(read);
            }
        }
        Ok(())
    }
}

/// The answer to an offer.
fn post(host: &str, path: &str, sdp: &str) -> Result<String> {
    let mut stream = TcpStream::connect(host).with_context(|| host.to_owned())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of headers")?;
    ensure!(head.starts_with("HTTP/1.1 201 "), "POST {path}: {head} {body}");
    Ok(body.to_owned())
}

fn codec(kind: RtpCodecKind) -> RTCRtpCodecParameters {
    let feedback = |typ: &str, parameter: &str| RTCPFeedback { typ: typ.into(), parameter: parameter.into() };
    let [video, audio] = PAYLOAD_TYPES;
    let (mime, clock_rate, channels, fmtp, rtcp_feedback, payload_type) = match kind {
        RtpCodecKind::Audio => (MIME_TYPE_OPUS, 48_000, 2, "minptime=10;useinbandfec=1;stereo=1", vec![], audio),
        _ => (
            MIME_TYPE_H264,
            90_000,
            0,
            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
            vec![feedback("nack", ""), feedback("nack", "pli")],
            video,
        ),
    };
    let rtp_codec =
        RTCRtpCodec { mime_type: mime.into(), clock_rate, channels, sdp_fmtp_line: fmtp.into(), rtcp_feedback };
    RTCRtpCodecParameters { rtp_codec, payload_type }
}

/// A reader that plays.
pub(crate) struct Reader {
    peer: Peer,
    tracks: Vec<Track>,
}

impl Reader {
    /// Plays from `host` (`HOST:PORT`) the stream whose WHEP endpoint is `path`.
    ///
    /// # Errors
    /// Where the server refuses, or the connection does not come about.
    pub(crate) fn play(host: &str, path: &str) -> Result<Self> {
        let (peer, ()) = Peer::offer(host, path, |connection| {
            connection.add_transceiver_from_kind(RtpCodecKind::Video, None)?;
            connection.add_transceiver_from_kind(RtpCodecKind::Audio, None)?;
            Ok(())
        })?;
        let [video, audio] = PAYLOAD_TYPES;
        let tracks = [
            Track::new(video, &Format::H264(None), ClockRate::VIDEO),
            Track::new(audio, &Format::Opus(OpusParams::WEBRTC), ClockRate::AUDIO_48K),
        ];
        Ok(Self { peer, tracks: tracks.into_iter().flatten().collect() })
    }

    /// Reads, decrypts and throws away for ever.
    pub(crate) async fn count(self, mut member: Member) -> Result<()> {
        let mut peer = self.peer;
        peer.socket.set_nonblocking(true)?;
        let socket = tokio::net::UdpSocket::from_std(peer.socket.try_clone()?)?;
        let mut buffer = [0; 2048];
        loop {
            while let Some((to, datagram)) = peer.outgoing() {
                socket.send_to(&datagram, to).await?;
            }
            let deadline = peer.deadline();
            if let Ok(read) = tokio::time::timeout_at(deadline.into(), socket.recv_from(&mut buffer)).await {
                let (count, from) = read?;
                peer.incoming(&buffer[..count], from)?;
            }
            peer.settle(|packet| member.got(packet.payload.len()))?;
        }
    }
}

impl Wire for Reader {
    fn receive(&mut self) -> Result<Vec<Arrival>> {
        let (mut packets, mut arrivals) = (Vec::new(), Vec::new());
        self.peer.work(LOOK, |packet| packets.push(packet))?;
        let at = now();
        for rtc::rtp::Packet { header, payload } in packets {
            let Some(track) = self.tracks.iter_mut().find(|t| t.payload_type == header.payload_type) else { continue };
            let header = Header {
                marker: header.marker,
                payload_type: header.payload_type,
                sequence: header.sequence_number,
                timestamp: header.timestamp,
                ssrc: header.ssrc,
            };
            track.push(&Packet { header, payload }, at, |arrival| arrivals.push(arrival))?;
        }
        Ok(arrivals)
    }
}

/// A publisher that was let in.
pub(crate) struct Push {
    peer: Peer,
    /// In the order of the presentation.
    senders: Vec<RTCRtpSenderId>,
    presentation: Presentation,
    egress: Egress,
    begun: bool,
    reported: Option<Instant>,
}

impl Push {
    /// Publishes `clip` to `host` (`HOST:PORT`) by the WHIP endpoint `path`.
    ///
    /// # Errors
    /// Where the server refuses, or the connection does not come about.
    pub(crate) fn open(host: &str, path: &str, clip: &Clip) -> Result<Self> {
        let presentation = Presentation::of(&clip.tracks);
        let kinds: Vec<MediaKind> = presentation.media.iter().filter_map(|media| media.kind).collect();
        let (peer, senders) =
            Peer::offer(host, path, |connection| kinds.iter().map(|kind| sender(connection, *kind)).collect())?;
        let setups: Vec<Setup> = kinds
            .iter()
            .enumerate()
            .map(|(media, kind)| Setup { media, transport: Transport::Udp { rtp: 0, rtcp: 0 }, ssrc: source(*kind) })
            .collect();
        let mut egress = Egress::new(&presentation, &setups, 7);
        egress.tracks(&clip.tracks);
        Ok(Self { peer, senders, presentation, egress, begun: false, reported: None })
    }

    /// The packet with the payload type that was agreed on.
    fn rtp(&self, media: usize, header: [u8; Header::LEN], payload: Bytes) -> Result<rtc::rtp::Packet> {
        let Header { marker, sequence, timestamp, ssrc, .. } =
            Packet::parse(&Bytes::copy_from_slice(&header)).context("our own header")?.header;
        let kind = self.presentation.media.get(media).and_then(|media| media.kind);
        let payload_type = PAYLOAD_TYPES[usize::from(kind == Some(MediaKind::Audio))];
        let header = rtc::rtp::Header {
            version: 2,
            marker,
            payload_type,
            sequence_number: sequence,
            timestamp,
            ssrc,
            ..rtc::rtp::Header::default()
        };
        Ok(rtc::rtp::Packet { header, payload })
    }

    fn report(&mut self) -> Result<()> {
        let now = self.peer.now();
        for (media, compound) in self.egress.reports(MonoClock::now()) {
            for packet in Rtcp::parse_compound(&compound)? {
                let Rtcp::SenderReport { ssrc, ntp, timestamp, packets, octets, .. } = packet else { continue };
                let report = SenderReport {
                    ssrc,
                    ntp_time: ntp.0,
                    rtp_time: timestamp,
                    packet_count: packets,
                    octet_count: octets,
                    ..SenderReport::default()
                };
                if let Some(mut sender) = self.senders.get(media).and_then(|id| self.peer.connection.rtp_sender(*id)) {
                    sender.write_rtcp(now, vec![Box::new(report)])?;
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        while let Some((to, datagram)) = self.peer.outgoing() {
            self.peer.socket.send_to(&datagram, to)?;
        }
        Ok(())
    }
}

impl Outlet for Push {
    fn send(&mut self, unit: &AccessUnit) -> Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            begin(&mut self.egress, unit)?;
        }
        let (mut outgoing, now) = (Vec::new(), self.peer.now());
        self.egress.packets(unit, &payloads(unit), |packet| outgoing.push(packet));
        for packet in outgoing {
            let rtp = self.rtp(packet.media, packet.header, packet.payload)?;
            if let Some(mut sender) = self.senders.get(packet.media).and_then(|id| self.peer.connection.rtp_sender(*id))
            {
                sender.write_rtp(now, rtp)?;
            }
        }
        if self.reported.is_none_or(|at| at.elapsed() >= REPORT) {
            self.reported = Some(Instant::now());
            self.report()?;
        }
        self.flush()
    }

    fn wait(&mut self, until: Instant) -> Result<()> {
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.peer.work(left, |_| {})?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.peer.connection.close()?;
        self.flush()
    }
}

const fn source(kind: MediaKind) -> u32 {
    match kind {
        MediaKind::Video => SOURCES[0],
        MediaKind::Audio => SOURCES[1],
    }
}

fn sender(connection: &mut RTCPeerConnection, kind: MediaKind) -> Result<RTCRtpSenderId> {
    let rtc_kind = match kind {
        MediaKind::Video => RtpCodecKind::Video,
        MediaKind::Audio => RtpCodecKind::Audio,
    };
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(source(kind)), ..RTCRtpCodingParameters::default() },
        codec: codec(rtc_kind).rtp_codec,
        ..RTCRtpEncodingParameters::default()
    };
    let track =
        MediaStreamTrack::new("bench".into(), format!("{kind:?}"), format!("{kind:?}"), rtc_kind, vec![encoding]);
    let init = RTCRtpTransceiverInit {
        direction: RTCRtpTransceiverDirection::Sendonly,
        streams: vec![],
        send_encodings: vec![],
    };
    let transceiver = connection.add_transceiver_from_track(track, Some(init))?;
    connection.rtp_transceiver(transceiver).and_then(|t| t.sender()).context("a track without a sender")
}
