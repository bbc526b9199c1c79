//! Digest (RFC 7616, and RFC 2069 as RTSP clients speak it) and Basic (RFC 7617).
//!
//! Belongs here: challenges, nonces, what a client's answer proves, and a client's answers. Not here: which passwords are right (`relay::access`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use media::MonoTime;
use sha2::Sha256;
use std::fmt;
use std::time::Duration;

/// What a challenge names.
const REALM: &str = "Visavis";
/// A nonce is made anew after this long; a client that answers an old one is told so and asks nobody for the password again.
const NONCE_LIFE: Duration = Duration::from_secs(600);
/// Most parameters of one header; there are ten in RFC 7616.
const MAX_PARAMETERS: usize = 24;

/// Which methods a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthMethods {
    /// Passwords in the clear.
    pub basic: bool,
    /// Proof of the password.
    pub digest: bool,
}

/// The hash of a Digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn hash(self, text: &str) -> String {
        let bytes: Vec<u8> = match self {
            Self::Md5 => Md5::digest(text).to_vec(),
            Self::Sha256 => Sha256::digest(text).to_vec(),
        };
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// What a client shows of its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DigestProof {
    user: String,
    algorithm: Algorithm,
    /// All that is hashed besides the password: the nonce (with count and client's nonce where there is a quality of protection) and
    /// the hash of method and URL.
    middle: String,
    request_hash: String,
    realm: String,
    response: String,
}

impl fmt::Debug for DigestProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestProof").field("user", &self.user).finish_non_exhaustive()
    }
}

impl DigestProof {
    /// Who it says it is.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Was it made with `password`? Takes the same time wherever the difference is.
    pub fn is_of(&self, password: &str) -> bool {
        let secret = self.algorithm.hash(&format!("{}:{}:{password}", self.user, self.realm));
        let want = self.algorithm.hash(&format!("{secret}:{}:{}", self.middle, self.request_hash));
        let (want, shown) = (want.as_bytes(), self.response.as_bytes());
        want.len() == shown.len() && want.iter().zip(shown).fold(0, |d, (a, b)| d | (a ^ b)) == 0
    }
}

/// What a request carries to prove who sends it.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// Nothing, or nothing of a method that is offered.
    #[default]
    None,
    /// User and password.
    Basic(String, String),
    /// User and a proof of the password.
    Digest(DigestProof),
    /// A token (RFC 6750); no RTSP client sends one by itself, scripts do.
    Bearer(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic(..) => "Basic",
            Self::Digest(_) => "Digest",
            Self::Bearer(_) => "Bearer",
        })
    }
}

/// The challenges of one connection.
#[derive(Debug)]
pub(super) struct Auth {
    methods: AuthMethods,
    nonce: String,
    made: MonoTime,
    seed: u64,
    count: u64,
    stale: bool,
}

impl Auth {
    /// `seed` must be unpredictable: nonces are made of it.
    pub(super) fn new(methods: AuthMethods, seed: u64, now: MonoTime) -> Self {
        let mut auth = Self { methods, nonce: String::new(), made: now, seed, count: 0, stale: false };
        auth.renew(now);
        auth
    }

    fn renew(&mut self, now: MonoTime) {
        self.count += 1;
        self.made = now;
        self.nonce = Algorithm::Sha256.hash(&format!("{}:{}:{}", self.seed, self.count, now.micros()));
        self.nonce.truncate(32);
    }

    /// Reads `Authorization` of a request with `method`.
    pub(super) fn read(&mut self, header: Option<&str>, method: &str, now: MonoTime) -> Credentials {
        self.stale = false;
        let Some((scheme, value)) = header.and_then(|h| h.trim().split_once(' ')) else { return Credentials::None };
        if scheme.eq_ignore_ascii_case("basic") && self.methods.basic {
            let decoded = STANDARD.decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
            return pair.map_or(Credentials::None, |(u, p)| Credentials::Basic(u.into(), p.into()));
        }
        if scheme.eq_ignore_ascii_case("digest") && self.methods.digest {
            return self.digest(value, method, now).map_or(Credentials::None, Credentials::Digest);
        }
        if scheme.eq_ignore_ascii_case("bearer") {
            return Credentials::Bearer(value.trim().into());
        }
        Credentials::None
    }

    fn digest(&mut self, value: &str, method: &str, now: MonoTime) -> Option<DigestProof> {
        let parameters = parameters(value);
        let find = |name: &str| parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
        if find("nonce")? != self.nonce || now.since(self.made) > NONCE_LIFE {
            // Of another connection, or too old: the password may still be right.
            self.renew(now);
            self.stale = true;
            return None;
        }
        let algorithm = match find("algorithm") {
            None => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("MD5") => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Algorithm::Sha256,
            Some(_) => return None,
        };
        let middle = match find("qop") {
            None => self.nonce.clone(),
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                format!("{}:{}:{}:{qop}", self.nonce, find("nc")?, find("cnonce")?)
            }
            Some(_) => return None,
        };
        Some(DigestProof {
            user: find("username")?.into(),
            algorithm,
            middle,
            // The URL as the client hashed it; servers behind proxies see another one in the request line.
            request_hash: algorithm.hash(&format!("{method}:{}", find("uri")?)),
            realm: REALM.into(),
            response: find("response")?.to_ascii_lowercase(),
        })
    }

    /// The values of `WWW-Authenticate`, one line each. FFmpeg, GStreamer and live555 take the last Digest and know MD5 alone, so
    /// that comes behind SHA-256; Basic is taken by those that know nothing else.
    pub(super) fn challenges(&self) -> Vec<String> {
        let mut out = Vec::new();
        if self.methods.digest {
            let stale = if self.stale { ", stale=TRUE" } else { "" };
            for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
                let (nonce, name) = (&self.nonce, algorithm.name());
                out.push(format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\", algorithm={name}{stale}"));
            }
        }
        if self.methods.basic {
            out.push(format!("Basic realm=\"{REALM}\""));
        }
        out
    }
}

/// A client's answers to one server's challenges.
#[derive(Debug)]
pub(super) enum Answerer {
    Basic,
    Digest {
        algorithm: Algorithm,
        realm: String,
        nonce: String,
        opaque: Option<String>,
        /// A quality of protection is wanted (RFC 7616 §3.4): then requests are counted, under a nonce of ours.
        counted: Option<(u32, u64)>,
    },
}

impl Answerer {
    /// The strongest method of `challenges`, values of `WWW-Authenticate`, that is known here. `seed` must be unpredictable.
    pub(super) fn choose(challenges: &[&str], seed: u64) -> Option<Self> {
        let digests = challenges.iter().filter_map(|challenge| {
            let (scheme, value) = challenge.trim().split_once(' ')?;
            scheme.eq_ignore_ascii_case("digest").then(|| Self::digest(value, seed))?
        });
        let basic = challenges.iter().any(|c| c.trim().get(..5).is_some_and(|s| s.eq_ignore_ascii_case("basic")));
        // Before a password goes in the clear.
        digests.max_by_key(|(strength, _)| *strength).map(|(_, digest)| digest).or(basic.then_some(Self::Basic))
    }

    fn digest(value: &str, seed: u64) -> Option<(u8, Self)> {
        let parameters = parameters(value);
        let find = |name: &str| parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone());
        let (strength, algorithm) = match find("algorithm").unwrap_or_default().to_ascii_uppercase().as_str() {
            "" | "MD5" => (0, Algorithm::Md5),
            "SHA-256" => (1, Algorithm::Sha256),
            _ => return None,
        };
        let counted = match find("qop") {
            None => None,
            Some(list) if list.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")) => Some((0, seed)),
            Some(_) => return None,
        };
        let (realm, nonce, opaque) = (find("realm")?, find("nonce")?, find("opaque"));
        Some((strength, Self::Digest { algorithm, realm, nonce, opaque, counted }))
    }

    /// The value of `Authorization`.
    pub(super) fn answer(&mut self, user: &str, password: &str, method: &str, url: &str) -> String {
        let Self::Digest { algorithm, realm, nonce, opaque, counted } = self else {
            return format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        };
        let secret = algorithm.hash(&format!("{user}:{realm}:{password}"));
        let request = algorithm.hash(&format!("{method}:{url}"));
        let (middle, protection) = match counted {
            None => (nonce.clone(), String::new()),
            Some((count, seed)) => {
                *count += 1;
                let quality = format!("nc={count:08x}, cnonce=\"{seed:016x}\", qop=auth");
                (format!("{nonce}:{count:08x}:{seed:016x}:auth"), format!(", {quality}"))
            }
        };
        let response = algorithm.hash(&format!("{secret}:{middle}:{request}"));
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let (user, realm, nonce) = (quoted(user), quoted(realm), quoted(nonce));
        let opaque = opaque.as_deref().map_or_else(String::new, |opaque| format!(", opaque=\"{}\"", quoted(opaque)));
        // Without a name it is MD5, and old servers know no name.
        let name = if *algorithm == Algorithm::Md5 { "" } else { ", algorithm=SHA-256" };
        format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{url}\", response=\"{response}\"{name}{opaque}{protection}"
        )
    }
}

/// `name=value` and `name="value"`, with commas between; a backslash takes the next character as it is.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut rest = text.chars().peekable();
    while out.len() < MAX_PARAMETERS && rest.peek().is_some() {
        let name: String = std::iter::from_fn(|| rest.next_if(|c| *c != '=' && *c != ',')).collect();
        let mut value = String::new();
        if rest.next_if_eq(&'=').is_some() {
            while rest.next_if(|c| c.is_whitespace()).is_some() {}
            if rest.next_if_eq(&'"').is_some() {
                while let Some(c) = rest.next() {
                    match c {
                        '"' => break,
                        '\\' => value.extend(rest.next()),
                        c => value.push(c),
                    }
                }
                while rest.next_if(|c| *c != ',').is_some() {}
            } else {
                value = std::iter::from_fn(|| rest.next_if(|c| *c != ',')).collect::<String>().trim().into();
            }
        }
        rest.next_if_eq(&',');
        out.push((name.trim().into(), value));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: AuthMethods = AuthMethods { basic: true, digest: true };

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn basic() {
        let mut auth = Auth::new(BOTH, 1, at(0));
        let mut read = |h: &str| auth.read(Some(h), "DESCRIBE", at(0));
        assert_eq!(read("Basic dTpwOnc="), Credentials::Basic("u".into(), "p:w".into()));
        assert_eq!(read("Basic ???"), Credentials::None);
        assert_eq!(read("Bearer abc"), Credentials::Bearer("abc".into()));
        assert_eq!(read("Basic"), Credentials::None);
    }

    /// The example of RFC 7616 §3.9.1, hashed with our code.
    #[test]
    fn the_hashes_are_those_of_the_rfc() {
        let check = |algorithm: Algorithm, want: &str| {
            let proof = DigestProof {
                user: "Mufasa".into(),
                algorithm,
                middle: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v:00000001:f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ:auth".into(),
                request_hash: algorithm.hash("GET:/dir/index.html"),
                realm: "http-auth@example.org".into(),
                response: want.into(),
            };
            assert!(proof.is_of("Circle of Life"), "{algorithm:?}");
            assert!(!proof.is_of("Circle of life"), "{algorithm:?}");
        };
        check(Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec");
        check(Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
    }

    fn answer(auth: &Auth, algorithm: Algorithm, password: &str) -> String {
        let nonce = auth.nonce.clone();
        let secret = algorithm.hash(&format!("u:{REALM}:{password}"));
        let request = algorithm.hash("DESCRIBE:rtsp://h/a");
        let response = algorithm.hash(&format!("{secret}:{nonce}:{request}"));
        let name = algorithm.name();
        format!(
            "Digest username=\"u\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"rtsp://h/a\", algorithm={name}, response=\"{response}\""
        )
    }

    #[test]
    fn digest_with_both_hashes() {
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            let mut auth = Auth::new(BOTH, 1, at(0));
            let header = answer(&auth, algorithm, "secret");
            let Credentials::Digest(proof) = auth.read(Some(&header), "DESCRIBE", at(1)) else { panic!("{header}") };
            assert!(proof.is_of("secret") && !proof.is_of("Secret") && proof.user() == "u");
            let Credentials::Digest(proof) = auth.read(Some(&header), "SETUP", at(1)) else { panic!("{header}") };
            assert!(!proof.is_of("secret"), "the method is hashed");
        }
    }

    #[test]
    fn an_old_nonce_is_stale() {
        let mut auth = Auth::new(BOTH, 1, at(0));
        let header = answer(&auth, Algorithm::Md5, "secret");
        assert_eq!(auth.read(Some(&header), "DESCRIBE", at(601)), Credentials::None);
        assert!(auth.challenges()[0].ends_with("stale=TRUE"), "{:?}", auth.challenges());
        let header = answer(&auth, Algorithm::Md5, "secret");
        assert!(matches!(auth.read(Some(&header), "DESCRIBE", at(602)), Credentials::Digest(_)));
        assert!(!auth.challenges()[0].contains("stale"));
    }

    #[test]
    fn parameter_lists() {
        let got = parameters(r#"a="x,\"y", b = 2 ,c=,=,d"#);
        let want = [("a", "x,\"y"), ("b", "2"), ("c", ""), ("", ""), ("d", "")];
        assert_eq!(got, want.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }
}
