//! The client's side of a connection: publishes one stream to a server, its media in the connection itself.
//!
//! Belongs here: OPTIONS, ANNOUNCE, SETUP of each track, RECORD, TEARDOWN, and answers to challenges. Not here: retries
//! (`relay::push`), packets (`egress`), pulling, which `retina` does.
//!
//! Written by hand: `retina` plays and does not publish, and nothing else that is kept up does.

#[cfg(test)]
mod tests;
mod url;

use super::auth::Answerer;
use super::sdp::Presentation;
use super::server::Setup;
use super::transport::{Offered, Transport, parse_transports};
use super::wire::{Framer, Inbound, Query, WireError};
use crate::output::Output;
use bytes::Bytes;
use rtsp_types::{Response, StatusCode, headers};
use std::collections::VecDeque;
pub use url::{RtspUrl, RtspUrlError};

/// Credentials are tried again as often: a first answer may meet a nonce that has just grown old.
const TRIES: u8 = 2;

/// What the server said or sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// The stream may be sent now.
    Publishing,
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

/// The machine. Its first output is there at once; send it when the socket is connected.
#[derive(Debug)]
pub struct ClientSession {
    url: RtspUrl,
    presentation: Presentation,
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
    /// The track with this number.
    Setup(usize),
    Record,
    Running,
    /// Refused or ended.
    Over,
}

impl ClientSession {
    /// Publishes `presentation` at `url`. `seed` must be unpredictable: sources and client nonces are made of it.
    pub fn new(url: RtspUrl, presentation: Presentation, seed: u64) -> Self {
        let mut session = Self {
            url,
            presentation,
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

    /// What is published.
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

    /// Shows the server that the session is wanted, for times when nothing is sent (RFC 2326 §12.37).
    pub fn keep_alive(&mut self) {
        if self.step == Step::Running {
            self.request("OPTIONS", &self.url.text.clone(), Vec::new(), Vec::new());
        }
    }

    /// Ends the stream in good order. Send the output, then close.
    pub fn finish(&mut self) {
        if self.session.is_some() && self.step != Step::Over {
            self.request("TEARDOWN", &self.url.text.clone(), Vec::new(), Vec::new());
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
            Step::Setup(track) => {
                let control = self.presentation.media.get(track).map_or("", |media| &media.control);
                let at = format!("{}/{control}", url.trim_end_matches('/'));
                let (rtp, rtcp) = channels(track);
                let transport = format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp};mode=record");
                self.request("SETUP", &at, vec![("Transport", transport)], Vec::new());
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
            // What came is an answer to a sign of life.
            _ if self.step == Step::Running => {}
            StatusCode::Unauthorized if self.url.user.is_some() && self.tries < TRIES => {
                let challenges = response.headers().filter(|(name, _)| **name == headers::WWW_AUTHENTICATE);
                let challenges: Vec<&str> = challenges.map(|(_, value)| value.as_str()).collect();
                self.tries += 1;
                self.auth = Answerer::choose(&challenges, self.seed.rotate_left(u32::from(self.tries)));
                match self.auth {
                    Some(_) => self.ask(),
                    None => self.refused(response),
                }
            }
            // Servers without OPTIONS are asked for what is wanted all the same.
            _ if self.step == Step::Options => self.next(Step::Announce),
            status if !status.is_success() => self.refused(response),
            _ => self.granted(response),
        }
    }

    fn granted(&mut self, response: &Response<Vec<u8>>) {
        self.tries = 0;
        if let Some(session) = response.header(&headers::SESSION) {
            let id = session.as_str().split(';').next().unwrap_or_default().trim();
            self.session = Some(id.to_owned());
        }
        match self.step {
            Step::Announce => self.next(Step::Setup(0)),
            Step::Setup(track) => {
                // Servers may name other channels than they were offered.
                let named = response.header(&headers::TRANSPORT).map(|value| parse_transports(value.as_str()));
                let named = named.and_then(|ways| match ways.first() {
                    Some(Offered::Interleaved { channels }) => *channels,
                    _ => None,
                });
                let (rtp, rtcp) = named.unwrap_or_else(|| channels(track));
                // Another source for each track.
                let ssrc = (self.seed >> 16) as u32 ^ u32::from(rtp);
                let transport = Transport::Interleaved { rtp, rtcp };
                self.setups.push(Setup { media: track, transport, ssrc });
                let more = track + 1 < self.presentation.media.len();
                self.next(if more { Step::Setup(track + 1) } else { Step::Record });
            }
            Step::Record => {
                self.step = Step::Running;
                self.events.push_back(ClientEvent::Publishing);
            }
            Step::Options | Step::Running | Step::Over => {}
        }
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
        let of = |setup: &&Setup| matches!(setup.transport, Transport::Interleaved { rtcp, .. } if rtcp == channel);
        if let Some(setup) = self.setups.iter().find(of).filter(|_| self.step == Step::Running) {
            self.events.push_back(ClientEvent::Report { media: setup.media, bytes });
        }
    }
}

/// The channels that are offered for a track: the presentation has 16 at most.
fn channels(track: usize) -> (u8, u8) {
    let rtp = u8::try_from(track * 2).unwrap_or(u8::MAX - 1);
    (rtp, rtp + 1)
}
