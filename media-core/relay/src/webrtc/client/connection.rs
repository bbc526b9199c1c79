//! The WebRTC half of a client: offer, candidates, answer, and the RTCP that comes back about what is sent.
//!
//! Not here: HTTP (`signalling`), packets out (`outbound`) and in (`inbound`).

use super::inbound::{self, Received};
use super::outbound::{Outbound, OutboundTrack, WallClock};
use super::{ClientState, ClientStatus, KINDS, Offered, WhipError, WhipTarget};
use crate::webrtc::addresses::is_link_local;
use crate::webrtc::delivery::{Delivery, is_keyframe_request};
use media::MediaKind;
use proto::rtp::rtcp::NtpTime;
use proto::whip::{FragmentMedia, IceServer, SdpFragment, SessionText};
use rtc::interceptor::{NackResponderBuilder, Slot};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::interceptor_registry::configure_simulcast_extension_headers;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MIME_TYPE_OPUS, MediaEngine};
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::transport::RTCIceServer;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use rtc::statistics::StatsSelector;
use std::any::Any;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::task::JoinSet;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_local::{TrackLocal, TrackLocalEvent};
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState, RTCPeerConnectionIceEvent,
    RTCPeerConnectionState, Registry,
};
use webrtc::rtp_transceiver::RtpSender;

/// Candidates found within this stand in the offer; later ones are trickled. Host candidates are there at once, a STUN server
/// takes a round trip; a visit should not wait for one that is dead.
const GATHER: Duration = Duration::from_millis(400);
/// Interfaces, STUN and TURN servers of one machine.
const MAX_CANDIDATES: usize = 64;

/// Which way media goes.
pub(super) enum Way {
    /// To the server, which may ask for key frames.
    Send { offered: Offered, keyframe: Arc<Notify> },
    /// From the server.
    Receive(mpsc::Sender<Received>),
}

/// One connection.
pub(super) struct Connection {
    peer: Arc<dyn PeerConnection>,
    /// What is sent.
    tracks: Vec<LocalTrack>,
    gathered: Arc<Notify>,
    candidates: Mutex<mpsc::Receiver<String>>,
    pub(super) status: Arc<watch::Sender<ClientStatus>>,
    pub(super) clock: WallClock,
    /// Readers of RTCP, ended with the connection.
    feedback: JoinSet<()>,
}

struct LocalTrack {
    kind: MediaKind,
    ssrc: u32,
    track: Arc<TrackLocalStaticRTP>,
    sender: Arc<dyn RtpSender>,
}

struct Handler {
    status: Arc<watch::Sender<ClientStatus>>,
    gathered: Arc<Notify>,
    candidates: mpsc::Sender<String>,
    received: Option<mpsc::Sender<Received>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        match event.candidate.to_json() {
            Ok(init) if !init.candidate.is_empty() => {
                let line = init.candidate.strip_prefix("candidate:").unwrap_or(&init.candidate);
                if self.candidates.try_send(format!("candidate:{line}")).is_err() {
                    tracing::debug!("more candidates than anybody needs");
                }
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "candidate"),
        }
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.notify_one();
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let state = match state {
            RTCPeerConnectionState::Connected => ClientState::Connected,
            RTCPeerConnectionState::Disconnected => ClientState::Interrupted,
            RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed => ClientState::Failed,
            _ => return,
        };
        self.status.send_modify(|status| status.state = state);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        if let Some(received) = &self.received {
            // Ends with the track, which ends with the connection.
            tokio::spawn(inbound::read(track, received.clone()));
        }
    }
}

impl Connection {
    pub(super) async fn build(
        target: &WhipTarget,
        way: &Way,
        ice_servers: &[IceServer],
        status: watch::Sender<ClientStatus>,
    ) -> Result<Self, WhipError> {
        let (status, gathered) = (Arc::new(status), Arc::new(Notify::new()));
        let (sender, candidates) = mpsc::channel(MAX_CANDIDATES);
        let ((engine, registry), received) = match way {
            Way::Send { offered, .. } => (outbound_media(*offered)?, None),
            Way::Receive(received) => (inbound::media().map_err(failed)?, Some(received.clone())),
        };
        let servers = ice_servers.iter().map(|s| RTCIceServer {
            urls: vec![s.url.clone()],
            username: s.username.clone().unwrap_or_default(),
            credential: s.credential.clone().unwrap_or_default(),
        });
        let handler =
            Handler { status: Arc::clone(&status), gathered: Arc::clone(&gathered), candidates: sender, received };
        let peer = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().with_ice_servers(servers.collect()).build())
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(handler))
            .with_udp_addrs(local_addresses(&target.url))
            .build()
            .await
            .map_err(failed)?;
        let peer: Arc<dyn PeerConnection> = Arc::new(peer);

        let clock = WallClock::now();
        let (mut tracks, mut feedback) = (Vec::new(), JoinSet::new());
        match way {
            Way::Send { offered, keyframe } => {
                for kind in KINDS.into_iter().filter(|k| wanted(*offered, *k)) {
                    let track = LocalTrack::add(&peer, kind).await?;
                    let (events, status) = (Arc::clone(&track.track), Arc::clone(&status));
                    feedback.spawn(read_feedback(events, clock, status, Arc::clone(keyframe)));
                    tracks.push(track);
                }
            }
            Way::Receive(_) => {
                for kind in KINDS {
                    peer.add_transceiver_from_kind(codec_kind(kind), None).await.map_err(failed)?;
                }
            }
        }
        let candidates = Mutex::new(candidates);
        Ok(Self { peer, tracks, gathered, candidates, status, clock, feedback })
    }

    /// The offer, with the candidates found within [`GATHER`].
    pub(super) async fn offer(&self) -> Result<String, WhipError> {
        let offer = self.peer.create_offer(None).await.map_err(failed)?;
        self.peer.set_local_description(offer).await.map_err(failed)?;
        if tokio::time::timeout(GATHER, self.gathered.notified()).await.is_err() {
            tracing::debug!("candidates are still being gathered, they will be trickled");
        }
        let mut candidates = self.candidates.lock().await;
        let local = self.peer.local_description().await;
        let sdp = local.map(|d| d.sdp).ok_or_else(|| failed("no local description"))?;
        // Those are in the offer already.
        while candidates.try_recv().is_ok() {}
        Ok(sdp)
    }

    /// The next candidate that was not in the offer. Never completes once there are no more.
    pub(super) async fn trickle(&self) -> SdpFragment {
        let Some(candidate) = self.candidates.lock().await.recv().await else { return std::future::pending().await };
        let local = self.peer.local_description().await.map(|d| d.sdp).unwrap_or_default();
        let session = SessionText::parse(&local).unwrap_or_default();
        let first = session.media.first();
        SdpFragment {
            ufrag: session.ice_ufrag().map(Into::into),
            password: session.ice_password().map(Into::into),
            session: FragmentMedia::default(),
            media: vec![FragmentMedia {
                kind: first.map_or_else(|| "audio".into(), |m| m.kind.clone()),
                mid: first.and_then(|m| m.mid.clone()),
                candidates: vec![candidate],
                end_of_candidates: false,
            }],
        }
    }

    /// Takes the server's answer.
    pub(super) async fn accept(&self, answer: &str) -> Result<(), WhipError> {
        let answer = RTCSessionDescription::answer(answer.to_owned()).map_err(failed)?;
        self.peer.set_remote_description(answer).await.map_err(failed)
    }

    /// The tracks as they were negotiated.
    pub(super) async fn outbound(&self) -> Result<Outbound, WhipError> {
        let mut out = Vec::new();
        for track in &self.tracks {
            let parameters = track.sender.get_parameters().await.map_err(failed)?;
            let mime = mime(track.kind);
            let mut codecs = parameters.rtp_parameters.codecs.iter();
            let Some(codec) = codecs.find(|c| c.rtp_codec.mime_type.eq_ignore_ascii_case(mime)) else {
                return Err(WhipError::Protocol { detail: format!("the server does not take {mime}") });
            };
            out.push(OutboundTrack::new(track.kind, Arc::clone(&track.track), track.ssrc, codec.payload_type));
        }
        Ok(Outbound::new(out))
    }

    /// As ICE's latest check measured it.
    pub(super) async fn round_trip(&self) -> Option<Duration> {
        let stats = self.peer.get_stats(Instant::now(), StatsSelector::None).await;
        let trips = stats.candidate_pairs().filter(|pair| pair.nominated).map(|pair| pair.current_round_trip_time);
        trips.filter(|seconds| *seconds > 0.0).reduce(f64::min).and_then(|s| Duration::try_from_secs_f64(s).ok())
    }

    pub(super) async fn close(mut self) {
        self.feedback.abort_all();
        if let Err(error) = self.peer.close().await {
            tracing::debug!(%error, "close");
        }
    }
}

/// H.264 and Opus as they are offered to be sent, and what minds their packets.
fn outbound_media(offered: Offered) -> Result<(MediaEngine, Registry), WhipError> {
    let mut engine = MediaEngine::default();
    for kind in KINDS.into_iter().filter(|k| wanted(offered, *k)) {
        engine.register_codec(codec(kind), codec_kind(kind)).map_err(failed)?;
    }
    configure_simulcast_extension_headers(&mut engine).map_err(failed)?;
    let registry = Registry::new()
        .with(Slot::NackResponder, NackResponderBuilder::new().build())
        .with(Slot::from(Delivery::SLOT), Delivery::new(|p| p.is::<ReceiverReport>() || is_keyframe_request(p)));
    Ok((engine, registry))
}

impl LocalTrack {
    async fn add(peer: &Arc<dyn PeerConnection>, kind: MediaKind) -> Result<Self, WhipError> {
        let ssrc: u32 = rand::random();
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
            codec: codec(kind).rtp_codec,
            ..Default::default()
        };
        let name = |what: &str| format!("{what}-{}", uuid::Uuid::new_v4());
        let (id, label) = (name("track"), codec_kind(kind).to_string());
        // One stream for both tracks, so that the receiver keeps them in step (RFC 9725 §4.4.2).
        let media = MediaStreamTrack::new("visavis".into(), id, label, codec_kind(kind), vec![encoding]);
        let track = Arc::new(TrackLocalStaticRTP::new(media));
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: vec!["visavis".into()],
            send_encodings: vec![],
        };
        let local = Arc::clone(&track) as Arc<dyn TrackLocal>;
        let transceiver = peer.add_transceiver_from_track(local, Some(init)).await.map_err(failed)?;
        let sender = transceiver.sender().await.map_err(failed)?;
        Ok(Self { kind, ssrc, track, sender: sender.ok_or_else(|| failed("a track without a sender"))? })
    }
}

/// Reads the RTCP about one track until the connection ends.
async fn read_feedback(
    track: Arc<TrackLocalStaticRTP>,
    clock: WallClock,
    status: Arc<watch::Sender<ClientStatus>>,
    keyframe: Arc<Notify>,
) {
    // A track is bound with the answer; before, there is nothing to poll.
    let mut unbound = tokio::time::interval(Duration::from_millis(100));
    loop {
        let Some(event) = track.poll().await else {
            unbound.tick().await;
            continue;
        };
        let TrackLocalEvent::OnRtcpPacket(packets) = event else { continue };
        for packet in &packets {
            let packet: &dyn Any = packet.as_any();
            if is_keyframe_request(packet) {
                keyframe.notify_one();
            } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
                status.send_modify(|status| take_report(status, report, clock.ntp()));
            }
        }
    }
}

fn take_report(status: &mut ClientStatus, report: &ReceiverReport, now: NtpTime) {
    let mut loss = None::<f32>;
    for block in &report.reports {
        let fraction = f32::from(block.fraction_lost) / 256.0;
        loss = Some(loss.map_or(fraction, |l| l.max(fraction)));
        if block.last_sender_report != 0 {
            // Units of 1/65536 s, wrapping (RFC 3550 §6.4.1); a clock that was set back shows as an absurd value.
            let trip = now.middle().wrapping_sub(block.last_sender_report).wrapping_sub(block.delay);
            if trip < 30 << 16 {
                status.round_trip = Some(Duration::from_micros((u64::from(trip) * 1_000_000) >> 16));
            }
        }
    }
    status.loss = loss.or(status.loss);
}

/// Where media may leave this machine: every interface's address of either family; loopback only towards a server on this
/// machine.
fn local_addresses(url: &str) -> Vec<SocketAddr> {
    let host = reqwest::Url::parse(url).ok().and_then(|u| u.host_str().map(str::to_owned)).unwrap_or_default();
    let host: Option<IpAddr> = match host.trim_matches(['[', ']']) {
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        text => text.parse().ok(),
    };
    let to_self = host.is_some_and(|ip| ip.is_loopback());
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    let usable = |ip: &IpAddr| !is_link_local(*ip) && (to_self || !ip.is_loopback());
    let out: Vec<_> = all.iter().map(if_addrs::Interface::ip).filter(usable).map(|ip| (ip, 0).into()).collect();
    // Without any network the connection fails by itself, with the right words.
    if out.is_empty() { vec![(Ipv4Addr::UNSPECIFIED, 0).into()] } else { out }
}

const fn wanted(offered: Offered, kind: MediaKind) -> bool {
    match kind {
        MediaKind::Video => offered.video,
        MediaKind::Audio => offered.audio,
    }
}

pub(super) const fn codec_kind(kind: MediaKind) -> RtpCodecKind {
    match kind {
        MediaKind::Video => RtpCodecKind::Video,
        MediaKind::Audio => RtpCodecKind::Audio,
    }
}

const fn mime(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Video => MIME_TYPE_H264,
        MediaKind::Audio => MIME_TYPE_OPUS,
    }
}

/// What is offered: constrained baseline in packetization mode 1, which every WebRTC peer takes (RFC 7742 §6.2), and stereo.
pub(super) fn codec(kind: MediaKind) -> RTCRtpCodecParameters {
    let feedback = |typ: &str, parameter: &str| RTCPFeedback { typ: typ.into(), parameter: parameter.into() };
    let (clock_rate, channels, fmtp, rtcp_feedback, payload_type) = match kind {
        MediaKind::Video => (
            90_000,
            0,
            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
            vec![feedback("ccm", "fir"), feedback("nack", ""), feedback("nack", "pli")],
            102,
        ),
        MediaKind::Audio => (48_000, 2, "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1", vec![], 111),
    };
    let rtp_codec =
        RTCRtpCodec { mime_type: mime(kind).into(), clock_rate, channels, sdp_fmtp_line: fmtp.into(), rtcp_feedback };
    RTCRtpCodecParameters { rtp_codec, payload_type }
}

fn failed(error: impl std::fmt::Display) -> WhipError {
    WhipError::Protocol { detail: format!("WebRTC: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::rtcp::reception_report::ReceptionReport;

    #[test]
    fn round_trip_and_loss() {
        let block = |fraction_lost, delay| ReceptionReport {
            fraction_lost,
            last_sender_report: NtpTime::from_unix_micros(1_000_000).middle(),
            delay,
            ..ReceptionReport::default()
        };
        let report = ReceiverReport { reports: vec![block(0, 0), block(64, 65_536 / 2)], ..ReceiverReport::default() };
        let mut status = ClientStatus::default();
        take_report(&mut status, &report, NtpTime::from_unix_micros(1_540_000));
        assert_eq!(status.loss, Some(0.25));
        let trip = status.round_trip.unwrap();
        assert!(trip.abs_diff(Duration::from_millis(40)) < Duration::from_millis(1), "{trip:?}");
    }

    #[test]
    fn loopback_is_bound_for_servers_on_this_machine() {
        let check = |url, loopback: bool| {
            let found = local_addresses(url);
            assert_eq!(found.iter().any(|a| a.ip().is_loopback()), loopback, "{url}: {found:?}");
        };
        check("http://127.0.0.1:8889/a/whip", true);
        check("http://[::1]:8889/a/whip", true);
        check("http://localhost/a/whip", true);
        check("http://192.0.2.7:8889/a/whip", false);
    }
}
