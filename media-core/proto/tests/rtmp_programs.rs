//! Programs of others over real sockets: ffmpeg with its own RTMP, and curl with librtmp, which is also what OBS and
//! WeChat's LiteAV are made of.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the rim of these machines, in tests alone"
)]

use proto::rtmp::{
    ClientConfig, ClientEvent, ClientSession, Kind, Media, Purpose, Reason, RtmpUrl, ServerConfig, ServerEvent,
    ServerSession, StreamEnd, Target,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A program that hangs fails the test instead of stopping it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ends the process with the test.
struct Program(Child);

impl Program {
    fn run(name: &str, arguments: &[&str], input: Stdio, output: Stdio) -> Self {
        let child = Command::new(name).args(arguments).stdin(input).stdout(output).stderr(Stdio::inherit()).spawn();
        Self(child.unwrap_or_else(|e| panic!("{name}, which tests need: {e}")))
    }

    fn ffmpeg(arguments: &[&str], output: Stdio) -> Self {
        let quiet = ["-hide_banner", "-loglevel", "error", "-nostdin"];
        Self::run("ffmpeg", &[&quiet[..], arguments].concat(), Stdio::null(), output)
    }

    fn output(mut self) -> Vec<u8> {
        let mut all = Vec::new();
        self.0.stdout.take().expect("a piped output").read_to_end(&mut all).unwrap();
        all
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// One second of picture and sound.
const SOURCE: [&str; 21] = [
    "-f",
    "lavfi",
    "-i",
    "testsrc=size=320x240:rate=25:duration=1",
    "-f",
    "lavfi",
    "-i",
    "sine=duration=1:sample_rate=48000",
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-pix_fmt",
    "yuv420p",
    "-g",
    "10",
    "-c:a",
    "aac",
    "-b:a",
    "64k",
    "-shortest",
];
const PICTURES: usize = 25;

/// What one connection came to.
#[derive(Default)]
struct Served {
    target: Target,
    got: Vec<Media>,
    finished: bool,
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("rtmp://127.0.0.1:{}", listener.local_addr().unwrap().port());
    (listener, address)
}

/// Asks every millisecond, as long as patience lasts.
fn wait_for<T>(what: &str, mut condition: impl FnMut() -> std::io::Result<T>) -> T {
    let started = Instant::now();
    loop {
        match condition() {
            Ok(value) => return value,
            Err(e) if started.elapsed() > PATIENCE => panic!("waited for {what}: {e}"),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let (socket, _) = wait_for("a connection", || listener.accept());
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Serves one connection: takes what is published, or plays `stream` and ends it.
fn serve(listener: &TcpListener, stream: &[Media]) -> Served {
    let mut socket = accept(listener);
    let mut session = ServerSession::new(ServerConfig::default(), 11);
    let (mut served, mut played) = (Served::default(), false);
    let mut buffer = [0; 16 * 1024];
    loop {
        let count = match socket.read(&mut buffer) {
            Ok(0) => return served,
            Ok(count) => count,
            // Some close without reading our last answers, which a socket tells as a reset.
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return served,
            Err(e) => panic!("{e}"),
        };
        session.handle_input(&buffer[..count]).unwrap();
        while let Some(event) = session.poll_event() {
            match event {
                ServerEvent::Publish { request, target } => {
                    session.accept(request);
                    served.target = target;
                }
                ServerEvent::Play { request, target } => {
                    session.accept(request);
                    served.target = target;
                    for m in stream {
                        session.send(m.kind, m.timestamp, &m.body[..1], &m.body.slice(1..));
                    }
                    session.finish(StreamEnd::Stopped, "the end");
                    played = true;
                }
                ServerEvent::Media(media) => served.got.push(media),
                ServerEvent::PublishFinished(_) => served.finished = true,
                _ => {}
            }
        }
        // Once they have closed their end nobody hears the answers, but there may be more to read.
        let _heard = socket.write_all(&session.take_output().to_vec());
        if played {
            // curl goes on reading until the connection ends; closing outright could destroy what it has not read yet.
            let _gone = socket.shutdown(std::net::Shutdown::Write);
        }
    }
}

/// Is it the second of [`SOURCE`], in good order?
fn check_stream(name: &str, got: &[Media]) {
    let of = |kind| got.iter().filter(move |m| m.kind == kind).collect::<Vec<_>>();
    let (video, audio, data) = (of(Kind::Video), of(Kind::Audio), of(Kind::Data));
    assert!(data[0].body.starts_with(b"\x02\x00\x0AonMetaData"), "{name}: metadata without @setDataFrame");
    assert_eq!(&video[0].body[..2], [0x17, 0], "{name}: AVC configuration first");
    assert_eq!(&audio[0].body[..2], [0xAF, 0], "{name}: AAC configuration first");
    let pictures: Vec<u32> = video.iter().filter(|m| m.body[1] == 1).map(|m| m.timestamp).collect();
    assert_eq!(pictures.len(), PICTURES, "{name}");
    assert!(pictures.is_sorted(), "{name}: {pictures:?}");
    assert!(audio.len() > 40, "{name}: {} sound frames", audio.len());
}

fn check_target(target: &Target, path: &str, query: &[(&str, &str)]) {
    let pairs: Vec<_> = target.query.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!((target.path.as_str(), &pairs[..]), (path, query));
}

fn ffmpeg_publishes(url: &str, path: &str, query: &[(&str, &str)], extra: &[&str]) -> Vec<Media> {
    let (listener, address) = listener();
    let address = format!("{address}/{url}");
    let _ffmpeg = Program::ffmpeg(&[&SOURCE[..], extra, &["-f", "flv", &address]].concat(), Stdio::null());
    let served = serve(&listener, &[]);
    check_target(&served.target, path, query);
    assert!(served.finished, "{url}: it ends in good order");
    check_stream(url, &served.got);
    served.got
}

/// A stream as ffmpeg publishes it, for those who play.
fn recorded() -> &'static [Media] {
    static RECORDED: OnceLock<Vec<Media>> = OnceLock::new();
    RECORDED.get_or_init(|| ffmpeg_publishes("live/key", "live/key", &[], &[]))
}

#[test]
fn ffmpeg_publishes_with_one_element() {
    ffmpeg_publishes("patientStream", "patientStream", &[], &[]);
    ffmpeg_publishes("patientStream?token=t.1-2_3", "patientStream", &[("token", "t.1-2_3")], &[]);
}

#[test]
fn ffmpeg_publishes_with_more_elements() {
    ffmpeg_publishes("live/key?user=u&pass=p", "live/key", &[("user", "u"), ("pass", "p")], &[]);
    ffmpeg_publishes("a/b/c/d", "a/b/c/d", &[], &[]);
    // A clock beyond 24 bits: extended timestamps.
    ffmpeg_publishes("live/late", "live/late", &[], &["-output_ts_offset", "20000"]);
}

#[test]
fn ffmpeg_understands_a_refusal() {
    let (listener, address) = listener();
    let address = format!("{address}/live/key");
    let arguments = [&SOURCE[..], &["-loglevel", "quiet", "-f", "flv", &address]].concat();
    let mut ffmpeg = Program::ffmpeg(&arguments, Stdio::null());
    let mut socket = accept(&listener);
    let mut session = ServerSession::new(ServerConfig::default(), 11);
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = socket.read(&mut buffer) {
        session.handle_input(&buffer[..count]).unwrap();
        while let Some(event) = session.poll_event() {
            if let ServerEvent::Publish { request, .. } = event {
                session.reject(request, Reason::Denied, "wrong token");
            }
            assert!(!matches!(event, ServerEvent::Media(_)), "nothing comes from who was refused");
        }
        if socket.write_all(&session.take_output().to_vec()).is_err() {
            break;
        }
    }
    assert!(!ffmpeg.0.wait().unwrap().success());
}

#[test]
fn ffmpeg_plays() {
    for (url, path) in [("doctorStream", "doctorStream"), ("live/key", "live/key")] {
        let (listener, address) = listener();
        let address = format!("{address}/{url}");
        let stream = recorded();
        let arguments = ["-i", &address, "-c", "copy", "-f", "framecrc", "-"];
        let ffmpeg = Program::ffmpeg(&arguments, Stdio::piped());
        let server = std::thread::Builder::new()
            .name("server under test".into())
            .spawn(move || serve(&listener, stream))
            .unwrap();
        let text = String::from_utf8(ffmpeg.output()).unwrap();
        let lines = |stream: &str| text.lines().filter(|l| l.starts_with(stream)).count();
        assert_eq!(lines("0,"), PICTURES, "{url}\n{text}");
        assert!(lines("1,") > 40, "{url}\n{text}");
        assert_eq!(server.join().unwrap().target.path, path);
    }
}

/// ffmpeg listens as a server for one publisher.
#[test]
fn our_client_publishes_to_ffmpeg() {
    let stream = recorded();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("rtmp://127.0.0.1:{port}/live/key");
    let arguments = ["-listen", "1", "-i", &address, "-c", "copy", "-f", "framecrc", "-"];
    let ffmpeg = Program::ffmpeg(&arguments, Stdio::piped());
    // It takes a moment until ffmpeg listens, and it cannot tell us when.
    let mut socket = wait_for("ffmpeg to listen", || TcpStream::connect(("127.0.0.1", port)));
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = ClientSession::new(ClientConfig::new(RtmpUrl::parse(&address).unwrap(), Purpose::Publish), 5);
    let mut buffer = [0; 4096];
    let mut published = false;
    while !published {
        socket.write_all(&client.take_output().to_vec()).unwrap();
        let count = socket.read(&mut buffer).unwrap();
        assert!(count > 0, "ffmpeg stays");
        client.handle_input(&buffer[..count]).unwrap();
        while let Some(event) = client.poll_event() {
            assert!(!matches!(event, ClientEvent::Refused { .. }), "{event:?}");
            published |= event == ClientEvent::Publishing;
        }
    }
    for m in stream {
        client.send(m.kind, m.timestamp, &m.body[..1], &m.body.slice(1..));
    }
    client.finish();
    socket.write_all(&client.take_output().to_vec()).unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let text = String::from_utf8(ffmpeg.output()).unwrap();
    let lines = |stream: &str| text.lines().filter(|l| l.starts_with(stream)).count();
    assert_eq!(lines("0,"), PICTURES, "{text}");
}

#[test]
fn librtmp_publishes() {
    let check = |url: &str, path: &str, query: &[(&str, &str)]| {
        let (listener, address) = listener();
        let address = format!("{address}/{url}");
        let mut ffmpeg = Program::ffmpeg(&[&SOURCE[..], &["-f", "flv", "-"]].concat(), Stdio::piped());
        let flv = ffmpeg.0.stdout.take().unwrap();
        let _curl = Program::run("curl", &["-sS", "-T", "-", &address], flv.into(), Stdio::null());
        let served = serve(&listener, &[]);
        check_target(&served.target, path, query);
        check_stream(url, &served.got);
    };
    check("live/key?token=t", "live/key", &[("token", "t")]);
    check("patientStream/", "patientStream", &[]);
}

#[test]
fn librtmp_plays() {
    let check = |url: &str, path: &str| {
        let (listener, address) = listener();
        let address = format!("{address}/{url}");
        let stream = recorded();
        let curl = Program::run("curl", &["-sS", "-m", "20", &address], Stdio::null(), Stdio::piped());
        let server = std::thread::Builder::new()
            .name("server under test".into())
            .spawn(move || serve(&listener, stream))
            .unwrap();
        let flv = curl.output();
        assert_eq!(server.join().unwrap().target.path, path);
        // librtmp drops video messages of five bytes, such as the end of sequence.
        let pictures = stream.iter().filter(|m| m.kind == Kind::Video && m.body.len() > 5);
        assert!(flv.starts_with(b"FLV\x01"), "{url}: {} bytes", flv.len());
        for picture in pictures {
            assert!(flv.windows(picture.body.len()).any(|w| w == &picture.body[..]), "{url}: every picture is there");
        }
    };
    check("live/key", "live/key");
    check("doctorStream/", "doctorStream");
}
