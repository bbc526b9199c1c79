//! The client's side of a connection: publishes one stream to a server or plays one, its media in the connection itself.
//!
//! Belongs here: OPTIONS, ANNOUNCE or DESCRIBE, SETUP of each track, RECORD or PLAY, TEARDOWN, and answers to challenges. Not here:
//! retries (`relay::push`, `relay::source`), packets (`egress`, `ingest`).
//!
//! Written by hand: `retina`, which pulls cameras in the clear, neither publishes nor speaks TLS, and nothing else that is kept up does.

#[cfg(test)]
mod tests;
mod url;

use super::auth::Answerer;
use super::sdp::{Format, Presentation, SdpError};
use super::server::Setup;
use super::transport::{Offered, Transport, parse_transports};
use super::wire::{Framer, Inbound, Query, WireError};
use crate::output::Output;
use bytes::Bytes;
use rtsp_types::{Response, StatusCode, headers};
use std::collections::VecDeque;
use std::time::Duration;
pub use url::{RtspUrl, RtspUrlError};

/// Credentials are tried again as often: a first answer may meet a nonce that has just grown old.
const TRIES: u8 = 2;

/// What the server said or sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// The stream may be sent now.
    Publishing,
    /// Every track that is carried is set up, and the server was asked to play: packets follow.
    SetUp,
    /// What the server describes cannot be played. The connection is of no further use.
    Unplayable(Unplayable),
    /// A packet of what is played.
    Packet {
        /// Which of the presentation.
        media: usize,
        /// RTCP, not RTP.
        control: bool,
        /// As it came.
        bytes: Bytes,
    },
    /// The server would not. The connection is of no further use.
    Refused {
        /// Of RFC 7826 §17.
        status: u16,
        /// The server's words.
        reason: String,
    },
    /// A receiver's report.
    Report {
        /// Which of the presentation.
        media: usize,
        /// RTCP, as it came.
        bytes: Bytes,
    },
}

/// Why a description cannot be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unplayable {
    /// It is none.
    Description(SdpError),
    /// Nothing in it is carried: the codecs.
    Nothing(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Publish,
    Play,
}

/// How long a server waits for a sign of life, where it does not say (RFC 2326 §12.37).
const TIMEOUT: Duration = Duration::from_secs(60);

/// The machine. Its first output is there at once; send it when the socket is connected.
#[derive(Debug)]
pub struct ClientSession {
    url: RtspUrl,
    purpose: Purpose,
    presentation: Presentation,
    /// What control URLs are relative to.
    base: String,
    /// What is played as a whole.
    aggregate: String,
    /// Which of the presentation are set up, in order.
    wanted: Vec<usize>,
    timeout: Duration,
    framer: Framer,
    output: Output,
    events: VecDeque<ClientEvent>,
    seed: u64,
    setups: Vec<Setup>,
    step: Step,
    cseq: u32,
    session: Option<String>,
    auth: Option<Answerer>,
    tries: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Options,
    Announce,
    Describe,
    /// The wanted track with this number.
    Setup(usize),
    Record,
    Play,
    Running,
    /// Refused or ended.
    Over,
}

impl ClientSession {
    /// Publishes `presentation` at `url`. `seed` must be unpredictable: sources and client nonces are made of it.
    pub fn new(url: RtspUrl, presentation: Presentation, seed: u64) -> Self {
        let wanted = (0..presentation.media.len()).collect();
        Self::begin(url, Purpose::Publish, presentation, wanted, seed)
    }

    /// Plays what is at `url`: every track that is carried. `seed` must be unpredictable: client nonces are made of it.
    pub fn playing(url: RtspUrl, seed: u64) -> Self {
        Self::begin(url, Purpose::Play, Presentation::default(), Vec::new(), seed)
    }

    fn begin(url: RtspUrl, purpose: Purpose, presentation: Presentation, wanted: Vec<usize>, seed: u64) -> Self {
        let (base, aggregate) = (url.text.clone(), url.text.clone());
        let mut session = Self {
            url,
            purpose,
            presentation,
            base,
            aggregate,
            wanted,
            timeout: TIMEOUT,
            framer: Framer::default(),
            output: Output::default(),
            events: VecDeque::new(),
            seed,
            setups: Vec::new(),
            step: Step::Options,
            cseq: 0,
            session: None,
            auth: None,
            tries: 0,
        };
        session.ask();
        session
    }

    /// Takes what the server sent. Take the events and the output afterwards.
    ///
    /// # Errors
    /// [`WireError`]: what came is no RTSP; the connection is of no further use.
    pub fn handle_input(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.framer.push(bytes);
        while let Some(inbound) = self.framer.next()? {
            match inbound {
                Inbound::Response(response) => self.answered(&response),
                Inbound::Frame { channel, payload } => self.frame(channel, payload),
                // A server that asks has its own reasons; nothing here depends on the answer.
                Inbound::Request(_) => {}
            }
        }
        Ok(())
    }

    /// The next event, oldest first.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// What is to be sent, to be taken off as it is sent.
    pub const fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Bytes that wait to be sent. Past its own bound a caller stops [`Self::send`]ing.
    pub const fn pending_output_bytes(&self) -> usize {
        self.output.len()
    }

    /// What is published, or played once the server has described it.
    pub const fn presentation(&self) -> &Presentation {
        &self.presentation
    }

    /// The tracks that were set up.
    pub fn setups(&self) -> &[Setup] {
        &self.setups
    }

    /// Sends a packet: what stands in front, and a payload that is shared where it is large.
    pub fn send(&mut self, channel: u8, header: &[u8], payload: &Bytes) {
        if self.step == Step::Running {
            self.output.frame(channel, header, payload);
        }
    }

    /// How long the server waits for a sign of life.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Shows the server that the session is wanted, for times when nothing is sent (RFC 2326 §12.37).
    pub fn keep_alive(&mut self) {
        if self.step == Step::Running {
            self.request("OPTIONS", &self.aggregate.clone(), Vec::new(), Vec::new());
        }
    }

    /// Ends the stream in good order. Send the output, then close.
    pub fn finish(&mut self) {
        if self.session.is_some() && self.step != Step::Over {
            self.request("TEARDOWN", &self.aggregate.clone(), Vec::new(), Vec::new());
        }
        self.step = Step::Over;
    }

    /// Makes the request of this step.
    fn ask(&mut self) {
        let url = self.url.text.clone();
        match self.step {
            Step::Options => self.request("OPTIONS", &url, Vec::new(), Vec::new()),
            Step::Announce => {
                let lines = vec![("Content-Type", "application/sdp".to_owned())];
                self.request("ANNOUNCE", &url, lines, self.presentation.to_sdp());
            }
            Step::Describe => {
                self.request("DESCRIBE", &url, vec![("Accept", "application/sdp".to_owned())], Vec::new());
            }
            Step::Setup(number) => {
                let media = self.wanted.get(number).and_then(|track| self.presentation.media.get(*track));
                let at = controlled(&self.base, media.map_or("", |media| &media.control));
                let (rtp, rtcp) = channels(number);
                let mode = if self.purpose == Purpose::Publish { ";mode=record" } else { "" };
                let transport = format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}{mode}");
                self.request("SETUP", &at, vec![("Transport", transport)], Vec::new());
            }
            Step::Play => {
                let at = self.aggregate.clone();
                self.request("PLAY", &at, vec![("Range", "npt=0.000-".to_owned())], Vec::new());
            }
            Step::Record => self.request("RECORD", &url, vec![("Range", "npt=0.000-".to_owned())], Vec::new()),
            Step::Running | Step::Over => {}
        }
    }

    fn request(&mut self, method: &str, url: &str, lines: Vec<(&str, String)>, body: Vec<u8>) {
        self.cseq += 1;
        let mut query = Query::new(method, url).line("CSeq", self.cseq).line("User-Agent", "Visavis");
        if let Some(session) = &self.session {
            query = query.line("Session", session);
        }
        if let (Some(auth), Some((user, password))) = (&mut self.auth, &self.url.user) {
            query = query.line("Authorization", auth.answer(user, password, method, url));
        }
        query = lines.into_iter().fold(query, |query, (name, value)| query.line(name, value));
        self.output.extend(&query.into_bytes(body));
    }

    fn answered(&mut self, response: &Response<Vec<u8>>) {
        let of = response.header(&headers::CSEQ).and_then(|value| value.as_str().trim().parse().ok());
        if self.step == Step::Over || of.is_some_and(|of: u32| of != self.cseq) {
            return;
        }
        match response.status() {
            // What came is an answer to a sign of life; a nonce that has grown old is replaced for the next one.
            status if self.step == Step::Running => {
                if status == StatusCode::Unauthorized {
                    self.challenged(response);
                }
            }
            StatusCode::Unauthorized if self.url.user.is_some() && self.tries < TRIES => {
                self.tries += 1;
                self.challenged(response);
                match self.auth {
                    Some(_) => self.ask(),
                    None => self.refused(response),
                }
            }
            // Servers without OPTIONS are asked for what is wanted all the same.
            _ if self.step == Step::Options => self.next(match self.purpose {
                Purpose::Publish => Step::Announce,
                Purpose::Play => Step::Describe,
            }),
            status if !status.is_success() => self.refused(response),
            _ => self.granted(response),
        }
    }

    fn challenged(&mut self, response: &Response<Vec<u8>>) {
        let challenges = response.headers().filter(|(name, _)| **name == headers::WWW_AUTHENTICATE);
        let challenges: Vec<&str> = challenges.map(|(_, value)| value.as_str()).collect();
        self.auth = Answerer::choose(&challenges, self.seed.rotate_left(u32::from(self.tries)));
    }

    fn granted(&mut self, response: &Response<Vec<u8>>) {
        self.tries = 0;
        if let Some(session) = response.header(&headers::SESSION) {
            let mut fields = session.as_str().split(';').map(str::trim);
            self.session = fields.next().map(str::to_owned);
            let timeout = fields.find_map(|field| field.strip_prefix("timeout=")?.trim().parse().ok());
            self.timeout = timeout.filter(|seconds| *seconds > 0).map_or(self.timeout, Duration::from_secs);
        }
        match self.step {
            Step::Announce => self.next(Step::Setup(0)),
            Step::Describe => match self.described(response) {
                Ok(()) => self.next(Step::Setup(0)),
                Err(why) => {
                    self.step = Step::Over;
                    self.events.push_back(ClientEvent::Unplayable(why));
                }
            },
            Step::Setup(number) => {
                // Servers may name other channels than they were offered.
                let named = response.header(&headers::TRANSPORT).map(|value| parse_transports(value.as_str()));
                let named = named.and_then(|ways| match ways.first() {
                    Some(Offered::Interleaved { channels }) => *channels,
                    _ => None,
                });
                let (rtp, rtcp) = named.unwrap_or_else(|| channels(number));
                // Another source for each track.
                let ssrc = (self.seed >> 16) as u32 ^ u32::from(rtp);
                let transport = Transport::Interleaved { rtp, rtcp };
                let media = self.wanted.get(number).copied().unwrap_or_default();
                self.setups.push(Setup { media, transport, ssrc });
                self.next(match self.purpose {
                    _ if number + 1 < self.wanted.len() => Step::Setup(number + 1),
                    Purpose::Publish => Step::Record,
                    Purpose::Play => Step::Play,
                });
                if self.step == Step::Play {
                    self.events.push_back(ClientEvent::SetUp);
                }
            }
            Step::Record => {
                self.step = Step::Running;
                self.events.push_back(ClientEvent::Publishing);
            }
            Step::Play => self.step = Step::Running,
            Step::Options | Step::Running | Step::Over => {}
        }
    }

    fn described(&mut self, response: &Response<Vec<u8>>) -> Result<(), Unplayable> {
        let named = [headers::CONTENT_BASE, headers::CONTENT_LOCATION].into_iter().find_map(|name| {
            let value = response.header(&name)?.as_str().trim().to_owned();
            (value.contains("://") && value.len() <= MAX_URL).then_some(value)
        });
        self.base = named.unwrap_or_else(|| self.url.text.clone());
        self.presentation = Presentation::parse(response.body()).map_err(Unplayable::Description)?;
        self.aggregate = controlled(&self.base, aggregate(response.body()).unwrap_or("*"));
        let all = self.presentation.media.iter();
        self.wanted = (0..)
            .zip(all.clone())
            .filter(|(_, media)| !matches!(media.format, Format::Other(_)))
            .map(|(n, _)| n)
            .collect();
        if self.wanted.is_empty() {
            let names = all.filter_map(|media| match &media.format {
                Format::Other(name) => Some(name.clone()),
                _ => None,
            });
            return Err(Unplayable::Nothing(names.collect()));
        }
        Ok(())
    }

    fn next(&mut self, step: Step) {
        self.step = step;
        self.ask();
    }

    fn refused(&mut self, response: &Response<Vec<u8>>) {
        self.step = Step::Over;
        let (status, reason) = (response.status().into(), response.reason_phrase().to_owned());
        self.events.push_back(ClientEvent::Refused { status, reason });
    }

    fn frame(&mut self, channel: u8, bytes: Bytes) {
        let of = |setup: &Setup| match setup.transport {
            Transport::Interleaved { rtp, .. } if rtp == channel => Some((setup.media, false)),
            Transport::Interleaved { rtcp, .. } if rtcp == channel => Some((setup.media, true)),
            Transport::Interleaved { .. } | Transport::Udp { .. } => None,
        };
        let Some((media, control)) = self.setups.iter().find_map(of) else { return };
        match (self.purpose, self.step) {
            (Purpose::Publish, Step::Running) if control => self.events.push_back(ClientEvent::Report { media, bytes }),
            // The first packets may overtake the answer to PLAY.
            (Purpose::Play, Step::Running | Step::Play) => {
                self.events.push_back(ClientEvent::Packet { media, control, bytes })
            }
            _ => {}
        }
    }
}

/// Longest base: what is asked for stays below the longest head.
const MAX_URL: usize = 4096;

/// The URL that a control attribute stands for (RFC 2326 §C.1.1).
fn controlled(base: &str, control: &str) -> String {
    match control {
        "" | "*" => base.to_owned(),
        whole if whole.contains("://") => whole.to_owned(),
        part => format!("{}/{part}", base.trim_end_matches('/')),
    }
}

/// The control attribute of the session as a whole.
fn aggregate(description: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(description).ok()?;
    let mut lines = text.lines().take_while(|line| !line.starts_with("m="));
    lines.find_map(|line| line.strip_prefix("a=control:")).map(str::trim).filter(|control| control.len() <= MAX_URL)
}

/// The channels that are offered for a track: the presentation has 16 at most.
fn channels(track: usize) -> (u8, u8) {
    let rtp = u8::try_from(track * 2).unwrap_or(u8::MAX - 1);
    (rtp, rtp + 1)
}
