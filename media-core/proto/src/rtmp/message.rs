//! What messages mean: protocol control, user control, commands, aggregates (§5.4, §7.1).
//!
//! Belongs here: bodies to values and back. Not here: which commands are answered how (`server`, `client`).

use super::chunk::RawMessage;
use super::error::ErrorKind;
use bytes::Bytes;
use media::amf0::{self, Value};

/// Message type ids.
pub mod kind {
    /// Set Chunk Size.
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// Abort Message.
    pub const ABORT: u8 = 2;
    /// Acknowledgement.
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// User Control.
    pub const USER_CONTROL: u8 = 4;
    /// Window Acknowledgement Size.
    pub const WINDOW_ACK_SIZE: u8 = 5;
    /// Set Peer Bandwidth.
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    /// Audio.
    pub const AUDIO: u8 = 8;
    /// Video.
    pub const VIDEO: u8 = 9;
    /// Data under AMF3: one more byte in front, then usually AMF0 all the same.
    pub const DATA_AMF3: u8 = 15;
    /// Command under AMF3: likewise.
    pub const COMMAND_AMF3: u8 = 17;
    /// Data.
    pub const DATA: u8 = 18;
    /// Command.
    pub const COMMAND: u8 = 20;
    /// Aggregate.
    pub const AGGREGATE: u8 = 22;
}

/// What Flash Media Live Encoder puts before metadata: "keep this for those who join later".
const SET_DATA_FRAME: &[u8] = b"\x02\x00\x0D@setDataFrame";

/// Parts of one aggregate message; with the shortest parts 16 MiB would otherwise hold a million.
const MAX_PARTS: usize = 4096;

/// A message with its meaning.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Bytes the peer has received, modulo 2³².
    Acknowledgement(u32),
    /// The peer wants an acknowledgement every so many bytes.
    WindowAckSize(u32),
    /// The peer limits what may be unacknowledged.
    SetPeerBandwidth {
        /// Bytes.
        size: u32,
        /// How it combines with limits before.
        limit: BandwidthLimit,
    },
    /// User control.
    UserControl(UserControl),
    /// Audio tag body.
    Audio(Bytes),
    /// Video tag body.
    Video(Bytes),
    /// Script tag body, without `@setDataFrame`.
    Data(Bytes),
    /// A command.
    Command(Command),
    /// Several audio, video and data messages in one.
    Aggregate,
    /// A type nobody needs here: shared objects, and what is not assigned.
    Other,
}

/// How a Set Peer Bandwidth limit combines with those before (§5.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BandwidthLimit {
    /// 0.
    Hard,
    /// 1.
    Soft,
    /// 2, and what is not assigned.
    Dynamic,
}

/// User control events (§7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserControl {
    /// 0: the message stream can be used.
    StreamBegin(u32),
    /// 1: playback on the message stream is over.
    StreamEof(u32),
    /// 2: nothing more for now.
    StreamDry(u32),
    /// 3: the client's buffer.
    SetBufferLength {
        /// Message stream.
        stream: u32,
        /// Milliseconds.
        millis: u32,
    },
    /// 4: the stream is a recording.
    StreamIsRecorded(u32),
    /// 6: to be echoed in a response.
    PingRequest(u32),
    /// 7: the echo.
    PingResponse(u32),
    /// Anything else, such as SWF verification or buffer empty and ready (31, 32).
    Other(u16),
}

/// A command message (§7.2): a call with a transaction id, an answer, or a notice.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Name, such as `connect`, `_result`, `onStatus`.
    pub name: String,
    /// Pairs a call with its answer; 0 for calls that want none.
    pub transaction: f64,
    /// The command object first (often null), then the arguments.
    pub values: Vec<Value>,
}

impl Message {
    /// Reads the meaning of `raw`.
    ///
    /// # Errors
    /// Fields that are missing, AMF0 that does not parse.
    pub fn parse(raw: &RawMessage) -> Result<Self, ErrorKind> {
        let body = &raw.body;
        let short = || ErrorKind::Control { kind: raw.kind, length: body.len() };
        let field = || be_at(body, 0).ok_or_else(short);
        Ok(match raw.kind {
            kind::ACKNOWLEDGEMENT => Self::Acknowledgement(field()?),
            kind::WINDOW_ACK_SIZE => Self::WindowAckSize(field()?),
            kind::SET_PEER_BANDWIDTH => {
                let limit = match body.get(4).ok_or_else(short)? {
                    0 => BandwidthLimit::Hard,
                    1 => BandwidthLimit::Soft,
                    _ => BandwidthLimit::Dynamic,
                };
                Self::SetPeerBandwidth { size: field()?, limit }
            }
            kind::USER_CONTROL => Self::UserControl(UserControl::parse(body)?),
            kind::AUDIO => Self::Audio(body.clone()),
            kind::VIDEO => Self::Video(body.clone()),
            kind::DATA => Self::Data(without_set_data_frame(body.clone())),
            kind::DATA_AMF3 => Self::Data(without_set_data_frame(without_amf3_byte(body))),
            kind::COMMAND => Self::Command(Command::parse(body)?),
            kind::COMMAND_AMF3 => Self::Command(Command::parse(&without_amf3_byte(body))?),
            kind::AGGREGATE => Self::Aggregate,
            _ => Self::Other,
        })
    }
}

impl UserControl {
    fn parse(body: &[u8]) -> Result<Self, ErrorKind> {
        let short = ErrorKind::Control { kind: kind::USER_CONTROL, length: body.len() };
        let Some((&[high, low], rest)) = body.split_first_chunk::<2>() else { return Err(short) };
        let event = u16::from_be_bytes([high, low]);
        let field = |at| be_at(rest, at).ok_or(ErrorKind::UserControl { event, length: rest.len() });
        Ok(match event {
            0 => Self::StreamBegin(field(0)?),
            1 => Self::StreamEof(field(0)?),
            2 => Self::StreamDry(field(0)?),
            3 => Self::SetBufferLength { stream: field(0)?, millis: field(4)? },
            4 => Self::StreamIsRecorded(field(0)?),
            6 => Self::PingRequest(field(0)?),
            7 => Self::PingResponse(field(0)?),
            other => Self::Other(other),
        })
    }

    /// The body of the message; of [`Self::Other`] only the event type.
    pub fn encode(self) -> Vec<u8> {
        let (event, first, second) = match self {
            Self::StreamBegin(stream) => (0_u16, Some(stream), None),
            Self::StreamEof(stream) => (1, Some(stream), None),
            Self::StreamDry(stream) => (2, Some(stream), None),
            Self::SetBufferLength { stream, millis } => (3, Some(stream), Some(millis)),
            Self::StreamIsRecorded(stream) => (4, Some(stream), None),
            Self::PingRequest(stamp) => (6, Some(stamp), None),
            Self::PingResponse(stamp) => (7, Some(stamp), None),
            Self::Other(event) => (event, None, None),
        };
        let mut body = event.to_be_bytes().to_vec();
        for field in [first, second].into_iter().flatten() {
            body.extend_from_slice(&field.to_be_bytes());
        }
        body
    }
}

impl Command {
    /// A command of `name` with the command object and arguments in `values`.
    pub fn new(name: impl Into<String>, transaction: f64, values: Vec<Value>) -> Self {
        Self { name: name.into(), transaction, values }
    }

    /// Reads the body. Behind the transaction id an AMF3 value, which only Flash sends, ends the reading.
    fn parse(mut body: &[u8]) -> Result<Self, ErrorKind> {
        let Value::String(name) = amf0::decode(&mut body)? else { return Err(ErrorKind::Command) };
        // A few encoders leave the id out of notices.
        let transaction = match body.first() {
            None => 0.0,
            Some(_) => amf0::decode(&mut body)?.as_f64().ok_or(ErrorKind::Command)?,
        };
        let mut values = Vec::new();
        while !body.is_empty() && values.len() < MAX_ARGUMENTS {
            match amf0::decode(&mut body) {
                Ok(value) => values.push(value),
                Err(amf0::Error::Marker { marker: AMF3_MARKER, .. }) => break,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(Self { name, transaction, values })
    }

    /// The body of the message.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        amf0::encode(&mut body, &self.name.as_str().into());
        amf0::encode(&mut body, &self.transaction.into());
        for value in &self.values {
            amf0::encode(&mut body, value);
        }
        body
    }

    /// The value at `index` (0 is the command object) as text; empty where it is none.
    pub fn text(&self, index: usize) -> &str {
        self.values.get(index).and_then(Value::as_str).unwrap_or("")
    }
}

/// No command has more than seven arguments; each of these can hold 4096 members.
const MAX_ARGUMENTS: usize = 16;

/// avmplus-object-marker: AMF3 follows.
const AMF3_MARKER: u8 = 17;

/// The audio, video and data messages in an aggregate; others are skipped, as are empty ones.
///
/// # Errors
/// [`ErrorKind::Aggregate`] with the offset in the body where its parts do not fit.
pub(super) fn aggregate_parts(raw: &RawMessage) -> Result<Vec<RawMessage>, ErrorKind> {
    let mut parts = Vec::new();
    let mut at = 0;
    let mut first = None;
    while at < raw.body.len() {
        let broken = ErrorKind::Aggregate(at);
        // An FLV tag: type 1, size 3, time 3 + 1, stream 3, body, back pointer 4 (which the last part may lack).
        let Some(&[kind, s0, s1, s2, t0, t1, t2, t3, ..]) = raw.body.get(at..at + 11) else { return Err(broken) };
        let size = usize::try_from(u32::from_be_bytes([0, s0, s1, s2])).unwrap_or(usize::MAX);
        let start = at + 11;
        let Some(end) = start.checked_add(size).filter(|&end| end <= raw.body.len()) else { return Err(broken) };
        let time = u32::from_be_bytes([t3, t0, t1, t2]);
        // §7.1.6: the first part's time is moved onto the aggregate's own, the others move with it.
        let first = *first.get_or_insert(time);
        if matches!(kind, kind::AUDIO | kind::VIDEO | kind::DATA) && size > 0 {
            if parts.len() >= MAX_PARTS {
                return Err(broken);
            }
            parts.push(RawMessage {
                kind,
                stream: raw.stream,
                timestamp: raw.timestamp.wrapping_add(time.wrapping_sub(first)),
                body: raw.body.slice(start..end),
                offset: raw.offset,
            });
        }
        at = end + 4;
    }
    Ok(parts)
}

/// `@setDataFrame` in front of a script tag body, as a publisher sends it.
pub(super) fn with_set_data_frame(head: &[u8]) -> Vec<u8> {
    [SET_DATA_FRAME, head].concat()
}

fn without_set_data_frame(body: Bytes) -> Bytes {
    if body.starts_with(SET_DATA_FRAME) { body.slice(SET_DATA_FRAME.len()..) } else { body }
}

/// AMF3 messages begin with a format byte 0, behind which AMF0 follows.
fn without_amf3_byte(body: &Bytes) -> Bytes {
    if body.first() == Some(&0) { body.slice(1..) } else { body.clone() }
}

fn be_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|b| u32::from_be_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(kind: u8, body: &[u8]) -> RawMessage {
        RawMessage { kind, stream: 1, timestamp: 1000, body: Bytes::copy_from_slice(body), offset: 0 }
    }

    #[test]
    fn control_messages() {
        let check = |kind: u8, body: &[u8], want: Result<Message, ErrorKind>| {
            assert_eq!(Message::parse(&raw(kind, body)), want, "type {kind} {body:02x?}");
        };
        check(kind::ACKNOWLEDGEMENT, &[0, 0, 1, 0], Ok(Message::Acknowledgement(256)));
        check(kind::ACKNOWLEDGEMENT, &[0, 0, 1], Err(ErrorKind::Control { kind: 3, length: 3 }));
        check(kind::WINDOW_ACK_SIZE, &[0, 0, 0, 9, 7], Ok(Message::WindowAckSize(9)));
        let limit = BandwidthLimit::Dynamic;
        check(kind::SET_PEER_BANDWIDTH, &[0, 0, 0, 9, 2], Ok(Message::SetPeerBandwidth { size: 9, limit }));
        check(kind::SET_PEER_BANDWIDTH, &[0, 0, 0, 9], Err(ErrorKind::Control { kind: 6, length: 4 }));
        check(kind::USER_CONTROL, &[0], Err(ErrorKind::Control { kind: 4, length: 1 }));
        check(kind::USER_CONTROL, &[0, 3, 0, 0, 0, 1], Err(ErrorKind::UserControl { event: 3, length: 4 }));
        check(kind::USER_CONTROL, &[0, 31], Ok(Message::UserControl(UserControl::Other(31))));
        check(16, &[1, 2, 3], Ok(Message::Other));
    }

    #[test]
    fn user_control_reads_back() {
        for event in [
            UserControl::StreamBegin(1),
            UserControl::StreamEof(2),
            UserControl::StreamDry(3),
            UserControl::SetBufferLength { stream: 1, millis: 3000 },
            UserControl::StreamIsRecorded(1),
            UserControl::PingRequest(77),
            UserControl::PingResponse(u32::MAX),
            UserControl::Other(32),
        ] {
            let message = raw(kind::USER_CONTROL, &event.encode());
            assert_eq!(Message::parse(&message), Ok(Message::UserControl(event)));
        }
    }

    #[test]
    fn commands() {
        let command = Command::new("play", 4.0, vec![Value::Null, "a".into(), (-2000.0).into()]);
        let body = command.encode();
        assert_eq!(Message::parse(&raw(kind::COMMAND, &body)), Ok(Message::Command(command.clone())));
        let amf3 = [&[0], &body[..]].concat();
        assert_eq!(Message::parse(&raw(kind::COMMAND_AMF3, &amf3)), Ok(Message::Command(command.clone())));
        let with_amf3_value = [&amf3[..], &[17, 1]].concat();
        assert_eq!(Message::parse(&raw(kind::COMMAND_AMF3, &with_amf3_value)), Ok(Message::Command(command)));
        assert_eq!(Message::parse(&raw(kind::COMMAND, &[5])), Err(ErrorKind::Command));
        assert!(matches!(Message::parse(&raw(kind::COMMAND, &[2, 0, 9, b'a'])), Err(ErrorKind::Amf(_))));
        assert!(matches!(Message::parse(&raw(kind::COMMAND, &[])), Err(ErrorKind::Amf(_))));
    }

    #[test]
    fn metadata_loses_its_set_data_frame() {
        let mut body = with_set_data_frame(b"\x02\x00\x0AonMetaData");
        assert_eq!(Message::parse(&raw(kind::DATA, &body)), Ok(Message::Data(Bytes::from("\x02\0\x0AonMetaData"))));
        body.insert(0, 0);
        assert_eq!(
            Message::parse(&raw(kind::DATA_AMF3, &body)),
            Ok(Message::Data(Bytes::from("\x02\0\x0AonMetaData")))
        );
    }

    fn part(kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
        let [t3, t0, t1, t2] = time.to_be_bytes();
        let mut tag = vec![kind, 0, 0, body.len() as u8, t0, t1, t2, t3, 0, 0, 0];
        tag.extend(body);
        tag.extend((11 + body.len() as u32).to_be_bytes());
        tag
    }

    #[test]
    fn aggregates() {
        let body = [part(9, 5000, b"v"), part(8, 5020, b"a"), part(8, 5030, b""), part(4, 0, b"x")].concat();
        let parts = aggregate_parts(&raw(kind::AGGREGATE, &body)).unwrap();
        let got: Vec<_> = parts.iter().map(|p| (p.kind, p.timestamp, &p.body[..], p.stream)).collect();
        assert_eq!(got, [(9, 1000, &b"v"[..], 1), (8, 1020, &b"a"[..], 1)]);
        let short = &body[..body.len() - 5];
        assert_eq!(aggregate_parts(&raw(kind::AGGREGATE, short)), Err(ErrorKind::Aggregate(47)));
        let no_last_pointer = &body[..body.len() - 4];
        assert_eq!(aggregate_parts(&raw(kind::AGGREGATE, no_last_pointer)).map(|p| p.len()), Ok(2));
    }
}
