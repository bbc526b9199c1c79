//! What many readers of one stream of 2 Mbit/s cost a server; and RTMP readers this relay beside nginx-rtmp, one after the other, the same
//! publisher, the same readers.
//!
//! Belongs here: the publisher, and what the servers use. Not here: the readers together (`crowd`), delay (`pass`).

use super::crowd::{Crowd, Member};
use super::figure::{Figure, Goal};
use super::machine::Tree;
use super::nginx::Nginx;
use super::{Bench, RTMP_ONLY};
use anyhow::{Result, anyhow, ensure};
use e2e::ffmpeg::ffmpeg;
use e2e::program::{Program, run};
use e2e::relay::Relay;
use proto::rtmp::{ClientConfig, ClientEvent, ClientSession, Purpose, RtmpUrl};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// Seconds of stream that are sent round and round.
const LOOP: u32 = 10;
/// After this long everybody has the last GOP, where a server hands it out, and is live.
const SETTLE: Duration = Duration::from_secs(2);
/// What the stream has by its name.
const MEGABITS: f64 = 2.0;

/// What one server used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Use {
    /// Percent of a core.
    pub(crate) cpu: f64,
    /// The same with publisher and readers: a server that leaves its packets to Nagle's algorithm has them sent, and paid, by
    /// whoever acknowledges.
    pub(crate) whole: f64,
    /// MB.
    pub(crate) memory: f64,
    /// Mbit/s that one reader got.
    pub(crate) each: f64,
}

/// The stream's sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Published by RTMP.
    Aac,
    /// Published by RTSP.
    Opus,
}

/// A stream, and somebody to read it.
pub(crate) struct Load<'a> {
    bench: &'a Bench,
    file: PathBuf,
    sound: Codec,
    runtime: Runtime,
}

impl<'a> Load<'a> {
    /// 720p of noise that has the bitrate in earnest, once, with this sound.
    ///
    /// # Errors
    /// Where ffmpeg does not make it.
    pub(crate) fn new(bench: &'a Bench, sound: Codec) -> Result<Self> {
        let (name, codec) = match sound {
            Codec::Aac => ("stream.flv", "aac"),
            Codec::Opus => ("stream.mkv", "libopus"),
        };
        let file = bench.dir.join(name);
        let mut make = ffmpeg();
        make.args(["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30"]);
        make.args(["-f", "lavfi", "-i", "sine=1000:sample_rate=48000"]);
        make.args(["-vf", "noise=alls=12:allf=t", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"]);
        make.args(["-pix_fmt", "yuv420p", "-g", "30", "-b:v", "1870k", "-maxrate", "1870k", "-bufsize", "1M"]);
        make.args(["-c:a", codec, "-b:a", "128k", "-t", &LOOP.to_string()]).arg(&file);
        run(&mut make)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { bench, file, sound, runtime })
    }

    /// Publishes at `url`, and measures the process `server` with crowds of so many, each in its turn, for `time`.
    ///
    /// # Errors
    /// Where publisher or readers do not get on with the server.
    pub(crate) fn measure<R>(
        &self,
        url: &str,
        server: u32,
        crowds: &[usize],
        time: Duration,
        read: impl Fn(usize, Member) -> Result<R>,
    ) -> Result<Vec<Use>>
    where
        R: Future<Output = Result<()>> + Send + 'static,
    {
        let mut push = ffmpeg();
        push.args(["-re", "-stream_loop", "-1", "-i"]).arg(&self.file).args(["-c", "copy"]);
        match self.sound {
            Codec::Aac => push.args(["-f", "flv", url]),
            Codec::Opus => push.args(["-f", "rtsp", "-rtsp_transport", "tcp", url]),
        };
        let _publisher = Program::start("publisher", &self.bench.dir, &mut push)?;
        let (tree, everybody) = (Tree::of(server), Tree::of(std::process::id()));
        let mut used = Vec::new();
        for &count in crowds {
            let crowd = Crowd::gather(&self.runtime, count, &read)?;
            // What a join brings at once is no part of what a reader costs.
            std::thread::sleep(SETTLE);
            let (before, begun) = (crowd.received(), Instant::now());
            let [cpu, whole] = Tree::cpu_of([&tree, &everybody], time)?;
            let bytes = crowd.received() - before;
            let each = bytes as f64 * 8.0 / 1e6 / begun.elapsed().as_secs_f64() / count as f64;
            ensure!(each > MEGABITS / 2.0, "{count} readers got {each:.2} Mbit/s each");
            used.push(Use { cpu, whole, memory: tree.memory()?, each });
        }
        Ok(used)
    }
}

/// CPU and memory by the number of RTMP readers.
pub(crate) fn rtmp(bench: &Bench, crowds: &[usize]) -> Result<Vec<Figure>> {
    let crowds = bench.effort.many(crowds, &[1, 20]);
    let seconds = bench.effort.seconds(15);
    let load = Load::new(bench, Codec::Aac)?;
    let measure = |url: &str, server: u32| {
        let parsed = RtmpUrl::parse(url).map_err(|e| anyhow!("{url}: {e}"))?;
        load.measure(url, server, crowds, seconds, |_, member| Ok(read(parsed.clone(), member)))
    };
    let relay = Relay::start(&bench.dir, RTMP_ONLY)?;
    let ours = measure(&relay.rtmp("bench")?, relay.program.id())?;
    relay.stop()?;
    let theirs = match Nginx::start(&bench.dir)? {
        Some(nginx) => measure(&nginx.url, nginx.program.id())?,
        None => Vec::new(),
    };
    let mut figures = Vec::new();
    for (n, (crowd, ours)) in crowds.iter().zip(&ours).enumerate() {
        let theirs = theirs.get(n).copied();
        let (cpu, whole, memory) = (theirs.map(|t| t.cpu), theirs.map(|t| t.whole), theirs.map(|t| t.memory));
        let readers = if *crowd == 1 { "1 RTMP reader".into() } else { format!("{crowd} RTMP readers") };
        let goal = |value| Goal::Beside(value, "nginx-rtmp");
        figures.push(Figure::one(format!("relay, {readers}: CPU"), Some(ours.cpu), "% of a core", goal(cpu)));
        let what = "… with publisher and readers";
        figures.push(Figure::one(what, Some(ours.whole), "% of a core", goal(whole)));
        figures.push(Figure::one(format!("relay, {readers}: memory (PSS)"), Some(ours.memory), "MB", goal(memory)));
        let got = format!("… received by each, here (nginx-rtmp: {:.2})", theirs.map_or(0.0, |t| t.each));
        figures.push(Figure::one(got, Some(ours.each), "Mbit/s", Goal::Report));
    }
    Ok(figures)
}

async fn read(url: RtmpUrl, mut member: Member) -> Result<()> {
    let mut stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
    let mut session = ClientSession::new(ClientConfig::new(url, Purpose::Play), 1);
    let (mut buffer, mut plays) = (vec![0; 64 << 10], false);
    loop {
        while !session.output().is_empty() {
            stream.write_buf(session.output()).await?;
        }
        let count = stream.read(&mut buffer).await?;
        ensure!(count > 0, "the server hung up");
        session.handle_input(&buffer[..count])?;
        while let Some(event) = session.poll_event() {
            plays |= matches!(event, ClientEvent::Media(_));
        }
        if plays {
            member.got(count);
        }
    }
}
