//! ffmpeg over a real socket: its publisher into our server, and our client into its server.
//!
//! Pulling from our server is the relay's test, since it needs a stream that plays.

use super::*;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A hung ffmpeg fails the test instead of stopping it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ends the process with the test.
struct Ffmpeg(Child);

impl Ffmpeg {
    fn run(arguments: &[&str]) -> Self {
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "error", "-nostdin"]).args(arguments);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn();
        Self(child.expect("ffmpeg, which tests need"))
    }
}

impl Drop for Ffmpeg {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _waited = self.0.wait();
    }
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// One second of picture and sound.
const SOURCE: [&str; 22] = [
    "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25:duration=1", "-f", "lavfi", "-i", "sine=duration=1:sample_rate=48000",
    "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "10", "-c:a", "aac", "-b:a", "64k", "-shortest", "-y",
];

fn publishes(address: &str, path: &str, query: &[(&str, &str)], extra: &[&str]) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("rtmp://127.0.0.1:{}/{address}", listener.local_addr().unwrap().port());
    let _ffmpeg = Ffmpeg::run(&[&SOURCE[..], extra, &["-f", "flv", &address]].concat());
    let mut stream = accept(&listener);
    let mut session = ServerSession::new(ServerConfig::default(), 11);
    let (mut got, mut requested, mut finished) = (Vec::new(), None, false);
    let mut buffer = [0; 16 * 1024];
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            // It closes without reading our last answers, which a socket tells as a reset.
            Err(e) if e.kind() == ErrorKind::ConnectionReset => break,
            Err(e) => panic!("{address}: {e}"),
        };
        session.handle_input(&buffer[..count]).unwrap();
        while let Some(event) = session.poll_event() {
            match event {
                ServerEvent::Publish { request, target } => {
                    session.accept(request);
                    requested = Some(target);
                }
                ServerEvent::Media(media) => got.push(media),
                ServerEvent::PublishFinished(_) => finished = true,
                _ => {}
            }
        }
        // Once it has closed its end nobody hears the answers, but there may be more to read.
        let _heard = stream.write_all(&session.take_output().to_vec());
    }
    let target = requested.expect("a publish request");
    assert_eq!(target.path, path, "{address}");
    let pairs: Vec<_> = target.query.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(pairs, query, "{address}");
    assert!(finished, "{address}: it ends in good order");

    let of = |kind| got.iter().filter(move |m| m.kind == kind).collect::<Vec<_>>();
    let (video, audio, data) = (of(Kind::Video), of(Kind::Audio), of(Kind::Data));
    assert!(data[0].body.starts_with(b"\x02\x00\x0AonMetaData"), "metadata without @setDataFrame");
    assert_eq!(&video[0].body[..2], [0x17, 0], "AVC configuration first");
    assert_eq!(&audio[0].body[..2], [0xAF, 0], "AAC configuration first");
    let pictures: Vec<u32> = video.iter().filter(|m| m.body[1] == 1).map(|m| m.timestamp).collect();
    assert_eq!(pictures.len(), 25, "{address}");
    assert!(pictures.is_sorted(), "{pictures:?}");
    assert!(audio.len() > 40, "{} sound frames", audio.len());
}

#[test]
fn ffmpeg_publishes_with_one_element() {
    publishes("patientStream", "patientStream", &[], &[]);
    publishes("patientStream?token=t.1-2_3", "patientStream", &[("token", "t.1-2_3")], &[]);
}

#[test]
fn ffmpeg_publishes_with_more_elements() {
    publishes("live/key", "live/key", &[], &[]);
    publishes("live/key?user=u&pass=p", "live/key", &[("user", "u"), ("pass", "p")], &[]);
    publishes("a/b/c/d", "a/b/c/d", &[], &[]);
    // A clock that starts beyond 24 bits: extended timestamps in every full header.
    publishes("live/late", "live/late", &[], &["-output_ts_offset", "20000"]);
}

#[test]
fn ffmpeg_understands_a_refusal() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("rtmp://127.0.0.1:{}/live/key", listener.local_addr().unwrap().port());
    let mut ffmpeg = Ffmpeg::run(&[&SOURCE[..], &["-loglevel", "quiet", "-f", "flv", &address]].concat());
    let mut stream = accept(&listener);
    let mut session = ServerSession::new(ServerConfig::default(), 11);
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        session.handle_input(&buffer[..count]).unwrap();
        while let Some(event) = session.poll_event() {
            if let ServerEvent::Publish { request, .. } = event {
                session.reject(request, Reason::Denied, "wrong token");
            }
            assert!(!matches!(event, ServerEvent::Media(_)), "nothing is sent to who refused");
        }
        if stream.write_all(&session.take_output().to_vec()).is_err() {
            break;
        }
    }
    assert!(!ffmpeg.0.wait().unwrap().success());
}
