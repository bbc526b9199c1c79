//! Values of configuration keys: addresses, spans of time, log levels.

use std::net::{Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// `:PORT` for all interfaces, `HOST:PORT` for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ListenAddress(pub(super) SocketAddr);

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("'{text}' is no address; write ':1935' for all interfaces or '192.168.1.2:1935' for one");
        match text.strip_prefix(':') {
            // Unspecified IPv6 takes IPv4 along; where there is no IPv6, binding falls back.
            Some(port) => {
                let port = port.parse().map_err(|_e| bad())?;
                Ok(Self(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))))
            }
            None => text.parse().map(Self).map_err(|_e| bad()),
        }
    }
}

/// A Go duration, such as `10s`, `1m30s` or `200ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let spaced: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        humantime::parse_duration(&spaced)
            .map(Self)
            .map_err(|_e| format!("'{text}' is no span of time; write '10s' or '200ms'"))
    }
}

/// A size such as `50M`, `512K` or `1048576`; letters count in thousands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ByteSize(pub(super) usize);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("'{text}' is no size; write '50M' or '50000000'");
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text.get(digits.len()..).unwrap_or_default().to_ascii_uppercase().as_str() {
            "" | "B" => 1,
            "K" | "KB" => 1_000,
            "M" | "MB" => 1_000_000,
            "G" | "GB" => 1_000_000_000,
            _ => return Err(bad()),
        };
        let count: usize = digits.parse().map_err(|_e| bad())?;
        count.checked_mul(unit).filter(|&size| size > 0).map(Self).ok_or_else(bad)
    }
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

impl LogLevel {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            other => Err(format!("'{other}' is no log level; write error, warn, info or debug")),
        }
    }
}
