//! Trickle ICE fragments (RFC 8840 §9, RFC 9725 §4.3.2).

use thiserror::Error;

/// Why a body is no fragment.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SdpFragmentError {
    /// A line without `x=`.
    #[error("SDP fragment: line {0} is not of the form x=…")]
    Line(usize),
    /// More candidates than any host has.
    #[error("SDP fragment: more than {MAX_CANDIDATES} candidates")]
    TooMany,
}

/// A host with many interfaces and relays stays well below.
const MAX_CANDIDATES: usize = 256;

/// One media section of a fragment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FragmentMedia {
    /// The kind in its `m=` pseudo line: `audio`, `video`, `application`.
    pub kind: String,
    /// Its `a=mid`.
    pub mid: Option<String>,
    /// Candidates, each as `candidate:…`.
    pub candidates: Vec<String>,
    /// No more will come.
    pub end_of_candidates: bool,
}

/// A fragment: ICE credentials and candidates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SdpFragment {
    /// `a=ice-ufrag`, wherever it stands.
    pub ufrag: Option<String>,
    /// `a=ice-pwd`.
    pub password: Option<String>,
    /// Candidates before any media section, and `a=end-of-candidates` there, belong to the whole session.
    pub session: FragmentMedia,
    /// Media sections in order.
    pub media: Vec<FragmentMedia>,
}

impl SdpFragment {
    /// Reads a fragment; unknown lines are read over.
    ///
    /// # Errors
    /// [`SdpFragmentError`].
    pub fn parse(text: &str) -> Result<Self, SdpFragmentError> {
        let mut out = Self::default();
        let mut candidates = 0;
        for (number, line) in (1..).zip(text.lines()).map(|(n, l)| (n, l.trim_end())).filter(|(_, l)| !l.is_empty()) {
            let (key, value) = match line.split_once('=') {
                Some((key, value)) if key.len() == 1 => (key, value),
                _ => return Err(SdpFragmentError::Line(number)),
            };
            if key == "m" {
                candidates += 1;
                let kind = value.split_ascii_whitespace().next().unwrap_or("").into();
                out.media.push(FragmentMedia { kind, ..FragmentMedia::default() });
            }
            if candidates > MAX_CANDIDATES {
                return Err(SdpFragmentError::TooMany);
            }
            if key != "a" {
                continue;
            }
            let section = out.media.last_mut().unwrap_or(&mut out.session);
            match value.split_once(':') {
                Some(("ice-ufrag", v)) => out.ufrag = Some(v.trim().into()),
                Some(("ice-pwd", v)) => out.password = Some(v.trim().into()),
                Some(("mid", v)) => section.mid = Some(v.trim().into()),
                Some(("candidate", _)) => {
                    candidates += 1;
                    section.candidates.push(value.into());
                }
                None if value == "end-of-candidates" => section.end_of_candidates = true,
                _ => {}
            }
        }
        Ok(out)
    }

    /// The fragment as a body.
    pub fn format(&self) -> String {
        let mut out = String::new();
        let mut line = |text: &str| {
            out.extend(text.chars().filter(|c| !c.is_control()));
            out.push_str("\r\n");
        };
        if let Some(ufrag) = &self.ufrag {
            line(&format!("a=ice-ufrag:{ufrag}"));
        }
        if let Some(password) = &self.password {
            line(&format!("a=ice-pwd:{password}"));
        }
        let first = std::iter::once((false, &self.session));
        for (own_line, media) in first.chain(self.media.iter().map(|m| (true, m))) {
            if own_line {
                line(&format!("m={} 9 UDP/TLS/RTP/SAVPF 0", media.kind));
            }
            if let Some(mid) = &media.mid {
                line(&format!("a=mid:{mid}"));
            }
            for candidate in &media.candidates {
                line(&format!("a={candidate}"));
            }
            if media.end_of_candidates {
                line("a=end-of-candidates");
            }
        }
        out
    }

    /// Every candidate of the fragment with the `mid` of its section.
    pub fn candidates(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        std::iter::once(&self.session)
            .chain(&self.media)
            .flat_map(|m| m.candidates.iter().map(|c| (m.mid.as_deref(), c.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_the_rfc_writes_it() {
        let text = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
                    a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\na=end-of-candidates\r\n";
        let fragment = SdpFragment::parse(text).unwrap();
        assert_eq!(fragment.ufrag.as_deref(), Some("EsAw"));
        let (mid, candidate) = fragment.candidates().next().unwrap();
        assert_eq!(mid, Some("0"));
        assert!(candidate.starts_with("candidate:1387637174 1 udp"));
        assert!(fragment.media[0].end_of_candidates);
        assert_eq!(SdpFragment::parse(&fragment.format()), Ok(fragment));
    }

    #[test]
    fn refuses() {
        assert_eq!(SdpFragment::parse("a=x\nnonsense"), Err(SdpFragmentError::Line(2)));
        assert_eq!(SdpFragment::parse(&"a=candidate:1\n".repeat(300)), Err(SdpFragmentError::TooMany));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            ufrag in prop::option::of("[a-zA-Z0-9+/]{4,8}"), mid in prop::option::of("[a-z0-9]{1,4}"),
            candidates in prop::collection::vec("candidate:[0-9]{1,5} 1 udp [0-9]{1,9} 10\\.0\\.0\\.1 [0-9]{1,5} typ host", 0..4),
            end_of_candidates: bool,
        ) {
            let media = vec![FragmentMedia { kind: "video".into(), mid, candidates, end_of_candidates }];
            let fragment = SdpFragment { ufrag, password: None, session: FragmentMedia::default(), media };
            prop_assert_eq!(SdpFragment::parse(&fragment.format()), Ok(fragment));
        }
    }
}
