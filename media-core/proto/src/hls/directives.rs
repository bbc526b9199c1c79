//! What a playlist's URL asks for: delivery directives (RFC 8216bis §6.2.5), the variant, and credentials to carry on.

use super::names::Packaging;
use thiserror::Error;

/// Why a query cannot be answered; HTTP says `400 Bad Request`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DirectiveError {
    /// A number that is none.
    #[error("{0} is not a number")]
    Number(&'static str),
    /// A part without its segment (§6.2.5.2).
    #[error("_HLS_part without _HLS_msn")]
    PartAlone,
    /// `_HLS_skip` with a value other than `YES` and `v2`.
    #[error("_HLS_skip is YES or v2")]
    Skip,
    /// A variant that is not served.
    #[error("variant is ll, fmp4 or ts")]
    Variant,
    /// Credentials too long to be repeated in every line of a playlist.
    #[error("credentials in the query are longer than {} bytes", Carried::MAX)]
    TooLong,
}

/// A reload that is held until the playlist has this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Media sequence number.
    pub msn: u64,
    /// Index of the part within that segment; `None` asks for the whole segment.
    pub part: Option<u64>,
}

/// May older segments be left out?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Skip {
    /// The whole playlist.
    #[default]
    No,
    /// A delta update. `v2` also allows leaving out date ranges, of which there are none.
    Yes,
}

/// Which kind of playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Variant {
    /// Low latency: segments and parts.
    #[default]
    LowLatency,
    /// Whole segments alone.
    Fmp4,
    /// Whole segments of MPEG-TS, which the oldest players understand.
    MpegTs,
}

impl Variant {
    /// As a URL names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LowLatency => "ll",
            Self::Fmp4 => "fmp4",
            Self::MpegTs => "ts",
        }
    }

    /// What its segments are: two of the three share theirs.
    pub const fn packaging(self) -> Packaging {
        match self {
            Self::LowLatency | Self::Fmp4 => Packaging::Fmp4,
            Self::MpegTs => Packaging::MpegTs,
        }
    }
}

/// Credentials of a query, ready to be put behind every URI of a playlist.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Carried(String);

impl Carried {
    /// Longest query that is carried on. A JWT with a handful of claims has under 2 kB, and a playlist repeats it 60 times.
    pub const MAX: usize = 4096;
    const KEYS: [&'static str; 4] = ["token", "jwt", "user", "pass"];

    /// The query without its question mark; empty if there are no credentials.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn add(&mut self, key: &str, value: &str) -> Result<(), DirectiveError> {
        let separator = if self.0.is_empty() { "" } else { "&" };
        self.0 = format!("{}{separator}{key}=", self.0);
        for byte in value.bytes() {
            // What may stand in a query (RFC 3986 §3.4) and in a quoted string (RFC 8216bis §4.2) stays; so does `%`, for
            // the value came encoded.
            if byte.is_ascii_alphanumeric() || b"-._~%!$'()*+,;=:@/?".contains(&byte) {
                self.0.push(char::from(byte));
            } else {
                self.0.push_str(&format!("%{byte:02X}"));
            }
            if self.0.len() > Self::MAX {
                break;
            }
        }
        if self.0.len() > Self::MAX { Err(DirectiveError::TooLong) } else { Ok(()) }
    }
}

/// A playlist request's query.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directives {
    /// Hold the answer until this is there.
    pub block: Option<Block>,
    /// May it be a delta update?
    pub skip: Skip,
    /// Which kind, where the URL says so.
    pub variant: Option<Variant>,
    /// Credentials to carry on.
    pub carried: Carried,
}

impl Directives {
    /// Reads a raw query. Unknown keys are passed over, as §6.2.5 asks of a server.
    ///
    /// # Errors
    /// [`DirectiveError`].
    pub fn parse(query: &str) -> Result<Self, DirectiveError> {
        let mut out = Self::default();
        let (mut msn, mut part) = (None, None);
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "_HLS_msn" => msn = Some(number(value, "_HLS_msn")?),
                "_HLS_part" => part = Some(number(value, "_HLS_part")?),
                "_HLS_skip" => {
                    out.skip = match value {
                        "YES" | "v2" => Skip::Yes,
                        _ => return Err(DirectiveError::Skip),
                    }
                }
                "variant" => {
                    out.variant = match value {
                        "ll" => Some(Variant::LowLatency),
                        "fmp4" => Some(Variant::Fmp4),
                        "ts" => Some(Variant::MpegTs),
                        _ => return Err(DirectiveError::Variant),
                    }
                }
                key if Carried::KEYS.contains(&key) => out.carried.add(key, value)?,
                _ => {}
            }
        }
        out.block = match (msn, part) {
            (Some(msn), part) => Some(Block { msn, part }),
            (None, Some(_)) => return Err(DirectiveError::PartAlone),
            (None, None) => None,
        };
        Ok(out)
    }
}

/// Digits alone: `u64::from_str` would also take a sign.
fn number(text: &str, name: &'static str) -> Result<u64, DirectiveError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(DirectiveError::Number(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        type Short<'a> = (Option<(u64, Option<u64>)>, Skip, &'a str);
        let check = |query: &str, want: Result<Short<'_>, DirectiveError>| {
            let got = Directives::parse(query);
            let got = got.as_ref().map(|d| (d.block.map(|b| (b.msn, b.part)), d.skip, d.carried.as_str()));
            assert_eq!(got, want.as_ref().map(|w| *w), "{query}");
        };
        check("", Ok((None, Skip::No, "")));
        check("_HLS_msn=7", Ok((Some((7, None)), Skip::No, "")));
        check("_HLS_msn=7&_HLS_part=0&_HLS_skip=YES", Ok((Some((7, Some(0))), Skip::Yes, "")));
        check("_HLS_skip=v2", Ok((None, Skip::Yes, "")));
        check("token=a%20b&x=1&_HLS_push=1&pass=c", Ok((None, Skip::No, "token=a%20b&pass=c")));
        check("token=a\"\r\n#<é", Ok((None, Skip::No, "token=a%22%0D%0A%23%3C%C3%A9")));
        check("_HLS_part=0", Err(DirectiveError::PartAlone));
        check("_HLS_msn=", Err(DirectiveError::Number("_HLS_msn")));
        check("_HLS_msn=-1", Err(DirectiveError::Number("_HLS_msn")));
        check("_HLS_msn=+1", Err(DirectiveError::Number("_HLS_msn")));
        check("_HLS_msn=18446744073709551616", Err(DirectiveError::Number("_HLS_msn")));
        check("_HLS_msn=1&_HLS_part=x", Err(DirectiveError::Number("_HLS_part")));
        check("_HLS_skip=NO", Err(DirectiveError::Skip));
        for variant in [Variant::LowLatency, Variant::Fmp4, Variant::MpegTs] {
            let query = format!("variant={}", variant.name());
            assert_eq!(Directives::parse(&query).unwrap().variant, Some(variant));
        }
        check("variant=mpegts", Err(DirectiveError::Variant));
        check(&format!("token={}", "x".repeat(5000)), Err(DirectiveError::TooLong));
    }
}
