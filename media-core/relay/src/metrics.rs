//! `/metrics` in Prometheus' text format, with MediaMTX's names.
//!
//! Belongs here: the text. Not here: counting (whoever owns the thing counted). Written by hand and not with
//! `prometheus-client`, which adds `_total` to counters: these names must stay what dashboards already ask for.

use crate::rtmp::{ConnState, RtmpConn};
use hub::PathState;
use std::fmt::Write;

/// What is reported at one moment.
pub(crate) struct Report<'a> {
    pub(crate) paths: &'a [PathState],
    pub(crate) rtmp: &'a [RtmpConn],
}

impl Report<'_> {
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
        page.family("rtmp_conns", "gauge", "RTMP connections.", self.rtmp.iter().map(|c| (conn_labels(c), 1)));
        page.family(
            "rtmp_conns_inbound_bytes",
            "counter",
            "Bytes received from an RTMP connection.",
            self.rtmp.iter().map(|c| (conn_labels(c), c.inbound_bytes)),
        );
        page.family(
            "rtmp_conns_outbound_bytes",
            "counter",
            "Bytes sent to an RTMP connection.",
            self.rtmp.iter().map(|c| (conn_labels(c), c.outbound_bytes)),
        );
        page.0
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

fn conn_labels(conn: &RtmpConn) -> Labels {
    vec![
        ("id", conn.id.clone()),
        ("path", conn.path.clone()),
        ("remoteAddr", conn.remote.to_string()),
        ("state", state_name(conn.state).into()),
    ]
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
        let text = Report { paths: &[], rtmp: &[] }.text();
        assert!(text.contains("# TYPE paths gauge\npaths 0\n"), "{text}");
        assert!(text.contains("\nrtmp_conns 0\n"), "{text}");
    }

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(escape("a\"b\\c\n"), "a\\\"b\\\\c\\n");
    }
}
