//! The keys of HLS.
//!
//! Not here: what they do (`crate::hls`), how values are written (`values`).

use super::values::{ByteSize, Span};
use super::yaml::{Section, Value};
use super::{ConfigError, Note, server};
use crate::hls::HlsConfig;
use axum::http::HeaderValue;
use proto::hls::Variant;
use std::net::SocketAddr;
use std::time::Duration;

/// Segments in memory are bounded by their size; files would be written to no one's use.
const DIRECTORY: &str = "segments are kept in memory; record the path where a file is wanted";
const PROXIES: &str = "credentials go by what is shown, not by addresses, and nothing here is bound to one";

pub(super) fn read(
    top: &mut Section<'_>,
    notes: &mut Vec<Note>,
) -> Result<Option<(SocketAddr, HlsConfig)>, ConfigError> {
    let http = server(top, "hls", "hlsAddress", ":8888", true, notes)?;
    let mut config = HlsConfig::default();
    if let Some(value) = top.done("hlsVariant", notes) {
        config.variant = variant(value)?;
    }
    if let Some(value) = top.done("hlsAlwaysRemux", notes) {
        config.always_remux = value.flag()?;
    }
    if let Some(value) = top.done("hlsSegmentCount", notes) {
        config.segment_count = value.parse()?;
        // RFC 8216 §6.2.2: what is listed lasts three target durations at least.
        if !(3..=1000).contains(&config.segment_count) {
            return Err(ConfigError::new(value.line, "hlsSegmentCount is 3 to 1000; write 7".into()));
        }
    }
    if let Some(value) = top.done("hlsSegmentDuration", notes) {
        config.segment_duration = span(value, Duration::from_millis(500), Duration::from_secs(60))?;
    }
    if let Some(value) = top.done("hlsPartDuration", notes) {
        config.part_duration = span(value, Duration::from_millis(50), Duration::from_secs(2))?;
    }
    if let Some(value) = top.done("hlsSegmentMaxSize", notes) {
        config.segment_max_size = value.parse::<ByteSize>()?.0;
    }
    if let Some(value) = top.done("hlsMuxerCloseAfter", notes) {
        config.close_after = span(value, Duration::from_secs(1), Duration::from_secs(86_400))?;
    }
    let mut origins = |key| -> Result<(), ConfigError> {
        if let Some(value) = top.done(key, notes) {
            let header = |origin: String| {
                HeaderValue::try_from(&origin).map_err(|_e| {
                    ConfigError::new(value.line, format!("'{origin}' is no origin; write 'https://a.example' or '*'"))
                })
            };
            config.allow_origins = value.list()?.into_iter().map(header).collect::<Result<_, _>>()?;
        }
        Ok(())
    };
    // The old name, and the new one.
    origins("hlsAllowOrigin")?;
    origins("hlsAllowOrigins")?;
    top.ignore("hlsDirectory", DIRECTORY, notes);
    top.ignore("hlsTrustedProxies", PROXIES, notes);
    Ok(http.map(|http| (http, config)))
}

fn variant(value: Value<'_>) -> Result<Variant, ConfigError> {
    match value.text()?.as_str() {
        "lowLatency" => Ok(Variant::LowLatency),
        "fmp4" => Ok(Variant::Fmp4),
        "mpegts" => Ok(Variant::MpegTs),
        other => {
            Err(ConfigError::new(value.line, format!("'{other}' is no hlsVariant; write lowLatency, fmp4 or mpegts")))
        }
    }
}

fn span(value: Value<'_>, least: Duration, most: Duration) -> Result<Duration, ConfigError> {
    let span = value.parse::<Span>()?.0;
    if (least..=most).contains(&span) {
        return Ok(span);
    }
    let (least, most) = (humantime::format_duration(least), humantime::format_duration(most));
    Err(ConfigError::new(value.line, format!("a span from {least} to {most} is expected here")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn keys() {
        let text = "hlsVariant: mpegts\nhlsSegmentCount: 5\nhlsSegmentDuration: 2s\nhlsPartDuration: 100ms\n\
                    hlsSegmentMaxSize: 10M\nhlsMuxerCloseAfter: 30s\nhlsAlwaysRemux: yes\n\
                    hlsAllowOrigins: ['https://a.example']\nhlsDirectory: ''\nhlsTrustedProxies: []\n";
        let (_, config) = Config::parse(text).unwrap().relay.hls.unwrap();
        assert_eq!((config.variant, config.segment_count, config.always_remux), (Variant::MpegTs, 5, true));
        assert_eq!((config.segment_duration.as_secs(), config.part_duration.as_millis()), (2, 100));
        assert_eq!((config.segment_max_size, config.close_after.as_secs()), (10_000_000, 30));
        assert_eq!(config.allow_origins, ["https://a.example"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |text: &str, want: &str| {
            let error = Config::parse(text).map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with("line 1: ") && error.contains(want), "{text}: {error}");
        };
        check("hlsVariant: dash", "write lowLatency, fmp4 or mpegts");
        check("hlsSegmentCount: 1", "3 to 1000");
        check("hlsSegmentDuration: 1ms", "from 500ms to 1m");
        check("hlsSegmentMaxSize: big", "50M");
    }
}
