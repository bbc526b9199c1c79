//! The server against commands as clients of the wild send them, in their order and with their habits.

use super::super::chunk::{ChunkReader, ChunkWriter};
use super::super::message::{Command, Message, kind};
use super::*;
use ::media::amf0::Value;

/// A client made of single commands.
struct Raw {
    server: ServerSession,
    writer: ChunkWriter,
    reader: ChunkReader,
}

impl Raw {
    fn new() -> Self {
        let mut server = ServerSession::new(ServerConfig::default(), 1);
        let mut hello = vec![3];
        hello.resize(1 + 2 * HANDSHAKE_BLOCK, 0);
        server.handle_input(&hello).unwrap();
        assert_eq!(server.take_output().len(), 1 + 2 * HANDSHAKE_BLOCK);
        Self { server, writer: ChunkWriter::new(), reader: ChunkReader::new(0) }
    }

    fn connected(app: &str) -> Self {
        let mut raw = Self::new();
        raw.call(0, "connect", 1.0, vec![Value::object([("app", app.into())])]);
        raw.answers();
        raw
    }

    fn send(&mut self, stream: u32, kind: u8, timestamp: u32, body: &[u8]) {
        let mut out = Output::default();
        self.writer.write(&mut out, 3, kind, stream, timestamp, body, &Bytes::new());
        self.server.handle_input(&out.to_vec()).unwrap();
    }

    fn call(&mut self, stream: u32, name: &str, transaction: f64, values: Vec<Value>) {
        self.send(stream, kind::COMMAND, 0, &Command::new(name, transaction, values).encode());
    }

    /// Every message the server has sent, chunk sizes aside.
    fn answers(&mut self) -> Vec<(u32, Message)> {
        let bytes = self.server.take_output().to_vec();
        let mut input = &bytes[..];
        let mut all = Vec::new();
        while let Some(raw) = self.reader.read(&mut input).unwrap() {
            all.push((raw.stream, Message::parse(&raw).unwrap()));
        }
        all
    }

    /// Names of the answered commands, with transaction and code.
    fn named(&mut self) -> Vec<String> {
        let text = |c: &Command| {
            let code = c.values.iter().find_map(|v| v.get("code")?.as_str()).unwrap_or("");
            format!("{} {} {code}", c.name, c.transaction).trim_end().to_owned()
        };
        let answers = self.answers().into_iter();
        answers.filter_map(|(_, m)| if let Message::Command(c) = m { Some(text(&c)) } else { None }).collect()
    }

    fn events(&mut self) -> Vec<ServerEvent> {
        std::iter::from_fn(|| self.server.poll_event()).collect()
    }

    fn request(&mut self) -> (RequestId, String) {
        match self.events().pop() {
            Some(ServerEvent::Publish { request, target } | ServerEvent::Play { request, target }) => {
                (request, target.path)
            }
            other => panic!("a request, not {other:?}"),
        }
    }
}

fn name(name: &str) -> Vec<Value> {
    vec![Value::Null, name.into()]
}

#[test]
fn connect_is_answered_in_order() {
    let mut raw = Raw::new();
    let fourccs = Value::StrictArray(vec!["hvc1".into()]);
    let object = Value::object([
        ("app", "live?token=t".into()),
        ("tcUrl", "rtmp://h/live".into()),
        ("flashVer", "LNX 9,0,124,2".into()),
        ("fourCcList", fourccs),
    ]);
    raw.call(0, "connect", 1.0, vec![object]);
    let answers = raw.answers();
    assert_eq!(answers[0], (0, Message::WindowAckSize(2_500_000)));
    let limit = BandwidthLimit::Dynamic;
    assert_eq!(answers[1], (0, Message::SetPeerBandwidth { size: 2_500_000, limit }));
    let Message::Command(result) = &answers[2].1 else { panic!("a command, not {:?}", answers[2]) };
    assert_eq!((result.name.as_str(), result.transaction), ("_result", 1.0));
    let (properties, information) = (&result.values[0], &result.values[1]);
    assert_eq!(properties.get("fmsVer").and_then(Value::as_str), Some("FMS/3,5,7,7009"));
    assert_eq!(information.get("code").and_then(Value::as_str), Some("NetConnection.Connect.Success"));
    for object in [properties, information] {
        assert!(matches!(object.get("fourCcList"), Some(Value::StrictArray(list)) if list.len() == 6));
    }
    let events = raw.events();
    let [ServerEvent::Connected(connect)] = &events[..] else { panic!("{events:?}") };
    assert!(connect.caps.takes("hvc1") && connect.flash_ver.starts_with("LNX"));
    assert!(!format!("{connect:?}").contains("token"));
    assert_eq!(raw.server.peer(), Some(connect));
}

#[test]
fn plain_clients_hear_nothing_of_fourccs() {
    let mut raw = Raw::new();
    raw.call(0, "connect", 1.0, vec![Value::object([("app", "live".into())])]);
    assert!(!format!("{:?}", raw.answers()).contains("fourCc"));
}

#[test]
fn librtmp_publishes_with_one_element() {
    let mut raw = Raw::connected("patientStream");
    raw.call(0, "releaseStream", 2.0, name(""));
    raw.call(0, "FCPublish", 3.0, name(""));
    raw.call(0, "createStream", 4.0, vec![Value::Null]);
    let want = ["_result 2", "onFCPublish 0 NetStream.Publish.Start", "_result 3", "_result 4"];
    assert_eq!(raw.named(), want);
    raw.call(1, "publish", 5.0, vec![Value::Null, "".into(), "live".into()]);
    let (request, path) = raw.request();
    assert_eq!(path, "patientStream");
    raw.server.accept(request);
    let answers = raw.answers();
    assert_eq!(answers[0], (0, Message::UserControl(UserControl::StreamBegin(1))));
    assert!(matches!(&answers[1], (1, Message::Command(c)) if c.name == "onStatus"));
    raw.send(1, kind::VIDEO, 20, b"\x17\x00");
    raw.send(1, kind::VIDEO, 20, b"");
    raw.send(7, kind::AUDIO, 30, b"\xAF\x01");
    let want = [media(Kind::Video, 20, b"\x17\x00"), media(Kind::Audio, 30, b"\xAF\x01")];
    assert_eq!(raw.events(), want.map(ServerEvent::Media));
    raw.call(0, "FCUnpublish", 6.0, name(""));
    raw.call(0, "deleteStream", 7.0, vec![Value::Null, 1.0.into()]);
    assert_eq!(raw.events(), [ServerEvent::PublishFinished(request)], "once");
    assert_eq!(raw.named(), ["onFCUnpublish 0 NetStream.Unpublish.Success", "_result 6"]);
}

#[test]
fn liteav_plays() {
    let mut raw = Raw::connected("doctorStream?token=t");
    raw.call(0, "createStream", 2.0, vec![Value::Null]);
    raw.call(0, "FCSubscribe", 0.0, name("doctorStream?token=t"));
    raw.call(0, "_checkbw", 3.0, vec![Value::Null]);
    raw.call(0, "getStreamLength", 4.0, name("x"));
    raw.send(0, kind::USER_CONTROL, 0, &UserControl::SetBufferLength { stream: 1, millis: 1000 }.encode());
    assert_eq!(raw.named(), ["_result 2", "onFCSubscribe 0 NetStream.Play.Start", "_result 3", "_result 4"]);
    raw.call(1, "play", 0.0, vec![Value::Null, "".into(), (-2000.0).into()]);
    let (request, path) = raw.request();
    assert_eq!(path, "doctorStream");
    raw.server.accept(request);
    raw.server.send(Kind::Video, 0, &[0x17, 0], &Bytes::from_static(b"x"));
    let answers = raw.answers();
    let streams: Vec<u32> = answers.iter().map(|a| a.0).collect();
    assert_eq!(streams, [0, 1, 1, 1, 1]);
    assert_eq!(answers[0].1, Message::UserControl(UserControl::StreamBegin(1)));
    assert!(matches!(&answers[3].1, Message::Data(d) if d.starts_with(b"\x02\x00\x11|RtmpSampleAccess")));
    assert_eq!(answers[4].1, Message::Video(Bytes::from_static(b"\x17\x00x")));

    raw.call(1, "pause", 0.0, vec![Value::Null, true.into(), 0.0.into()]);
    raw.call(1, "pause", 0.0, vec![Value::Null, false.into(), 0.0.into()]);
    raw.call(1, "receiveAudio", 0.0, vec![Value::Null, false.into()]);
    raw.call(1, "seek", 0.0, vec![Value::Null, 1000.0.into()]);
    raw.call(1, "closeStream", 0.0, vec![Value::Null]);
    let want = [
        ServerEvent::Paused,
        ServerEvent::Resumed,
        ServerEvent::Wants { kind: Kind::Audio, wanted: false },
        ServerEvent::PlayFinished(request),
    ];
    assert_eq!(raw.events(), want);
    let codes = ["NetStream.Pause.Notify", "NetStream.Unpause.Notify", "NetStream.Seek.Notify"];
    assert_eq!(raw.named(), codes.map(|code| format!("onStatus 0 {code}")));
}

#[test]
fn one_connection_publishes_again() {
    let mut raw = Raw::connected("live");
    for round in 0..40 {
        raw.call(0, "createStream", 4.0, vec![Value::Null]);
        assert_eq!(raw.named(), ["_result 4"], "round {round}: deleted streams are free again");
        raw.call(1, "publish", 5.0, name("key"));
        let (request, _) = raw.request();
        raw.server.accept(request);
        raw.send(1, kind::AUDIO, round, b"a");
        assert_eq!(raw.events(), [ServerEvent::Media(media(Kind::Audio, round, b"a"))]);
        raw.call(0, "deleteStream", 0.0, vec![Value::Null, 1.0.into()]);
        assert_eq!(raw.events(), [ServerEvent::PublishFinished(request)]);
        raw.answers();
    }
}

#[test]
fn streams_are_counted_and_one_is_used() {
    let mut raw = Raw::connected("live");
    for _ in 0..32 {
        raw.call(0, "createStream", 4.0, vec![Value::Null]);
    }
    assert_eq!(raw.named()[30..], ["_result 4", "_error 4 NetConnection.Call.Failed"]);
    raw.call(1, "publish", 5.0, name("a"));
    let (first, _) = raw.request();
    raw.call(2, "publish", 6.0, name("b"));
    assert_eq!(raw.named(), ["onStatus 0 NetStream.Publish.BadName"]);
    assert_eq!(raw.events(), []);
    // The same stream again takes the first request back.
    raw.call(1, "publish", 7.0, name("c"));
    assert!(matches!(&raw.events()[..], [ServerEvent::PublishFinished(r), ServerEvent::Publish { .. }] if *r == first));
}

#[test]
fn media_before_the_answer_is_kept_and_bounded() {
    let mut raw = Raw::connected("live");
    raw.call(1, "publish", 5.0, name("a"));
    let (request, _) = raw.request();
    raw.send(1, kind::VIDEO, 0, b"early");
    raw.send(1, kind::DATA, 0, b"\x02\x00\x0D@setDataFrame\x02\x00\x0AonMetaData");
    assert_eq!(raw.events(), []);
    raw.server.accept(request);
    let want = [media(Kind::Video, 0, b"early"), media(Kind::Data, 0, b"\x02\x00\x0AonMetaData")];
    assert_eq!(raw.events(), want.map(ServerEvent::Media));

    raw.call(1, "publish", 6.0, name("b"));
    let mut out = Output::default();
    let picture = Bytes::from(vec![1; 900_000]);
    for n in 0..5 {
        raw.writer.write(&mut out, 6, kind::VIDEO, 1, n, &[], &picture);
    }
    let error = raw.server.handle_input(&out.to_vec()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Held(4 << 20));

    let mut raw = Raw::connected("live");
    let mut out = Output::default();
    raw.writer.write(&mut out, 6, kind::VIDEO, 1, 0, &[], &Bytes::from(vec![1; 2_000_000]));
    let error = raw.server.handle_input(&out.to_vec()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::MessageTooLong { length: 2_000_000, limit: 1 << 20 });
    assert!(error.offset > 3073, "{error}");
}

#[test]
fn unknown_and_misplaced_commands() {
    let mut raw = Raw::new();
    raw.call(0, "createStream", 1.0, vec![Value::Null]);
    assert_eq!(raw.named(), ["_error 1 NetConnection.Call.Failed"], "before connect");
    raw.call(0, "connect", 2.0, vec![Value::object([("app", "live".into())])]);
    raw.answers();
    raw.call(0, "makeCoffee", 3.0, vec![Value::Null]);
    raw.call(0, "makeCoffee", 0.0, vec![Value::Null]);
    raw.call(0, "onStatus", 4.0, vec![Value::Null]);
    raw.call(1, "pause", 5.0, vec![Value::Null, true.into()]);
    assert_eq!(raw.named(), ["_error 3 NetConnection.Call.Failed"]);
}

#[test]
fn aggregates_are_split() {
    let mut raw = Raw::connected("live");
    raw.call(1, "publish", 5.0, name("a"));
    let (request, _) = raw.request();
    raw.server.accept(request);
    let tag = |kind: u8, time: u8, body: u8| [kind, 0, 0, 1, 0, 0, time, 0, 0, 0, 0, body, 0, 0, 0, 12];
    raw.send(1, kind::AGGREGATE, 500, &[tag(9, 10, 1), tag(8, 30, 2)].concat());
    let want = [media(Kind::Video, 500, &[1]), media(Kind::Audio, 520, &[2])];
    assert_eq!(raw.events(), want.map(ServerEvent::Media));
}

#[test]
fn who_asks_without_reading_is_cut_off() {
    let mut raw = Raw::connected("live");
    let ping = UserControl::PingRequest(1).encode();
    let mut out = Output::default();
    for _ in 0..200_000 {
        raw.writer.write(&mut out, 2, kind::USER_CONTROL, 0, 0, &ping, &Bytes::new());
    }
    let bytes = out.to_vec();
    let error = raw.server.handle_input(&bytes).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unread(1 << 20));
    assert!(raw.server.pending_output_bytes() < (1 << 20) + 100);
}

#[test]
fn malformed_input_names_its_place() {
    let check = |bytes: &[u8], offset: u64| {
        let mut raw = Raw::connected("live");
        let before = raw.server.received();
        let error = raw.server.handle_input(bytes).unwrap_err();
        assert_eq!(error.offset - before, offset, "{error}");
    };
    check(&[0xC7], 0);
    check(&[0x05, 0, 0, 0, 0, 0, 3, 20, 0, 0, 0, 0, 2, 0, 9], 0);
    check(&[0x05, 0, 0, 0, 0, 0, 1, 8, 0, 0, 0, 0, 9, 0x05, 0, 0, 0, 0, 0, 2, 5, 0, 0, 0, 0, 1, 1], 13);
}
