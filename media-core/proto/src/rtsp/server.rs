//! The server's side of a connection: which request may come when, and what it is told.
//!
//! Belongs here: order, sessions, transports. Not here: whether a path exists and who may use it, media (the caller).
//!
//! One request at a time is before the caller; what comes behind it waits, as RFC 2326 §9.1 wants of answers.

mod event;

use super::auth::Auth;
use super::sdp::Presentation;
use super::target::Target;
use super::transport::{Agreed, Offered, Transport, parse_transports};
use super::wire::{Answer, Framer, Inbound, PUBLIC, cseq, header, method_name, speaks_1_0};
use crate::output::Output;
use bytes::Bytes;
pub use event::{RtspError, RtspReason, RtspRequest, ServerConfig, ServerEvent, Setup, Started};
use media::MonoTime;
use rtsp_types::{Method, Request, StatusCode, headers};
use std::collections::VecDeque;

/// Bytes that may wait behind a request: its pipelined followers, and receivers' reports.
const MAX_WAITING: usize = 256 << 10;

/// Features that a `Require` may name (RFC 7826 §11.1).
const FEATURES: [&str; 1] = ["play.basic"];

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Read,
    Publish,
}

/// How far a session is (RFC 2326 §A.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing is set up.
    Init,
    /// At least one track is.
    Ready,
    /// Media flows.
    Running,
}

/// A request that the caller has before it.
#[derive(Debug)]
struct Pending {
    request: RtspRequest,
    cseq: u32,
    /// As the client wrote it.
    url: String,
    what: Wanted,
}

#[derive(Debug)]
enum Wanted {
    Describe(Target),
    /// A SETUP of something that was not described on this connection.
    Setup(Target, Box<Request<Vec<u8>>>),
    Announce(Target, Presentation),
    Play,
    Record,
}

/// One connection. Hand it what arrives, take events and output, answer requests.
#[derive(Debug)]
pub struct ServerSession {
    config: ServerConfig,
    framer: Framer,
    output: Output,
    events: VecDeque<ServerEvent>,
    auth: Auth,
    now: MonoTime,
    seed: u64,
    requests: u64,
    pending: Option<Pending>,
    role: Role,
    phase: Phase,
    target: Target,
    /// The URL that tracks' controls are relative to.
    base: String,
    presentation: Presentation,
    setups: Vec<Setup>,
    /// Counts sessions of this connection; 0: none yet.
    sessions: u64,
}

impl ServerSession {
    /// `seeds` must be unpredictable: nonces, and ids with sources, are made of them.
    pub fn new(config: ServerConfig, seeds: (u64, u64), now: MonoTime) -> Self {
        Self {
            config,
            framer: Framer::default(),
            output: Output::default(),
            events: VecDeque::new(),
            auth: Auth::new(config.methods, seeds.0, now),
            now,
            seed: seeds.1,
            requests: 0,
            pending: None,
            role: Role::Read,
            phase: Phase::Init,
            target: Target::default(),
            base: String::new(),
            presentation: Presentation::default(),
            setups: Vec::new(),
            sessions: 0,
        }
    }

    /// Takes what arrived; ask [`Self::poll_event`] and [`Self::output`] afterwards, also after an error: the peer is told why.
    ///
    /// # Errors
    /// [`RtspError`]: close the connection when the output is sent.
    pub fn handle_input(&mut self, bytes: &[u8], now: MonoTime) -> Result<(), RtspError> {
        self.now = now;
        self.framer.push(bytes);
        self.advance()
    }

    /// What the client wants or did, in order.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// Bytes for the client.
    pub const fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// How many bytes for the client wait.
    pub const fn pending_output_bytes(&self) -> usize {
        self.output.len()
    }

    /// Bytes received since the beginning.
    pub fn received(&self) -> u64 {
        self.framer.received()
    }

    /// The session's tracks.
    pub const fn presentation(&self) -> &Presentation {
        &self.presentation
    }

    /// The tracks that were set up, in the order of their setting up.
    pub fn setups(&self) -> &[Setup] {
        &self.setups
    }

    /// What the session is about.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Answers a [`ServerEvent::Describe`].
    ///
    /// # Errors
    /// As [`Self::handle_input`], for what came behind the request.
    pub fn describe(&mut self, request: RtspRequest, presentation: Presentation) -> Result<(), RtspError> {
        let Some(pending) = self.answered(request) else { return Ok(()) };
        let Pending { cseq, url, what, .. } = pending;
        match what {
            Wanted::Describe(target) => {
                let base = format!("{}/", url.trim_end_matches('/'));
                let answer = Answer::new(StatusCode::Ok).line("Content-Base", &base);
                self.reply(cseq, answer.body("application/sdp", presentation.to_sdp()));
                // What is set up goes on as it is.
                if self.setups.is_empty() {
                    self.describes(target, base, presentation);
                }
            }
            Wanted::Setup(target, setup) => {
                self.describes(target, url, presentation);
                self.setup(cseq, &setup);
            }
            Wanted::Announce(..) | Wanted::Play | Wanted::Record => {}
        }
        self.advance()
    }

    /// Grants a [`ServerEvent::Announce`] or [`ServerEvent::Record`].
    ///
    /// # Errors
    /// As [`Self::handle_input`], for what came behind the request.
    pub fn accept(&mut self, request: RtspRequest) -> Result<(), RtspError> {
        let Some(pending) = self.answered(request) else { return Ok(()) };
        match pending.what {
            Wanted::Announce(target, presentation) => {
                self.role = Role::Publish;
                self.phase = Phase::Init;
                self.setups.clear();
                (self.target, self.base, self.presentation) = (target, pending.url, presentation);
            }
            Wanted::Record => self.phase = Phase::Running,
            Wanted::Describe(_) | Wanted::Setup(..) | Wanted::Play => {}
        }
        self.reply(pending.cseq, Answer::new(StatusCode::Ok));
        self.advance()
    }

    /// Grants a [`ServerEvent::Play`]: media follows.
    ///
    /// # Errors
    /// As [`Self::handle_input`], for what came behind the request.
    pub fn play(&mut self, request: RtspRequest, started: &[Started]) -> Result<(), RtspError> {
        let Some(pending) = self.answered(request) else { return Ok(()) };
        let base = self.base.trim_end_matches('/');
        let info = started.iter().filter_map(|start| {
            let control = &self.presentation.media.get(start.media)?.control;
            let sequence = start.sequence;
            let time = start.timestamp.map_or_else(String::new, |t| format!(";rtptime={t}"));
            Some(format!("url={base}/{control};seq={sequence}{time}"))
        });
        let info: Vec<String> = info.collect();
        let answer = Answer::new(StatusCode::Ok);
        let answer = if info.is_empty() { answer } else { answer.line("RTP-Info", info.join(",")) };
        self.phase = Phase::Running;
        self.reply(pending.cseq, answer);
        self.advance()
    }

    /// Refuses a request.
    ///
    /// # Errors
    /// As [`Self::handle_input`], for what came behind the request.
    pub fn reject(&mut self, request: RtspRequest, reason: RtspReason) -> Result<(), RtspError> {
        let Some(pending) = self.answered(request) else { return Ok(()) };
        let answer = match reason {
            RtspReason::Denied => {
                let challenges = self.auth.challenges();
                let answer = Answer::new(StatusCode::Unauthorized);
                challenges.into_iter().fold(answer, |answer, line| answer.line("WWW-Authenticate", line))
            }
            RtspReason::NotFound => Answer::new(StatusCode::NotFound),
            RtspReason::BadName => Answer::new(StatusCode::BadRequest),
            RtspReason::Unavailable => Answer::new(StatusCode::ServiceUnavailable),
        };
        self.reply(pending.cseq, answer);
        self.advance()
    }

    /// Sends a packet in the connection: what stands in front, and a payload that is shared where it is large.
    pub fn send(&mut self, channel: u8, header: &[u8], payload: &Bytes) {
        self.output.frame(channel, header, payload);
    }

    fn answered(&mut self, request: RtspRequest) -> Option<Pending> {
        self.pending.take_if(|pending| pending.request == request)
    }

    fn describes(&mut self, target: Target, base: String, presentation: Presentation) {
        self.role = Role::Read;
        self.phase = Phase::Init;
        (self.target, self.base, self.presentation) = (target, base, presentation);
    }

    fn advance(&mut self) -> Result<(), RtspError> {
        while self.pending.is_none() {
            let inbound = match self.framer.next() {
                Ok(Some(inbound)) => inbound,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.output.extend(&Answer::new(StatusCode::BadRequest).line("Connection", "close").into_bytes());
                    return Err(error.into());
                }
            };
            match inbound {
                Inbound::Request(request) => self.request(request),
                // To something that was never asked.
                Inbound::Response(_) => {}
                Inbound::Frame { channel, payload } => self.frame(channel, payload),
            }
        }
        match self.framer.waiting() {
            waiting if waiting > MAX_WAITING => Err(RtspError::Flood(waiting)),
            _ => Ok(()),
        }
    }

    fn frame(&mut self, channel: u8, bytes: Bytes) {
        let packet = self.setups.iter().find_map(|setup| match setup.transport {
            Transport::Interleaved { rtp, .. } if rtp == channel => Some((setup.media, false)),
            Transport::Interleaved { rtcp, .. } if rtcp == channel => Some((setup.media, true)),
            _ => None,
        });
        // A client that stops may have packets on their way.
        if let Some((media, control)) = packet.filter(|_| self.phase == Phase::Running) {
            self.events.push_back(ServerEvent::Packet { media, control, bytes });
        }
    }

    fn request(&mut self, request: Box<Request<Vec<u8>>>) {
        let Some(cseq) = cseq(&request) else {
            let answer = Answer::new(StatusCode::BadRequest);
            self.output.extend(&answer.line("Server", SERVER).into_bytes());
            return;
        };
        if !speaks_1_0(&request) {
            return self.reply(cseq, Answer::new(StatusCode::RTSPVersionNotSupported));
        }
        let required = header(&request, &headers::REQUIRE).unwrap_or_default();
        let unknown = required.split(',').map(str::trim).filter(|f| !f.is_empty() && !FEATURES.contains(f));
        let unknown: Vec<&str> = unknown.collect();
        if !unknown.is_empty() {
            return self
                .reply(cseq, Answer::new(StatusCode::OptionNotSupported).line("Unsupported", unknown.join(", ")));
        }
        let named = header(&request, &headers::SESSION).and_then(|s| s.split(';').next()).map(str::trim);
        if named.is_some_and(|named| self.session().as_deref() != Some(named)) {
            return self.reply(cseq, Answer::new(StatusCode::SessionNotFound));
        }
        let url = request.request_uri().map_or("*", |url| url.as_str()).to_owned();
        match request.method() {
            Method::Options => self.reply(cseq, Answer::new(StatusCode::Ok).line("Public", PUBLIC)),
            Method::Describe => self.wants_description(cseq, url, &request),
            Method::Announce => self.announce(cseq, url, &request),
            Method::Setup => self.wants_setup(cseq, url, request),
            Method::Play => self.start(cseq, url, Role::Read),
            Method::Record => self.start(cseq, url, Role::Publish),
            Method::Pause => self.pause(cseq),
            Method::Teardown => self.teardown(cseq),
            Method::GetParameter => self.reply(cseq, Answer::new(StatusCode::Ok)),
            Method::SetParameter if request.body().is_empty() => self.reply(cseq, Answer::new(StatusCode::Ok)),
            Method::SetParameter => self.reply(cseq, Answer::new(StatusCode::ParameterNotUnderstood)),
            Method::PlayNotify | Method::Redirect | Method::Extension(_) => {
                self.reply(cseq, Answer::new(StatusCode::NotImplemented).line("Allow", PUBLIC));
            }
        }
    }

    fn wants_description(&mut self, cseq: u32, url: String, request: &Request<Vec<u8>>) {
        let accepts = header(request, &headers::ACCEPT).unwrap_or("*/*").to_ascii_lowercase();
        if !["application/sdp", "application/*", "*/*"].iter().any(|kind| accepts.contains(kind)) {
            return self.reply(cseq, Answer::new(StatusCode::NotAcceptable));
        }
        let (target, _) = Target::parse(&url);
        self.ask_to_read(cseq, url, request, target.clone(), Wanted::Describe(target));
    }

    fn ask_to_read(&mut self, cseq: u32, url: String, request: &Request<Vec<u8>>, target: Target, what: Wanted) {
        let credentials = self.credentials(request);
        let request = self.ask(cseq, url, what);
        self.events.push_back(ServerEvent::Describe { request, target, credentials });
    }

    fn announce(&mut self, cseq: u32, url: String, request: &Request<Vec<u8>>) {
        if self.phase == Phase::Running {
            return self.not_now(cseq);
        }
        let kind = header(request, &headers::CONTENT_TYPE).unwrap_or("application/sdp");
        if !kind.to_ascii_lowercase().starts_with("application/sdp") {
            return self.reply(cseq, Answer::new(StatusCode::UnsupportedMediaType));
        }
        let presentation = match Presentation::parse(request.body()) {
            Ok(presentation) => presentation,
            Err(error) => return self.reply(cseq, Answer::new(StatusCode::BadRequest).line("Warning", error)),
        };
        let (target, _) = Target::parse(&url);
        let credentials = self.credentials(request);
        let request = self.ask(cseq, url, Wanted::Announce(target.clone(), presentation));
        self.events.push_back(ServerEvent::Announce { request, target, credentials });
    }

    fn wants_setup(&mut self, cseq: u32, url: String, request: Box<Request<Vec<u8>>>) {
        if self.phase == Phase::Running {
            return self.not_now(cseq);
        }
        let (target, _) = Target::parse(&url);
        let known = match self.role {
            Role::Publish => true,
            Role::Read => !self.presentation.media.is_empty() && self.target.path == target.path,
        };
        if known {
            self.setup(cseq, &request);
        } else if self.setups.is_empty() {
            // Some readers know the description from elsewhere.
            let base = url.rsplit_once(super::target::TRACK).map_or(url.as_str(), |(base, _)| base).to_owned();
            let asked = Wanted::Setup(target.clone(), request.clone());
            self.ask_to_read(cseq, base, &request, target, asked);
        } else {
            // One path for each session.
            self.reply(cseq, Answer::new(StatusCode::AggregateOperationNotAllowed));
        }
    }

    fn setup(&mut self, cseq: u32, request: &Request<Vec<u8>>) {
        let url = request.request_uri().map_or("", |url| url.as_str());
        let media = match self.role {
            Role::Publish => self.presentation.find(&self.base, url),
            Role::Read => match (Target::parse(url).1, self.presentation.media.len()) {
                (Some(track), count) => (track < count).then_some(track),
                (None, 1) => Some(0),
                (None, _) => None,
            },
        };
        let Some(media) = media else {
            return self.reply(cseq, Answer::new(StatusCode::NotFound));
        };
        let offers = parse_transports(header(request, &headers::TRANSPORT).unwrap_or_default());
        let Some(transport) = offers.into_iter().find_map(|offer| self.agree(media, offer)) else {
            return self.reply(cseq, Answer::new(StatusCode::UnsupportedTransport));
        };
        if self.session().is_none() || self.phase == Phase::Init {
            self.sessions += 1;
        }
        self.phase = Phase::Ready;
        let number = u64::try_from(media).unwrap_or(0);
        // The low bits on purpose: a source is a number nobody else has.
        let ssrc = mixed(self.seed ^ mixed(self.sessions << 8 | number)) as u32;
        self.setups.retain(|s| s.media != media);
        self.setups.push(Setup { media, transport, ssrc });
        let server = self.config.udp.unwrap_or_default();
        let record = self.role == Role::Publish;
        let agreed = Agreed { transport, server, ssrc: (!record).then_some(ssrc), record };
        self.reply(cseq, Answer::new(StatusCode::Ok).line("Transport", agreed));
    }

    /// The transport that comes of an offer, if it can be had. All tracks of a session go the same way.
    fn agree(&self, media: usize, offer: Offered) -> Option<Transport> {
        let others = || self.setups.iter().filter(move |s| s.media != media).map(|s| s.transport);
        match offer {
            Offered::Interleaved { channels } if self.config.tcp => {
                let mut used = Vec::new();
                for transport in others() {
                    let Transport::Interleaved { rtp, rtcp } = transport else { return None };
                    used.extend([rtp, rtcp]);
                }
                let free = |(a, b): (u8, u8)| !used.contains(&a) && !used.contains(&b);
                let (rtp, rtcp) = channels.filter(|c| free(*c)).or_else(|| {
                    // The client's wish collides, or there is none: the next pair.
                    (0..u8::MAX).step_by(2).map(|a| (a, a + 1)).find(|c| free(*c))
                })?;
                Some(Transport::Interleaved { rtp, rtcp })
            }
            Offered::Udp { client: (rtp, rtcp) } if self.config.udp.is_some() => {
                let fits = others().all(|t| matches!(t, Transport::Udp { rtp: r, rtcp: c } if r != rtp && c != rtcp));
                fits.then_some(Transport::Udp { rtp, rtcp })
            }
            Offered::Interleaved { .. } | Offered::Udp { .. } | Offered::Other => None,
        }
    }

    fn start(&mut self, cseq: u32, url: String, role: Role) {
        match (self.phase, self.role == role) {
            (Phase::Ready, true) => {
                let what = if role == Role::Read { Wanted::Play } else { Wanted::Record };
                let request = self.ask(cseq, url, what);
                self.events.push_back(match role {
                    Role::Read => ServerEvent::Play { request },
                    Role::Publish => ServerEvent::Record { request },
                });
            }
            // Some players repeat it to keep the session (RFC 2326 §10.5).
            (Phase::Running, true) => self.reply(cseq, Answer::new(StatusCode::Ok)),
            _ => self.not_now(cseq),
        }
    }

    fn pause(&mut self, cseq: u32) {
        match (self.phase, self.role) {
            (Phase::Running, Role::Read) => {
                self.phase = Phase::Ready;
                self.events.push_back(ServerEvent::Paused);
                self.reply(cseq, Answer::new(StatusCode::Ok));
            }
            (Phase::Ready, _) => self.reply(cseq, Answer::new(StatusCode::Ok)),
            // A publisher that pauses is one that has gone for a while; TEARDOWN says that.
            _ => self.not_now(cseq),
        }
    }

    fn teardown(&mut self, cseq: u32) {
        if self.session().is_none() {
            return self.reply(cseq, Answer::new(StatusCode::SessionNotFound));
        }
        self.reply(cseq, Answer::new(StatusCode::Ok));
        self.phase = Phase::Init;
        self.role = Role::Read;
        self.setups.clear();
        self.presentation = Presentation::default();
        self.events.push_back(ServerEvent::Finished);
    }

    fn not_now(&mut self, cseq: u32) {
        let allowed = match (self.phase, self.role) {
            (Phase::Init, Role::Read) => "OPTIONS, DESCRIBE, ANNOUNCE, SETUP",
            (Phase::Init, Role::Publish) => "OPTIONS, ANNOUNCE, SETUP",
            (Phase::Ready, Role::Read) => "OPTIONS, SETUP, PLAY, TEARDOWN",
            (Phase::Ready, Role::Publish) => "OPTIONS, SETUP, RECORD, TEARDOWN",
            (Phase::Running, Role::Read) => "OPTIONS, PLAY, PAUSE, TEARDOWN, GET_PARAMETER",
            (Phase::Running, Role::Publish) => "OPTIONS, RECORD, TEARDOWN, GET_PARAMETER",
        };
        self.reply(cseq, Answer::new(StatusCode::MethodNotValidInThisState).line("Allow", allowed));
    }

    fn credentials(&mut self, request: &Request<Vec<u8>>) -> super::Credentials {
        let authorization = header(request, &headers::AUTHORIZATION);
        self.auth.read(authorization, method_name(request.method()), self.now)
    }

    fn ask(&mut self, cseq: u32, url: String, what: Wanted) -> RtspRequest {
        self.requests += 1;
        let request = RtspRequest(self.requests);
        self.pending = Some(Pending { request, cseq, url, what });
        request
    }

    /// The id of the session there is.
    fn session(&self) -> Option<String> {
        let id = mixed(self.seed.wrapping_add(self.sessions));
        (!self.setups.is_empty()).then(|| format!("{id:016x}"))
    }

    fn reply(&mut self, cseq: u32, answer: Answer) {
        let timeout = self.config.timeout.as_secs();
        let answer = answer.line("CSeq", cseq).line("Server", SERVER);
        let answer = match self.session() {
            Some(id) => answer.line("Session", format_args!("{id};timeout={timeout}")),
            None => answer,
        };
        self.output.extend(&answer.into_bytes());
    }
}

/// What `Server` says.
const SERVER: &str = "visavis";

/// Spreads a number over all bits (splitmix64), so that one id does not tell the next.
const fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
