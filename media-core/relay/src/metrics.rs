//! `/metrics` in Prometheus' text format, with MediaMTX's names.
//!
//! Belongs here: the text. Not here: counting (whoever owns the thing counted). Written by hand and not with
//! `prometheus-client`, which adds `_total` to counters: these names must stay what dashboards already ask for.

use crate::hls::MuxerState;
use crate::push::PushState;
use crate::rtmp::{ConnState, RtmpConn};
use crate::rtsp::{RtspConn, RtspLists, RtspSession, SessionStats};
use crate::srt::{LinkStats, SrtConn};
use crate::webrtc::{SessionInfo, SessionRole};
use hub::PathState;
use std::fmt::Write;

/// What is reported at one moment.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) paths: Vec<PathState>,
    pub(crate) rtmp: Vec<RtmpConn>,
    pub(crate) rtmps: Vec<RtmpConn>,
    pub(crate) rtsp: RtspReport,
    pub(crate) rtsps: RtspReport,
    pub(crate) srt: Vec<SrtConn>,
    pub(crate) webrtc: Vec<SessionInfo>,
    pub(crate) hls: Vec<MuxerState>,
    pub(crate) pushes: Vec<PushState>,
}

impl Report {
    /// The whole page.
    pub(crate) fn text(&self) -> String {
        let mut page = Page::default();
        page.family("paths", "gauge", "Paths, by state.", self.paths.iter().map(|p| (path_labels(p), 1)));
        page.family(
            "paths_readers",
            "gauge",
            "Readers of a path, by kind.",
            self.paths.iter().flat_map(readers_by_kind),
        );
        page.family(
            "paths_inbound_bytes",
            "counter",
            "Payload bytes published to a path.",
            self.paths.iter().map(|p| (path_labels(p), p.inbound_bytes)),
        );
        page.family(
            "paths_outbound_bytes",
            "counter",
            "Payload bytes handed to the readers of a path.",
            self.paths.iter().map(|p| (path_labels(p), p.outbound_bytes)),
        );
        page.family(
            "paths_mended_timestamps",
            "counter",
            "Timestamps that were repaired, by what was wrong.",
            self.paths.iter().flat_map(|p| {
                let labels = |why| vec![("name", p.name.as_str().to_owned()), ("why", String::from(why))];
                [(labels("falling"), p.mended.falling), (labels("jump"), p.mended.jumps)]
            }),
        );
        rtmp(&mut page, "rtmp", &self.rtmp);
        rtmp(&mut page, "rtmps", &self.rtmps);
        self.rtsp.families(&mut page, "rtsp");
        self.rtsps.families(&mut page, "rtsps");
        self.srt(&mut page);
        self.webrtc(&mut page);
        self.hls(&mut page);
        self.pushes(&mut page);
        page.0
    }

    fn srt(&self, page: &mut Page) {
        let conns = &self.srt;
        page.family("srt_conns", "gauge", "SRT connections.", conns.iter().map(|c| (srt_labels(c), 1)));
        for (name, kind, help, of) in SRT_CONNS {
            page.family(name, kind, help, conns.iter().map(|c| (srt_labels(c), of(&c.stats))));
        }
    }

    fn webrtc(&self, page: &mut Page) {
        type Value = fn(&SessionInfo) -> u64;
        let families: [(&str, &str, Value); 6] = [
            ("inbound_bytes", "RTP payload bytes received from a WebRTC session.", |s| s.inbound_bytes),
            ("inbound_rtp_packets", "RTP packets received from a WebRTC session.", |s| s.inbound_packets),
            ("inbound_rtp_packets_lost", "RTP packets of a WebRTC session that were given up.", |s| s.lost_packets),
            ("outbound_bytes", "RTP payload bytes sent to a WebRTC session.", |s| s.outbound_bytes),
            ("outbound_rtp_packets", "RTP packets sent to a WebRTC session.", |s| s.outbound_packets),
            ("outbound_frames_discarded", "Access units that a WebRTC reader lost.", |s| s.outbound_discarded),
        ];
        let all = self.webrtc.iter().map(|s| (session_labels(s), 1));
        page.family("webrtc_sessions", "gauge", "WebRTC sessions.", all);
        for (name, help, value) in families {
            let values = self.webrtc.iter().map(|s| (session_labels(s), value(s)));
            page.family(&format!("webrtc_sessions_{name}"), "counter", help, values);
        }
    }

    fn pushes(&self, page: &mut Page) {
        let labels = |push: &PushState| {
            let (path, destination) = (push.path.as_str().to_owned(), push.destination.clone());
            vec![
                ("id", push.id.clone()),
                ("path", path),
                ("destination", destination),
                ("state", push.phase.name().to_owned()),
            ]
        };
        let all = &self.pushes;
        page.family("pushes", "gauge", "Pushes to other servers.", all.iter().map(|p| (labels(p), 1)));
        let sent = all.iter().map(|p| (labels(p), p.outbound_bytes));
        page.family("pushes_outbound_bytes", "counter", "Bytes sent to another server.", sent);
        let failures = all.iter().map(|p| (labels(p), p.failures));
        page.family("pushes_failures", "counter", "Times that a push failed.", failures);
    }

    fn hls(&self, page: &mut Page) {
        let labels = |m: &MuxerState| vec![("name", m.path.as_str().to_owned())];
        page.family("hls_muxers", "gauge", "HLS muxers.", self.hls.iter().map(|m| (labels(m), 1)));
        page.family(
            "hls_muxers_outbound_bytes",
            "counter",
            "Bytes of playlists, segments and parts sent by an HLS muxer.",
            self.hls.iter().map(|m| (labels(m), m.outbound_bytes)),
        );
        page.family(
            "hls_muxers_outbound_frames_discarded",
            "counter",
            "Access units that an HLS muxer lost.",
            self.hls.iter().map(|m| (labels(m), m.outbound_frames_discarded)),
        );
    }
}

/// An RTMP server's connections; its name is `rtmp` or, in TLS, `rtmps`.
fn rtmp(page: &mut Page, name: &str, conns: &[RtmpConn]) {
    let family = format!("{name}_conns");
    page.family(&family, "gauge", "RTMP connections.", conns.iter().map(|c| (conn_labels(c), 1)));
    page.family(
        &format!("{family}_inbound_bytes"),
        "counter",
        "Bytes received from an RTMP connection.",
        conns.iter().map(|c| (conn_labels(c), c.inbound_bytes)),
    );
    page.family(
        &format!("{family}_outbound_bytes"),
        "counter",
        "Bytes sent to an RTMP connection.",
        conns.iter().map(|c| (conn_labels(c), c.outbound_bytes)),
    );
}

/// An RTSP server's part.
#[derive(Debug, Default)]
pub(crate) struct RtspReport {
    conns: Vec<RtspConn>,
    sessions: Vec<RtspSession>,
}

impl RtspReport {
    pub(crate) fn of(lists: Option<&RtspLists>) -> Self {
        lists.map_or_else(Self::default, |lists| Self { conns: lists.conns(), sessions: lists.sessions() })
    }

    /// Under `rtsp` or, in TLS, `rtsps`.
    fn families(&self, page: &mut Page, name: &str) {
        let labels = |conn: &RtspConn| vec![("id", conn.id.clone())];
        let (conns, family) = (&self.conns, format!("{name}_conns"));
        page.family(&family, "gauge", "RTSP connections.", conns.iter().map(|c| (labels(c), 1)));
        page.family(
            &format!("{family}_inbound_bytes"),
            "counter",
            "Bytes received from an RTSP connection.",
            conns.iter().map(|c| (labels(c), c.inbound_bytes)),
        );
        page.family(
            &format!("{family}_outbound_bytes"),
            "counter",
            "Bytes sent to an RTSP connection.",
            conns.iter().map(|c| (labels(c), c.outbound_bytes)),
        );
        let (sessions, family) = (&self.sessions, format!("{name}_sessions"));
        page.family(&family, "gauge", "RTSP sessions.", sessions.iter().map(|s| (rtsp_labels(s), 1)));
        for (what, kind, help, of) in RTSP_SESSIONS {
            let values = sessions.iter().map(|s| (rtsp_labels(s), of(&s.stats)));
            page.family(&format!("{family}_{what}"), kind, help, values);
        }
    }
}

type Labels = Vec<(&'static str, String)>;

fn path_labels(path: &PathState) -> Labels {
    let state = if path.publisher.is_some() { "ready" } else { "notReady" };
    vec![("name", path.name.as_str().to_owned()), ("state", state.into())]
}

fn readers_by_kind(path: &PathState) -> Vec<(Labels, u64)> {
    let mut kinds: Vec<(&'static str, u64)> = Vec::new();
    for reader in &path.readers {
        match kinds.iter_mut().find(|(kind, _)| *kind == reader.info.kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((reader.info.kind, 1)),
        }
    }
    let labels = |kind: &str| {
        let mut labels = path_labels(path);
        labels.push(("readerType", kind.into()));
        labels
    };
    kinds.into_iter().map(|(kind, count)| (labels(kind), count)).collect()
}

type SessionFamily = (&'static str, &'static str, &'static str, fn(&SessionStats) -> u64);

/// What is counted of each RTSP session.
const RTSP_SESSIONS: [SessionFamily; 10] = [
    ("inbound_bytes", "counter", "Bytes of packets received in an RTSP session.", |s| s.inbound_bytes),
    ("inbound_rtp_packets", "counter", "RTP packets received.", |s| s.inbound_packets),
    ("inbound_rtp_packets_lost", "counter", "RTP packets missing.", |s| s.inbound_lost),
    ("inbound_rtp_packets_in_error", "counter", "RTP packets of no use.", |s| s.inbound_in_error),
    ("inbound_rtp_packets_jitter", "gauge", "Jitter in ticks.", |s| u64::from(s.inbound_jitter)),
    ("inbound_rtp_packets_discarded", "counter", "RTP packets not waited for.", |s| s.inbound_discarded),
    ("inbound_rtcp_packets", "counter", "RTCP packets received.", |s| s.inbound_reports),
    ("outbound_bytes", "counter", "Bytes of packets sent in an RTSP session.", |s| s.outbound_bytes),
    ("outbound_rtp_packets", "counter", "RTP packets sent.", |s| s.outbound_packets),
    ("outbound_rtcp_packets", "counter", "RTCP packets sent.", |s| s.outbound_reports),
];

type LinkFamily = (&'static str, &'static str, &'static str, fn(&LinkStats) -> u64);

/// What is counted of each SRT connection.
const SRT_CONNS: [LinkFamily; 18] = [
    ("srt_conns_packets_sent", "counter", "Data packets sent.", |s| s.packets_sent),
    ("srt_conns_packets_received", "counter", "Data packets received.", |s| s.packets_received),
    ("srt_conns_packets_sent_unique", "counter", "Data packets sent once.", |s| s.packets_sent_unique),
    ("srt_conns_packets_received_unique", "counter", "Data packets received once.", |s| s.packets_received_unique),
    ("srt_conns_packets_send_loss", "counter", "Data packets reported missing.", |s| s.packets_send_loss),
    ("srt_conns_packets_retrans", "counter", "Data packets sent again.", |s| s.packets_retransmitted),
    ("srt_conns_packets_received_retrans", "counter", "Received again.", |s| s.packets_received_retransmitted),
    ("srt_conns_packets_sent_ack", "counter", "Acknowledgements sent.", |s| s.packets_sent_ack),
    ("srt_conns_packets_received_ack", "counter", "Acknowledgements received.", |s| s.packets_received_ack),
    ("srt_conns_packets_sent_nak", "counter", "Loss reports sent.", |s| s.packets_sent_nak),
    ("srt_conns_packets_received_nak", "counter", "Loss reports received.", |s| s.packets_received_nak),
    ("srt_conns_packets_send_drop", "counter", "Data packets not sent in time.", |s| s.packets_send_drop),
    ("srt_conns_packets_received_drop", "counter", "Data packets not received in time.", |s| s.packets_received_drop),
    ("srt_conns_packets_received_undecrypt", "counter", "Not decrypted.", |s| s.packets_received_undecrypted),
    ("srt_conns_bytes_sent", "counter", "Bytes of data packets sent.", |s| s.bytes_sent),
    ("srt_conns_bytes_received", "counter", "Bytes of data packets received.", |s| s.bytes_received),
    ("srt_conns_packets_send_buf", "gauge", "Data packets not acknowledged yet.", |s| s.packets_send_buffer),
    ("srt_conns_ms_rtt", "gauge", "Milliseconds to the peer and back.", |s| millis(s.round_trip)),
];

fn millis(span: Option<std::time::Duration>) -> u64 {
    span.map_or(0, |span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

fn srt_labels(conn: &SrtConn) -> Labels {
    vec![
        ("id", conn.id.clone()),
        ("path", conn.path.clone()),
        ("remoteAddr", conn.remote.to_string()),
        ("state", state_name(conn.state).into()),
    ]
}

fn rtsp_labels(session: &RtspSession) -> Labels {
    vec![
        ("id", session.id.clone()),
        ("path", session.path.clone()),
        ("remoteAddr", session.remote.to_string()),
        ("state", state_name(session.state).into()),
    ]
}

fn conn_labels(conn: &RtmpConn) -> Labels {
    vec![
        ("id", conn.id.clone()),
        ("path", conn.path.clone()),
        ("remoteAddr", conn.remote.to_string()),
        ("state", state_name(conn.state).into()),
    ]
}

fn session_labels(session: &SessionInfo) -> Labels {
    vec![
        ("id", session.id.clone()),
        ("path", session.path.as_str().to_owned()),
        ("remoteAddr", session.http_peer.to_string()),
        ("state", session_state_name(session.role).into()),
    ]
}

/// MediaMTX's word for what a session does.
pub(crate) const fn session_state_name(role: SessionRole) -> &'static str {
    match role {
        SessionRole::Publish => "publish",
        SessionRole::Read => "read",
    }
}

/// MediaMTX's word for it.
pub(crate) const fn state_name(state: ConnState) -> &'static str {
    match state {
        ConnState::Idle => "idle",
        ConnState::Read => "read",
        ConnState::Publish => "publish",
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    /// One family; an empty one still prints a zero, as MediaMTX does, so that a dashboard finds its name.
    fn family(&mut self, name: &str, kind: &str, help: &str, values: impl Iterator<Item = (Labels, u64)>) {
        let out = &mut self.0;
        let mut put = |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("writing to a String does not fail");
        put(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        let mut any = false;
        for (labels, value) in values {
            any = true;
            let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escape(v))).collect();
            put(format_args!("{name}{{{}}} {value}\n", labels.join(",")));
        }
        if !any {
            put(format_args!("{name} 0\n"));
        }
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_families_print_zero() {
        let text = Report::default().text();
        assert!(text.contains("# TYPE paths gauge\npaths 0\n"), "{text}");
        for family in [
            "rtmp_conns",
            "rtmps_conns",
            "rtsp_conns",
            "rtsps_sessions",
            "rtsp_sessions_inbound_bytes",
            "srt_conns",
            "srt_conns_ms_rtt",
            "webrtc_sessions",
            "webrtc_sessions_outbound_bytes",
            "hls_muxers",
        ] {
            assert!(text.contains(&format!("\n{family} 0\n")), "{family}: {text}");
        }
    }

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(escape("a\"b\\c\n"), "a\\\"b\\\\c\\n");
    }
}
