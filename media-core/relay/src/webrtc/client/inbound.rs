//! What a connection that receives offers to take, and its packets as they come.
//!
//! Not here: what becomes of them (`crate::webrtc::ingest`), the connection (`connection`).

use super::connection::{codec, codec_kind};
use crate::webrtc::peer::ingest_interceptors;
use media::MediaKind;
use proto::rtp::rtcp::NtpTime;
use proto::rtp::{Header, Packet};
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_RTX, MediaEngine};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind};
use rtc::shared::error::Error;
use std::sync::Arc;
use tokio::sync::mpsc;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::Registry;

/// What a server sends.
pub(super) enum Received {
    /// A track has begun.
    Track(MediaKind, Source),
    /// One decrypted packet, retransmissions already in the form of the original.
    Rtp(MediaKind, Packet),
    /// The sender's clocks.
    Report {
        /// Of which track.
        kind: MediaKind,
        /// Wall clock.
        ntp: NtpTime,
        /// The same instant in RTP.
        timestamp: u32,
    },
}

/// Who sends a track.
pub(super) struct Source {
    track: Arc<dyn TrackRemote>,
    ssrc: u32,
}

impl Source {
    /// Asks for a key frame (PLI).
    pub(super) async fn request_keyframe(&self) {
        // Our own source: receivers have none, and the peer does not look at it.
        let request = PictureLossIndication { sender_ssrc: 1, media_ssrc: self.ssrc };
        if let Err(error) = self.track.write_rtcp(vec![Box::new(request)]).await {
            tracing::debug!(%error, "key frame request");
        }
    }
}

/// H.264's profiles by payload type, the next one sends again what was lost (RFC 4588). Servers answer with the one their stream has;
/// every one of them is decoded or passed on here.
const PROFILES: [(u8, &str); 4] = [(102, "42e01f"), (104, "42001f"), (106, "4d001f"), (108, "64001f")];

/// What is offered, and what minds the packets: as towards a publisher.
pub(super) fn media() -> Result<(MediaEngine, Registry), Error> {
    let mut engine = MediaEngine::default();
    for (payload_type, profile) in PROFILES {
        let mut video = codec(MediaKind::Video);
        video.payload_type = payload_type;
        video.rtp_codec.sdp_fmtp_line =
            format!("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}");
        engine.register_codec(video, RtpCodecKind::Video)?;
        let again = RTCRtpCodec {
            mime_type: MIME_TYPE_RTX.into(),
            clock_rate: 90_000,
            channels: 0,
            sdp_fmtp_line: format!("apt={payload_type}"),
            rtcp_feedback: vec![],
        };
        let again = RTCRtpCodecParameters { rtp_codec: again, payload_type: payload_type + 1 };
        engine.register_codec(again, RtpCodecKind::Video)?;
    }
    engine.register_codec(codec(MediaKind::Audio), codec_kind(MediaKind::Audio))?;
    let registry = ingest_interceptors(&mut engine)?;
    Ok((engine, registry))
}

/// Hands on what comes on one track until it ends, or nobody takes it any more.
pub(super) async fn read(track: Arc<dyn TrackRemote>, to: mpsc::Sender<Received>) {
    let kind = match track.kind().await {
        RtpCodecKind::Video => MediaKind::Video,
        RtpCodecKind::Audio => MediaKind::Audio,
        _ => return,
    };
    let mut source = None;
    while let Some(event) = track.poll().await {
        match event {
            TrackRemoteEvent::OnRtpPacket(packet) => {
                if source.replace(packet.header.ssrc) != Some(packet.header.ssrc) {
                    let begun = Source { track: Arc::clone(&track), ssrc: packet.header.ssrc };
                    if to.send(Received::Track(kind, begun)).await.is_err() {
                        return;
                    }
                }
                let header = Header {
                    marker: packet.header.marker,
                    payload_type: packet.header.payload_type,
                    sequence: packet.header.sequence_number,
                    timestamp: packet.header.timestamp,
                    ssrc: packet.header.ssrc,
                };
                if to.send(Received::Rtp(kind, Packet { header, payload: packet.payload })).await.is_err() {
                    return;
                }
            }
            TrackRemoteEvent::OnRtcpPacket(packets) => {
                for packet in &packets {
                    let Some(report) = packet.as_any().downcast_ref::<SenderReport>() else { continue };
                    let (ntp, timestamp) = (NtpTime(report.ntp_time), report.rtp_time);
                    if source == Some(report.ssrc) && to.send(Received::Report { kind, ntp, timestamp }).await.is_err()
                    {
                        return;
                    }
                }
            }
            TrackRemoteEvent::OnEnded => return,
            _ => {}
        }
    }
}
