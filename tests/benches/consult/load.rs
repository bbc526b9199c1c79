//! What many RTMP readers of one stream of 2 Mbit/s cost: this relay and nginx-rtmp, one after the other, the same publisher, the
//! same readers.
//!
//! Belongs here: the publisher, the crowd, and what the servers use. Not here: delay (`hop`).

use crate::Bench;
use crate::figure::{Figure, Goal};
use crate::hop::RTMP_ONLY;
use crate::machine::Tree;
use crate::nginx::Nginx;
use anyhow::{Context, Result, anyhow, ensure};
use e2e::ffmpeg::ffmpeg;
use e2e::program::{Program, run};
use e2e::relay::Relay;
use e2e::wait::wait_for;
use proto::rtmp::{ClientConfig, ClientSession, Purpose, RtmpUrl};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
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
struct Use {
    /// Percent of a core.
    cpu: f64,
    /// The same with publisher and readers: a server that leaves its packets to Nagle's algorithm has them sent, and paid, by
    /// whoever acknowledges.
    whole: f64,
    /// MB.
    memory: f64,
    /// Mbit/s that one reader got.
    each: f64,
}

/// CPU and memory by the number of readers.
pub(crate) fn load(bench: &Bench) -> Result<Vec<Figure>> {
    let crowds: &[usize] = if bench.effort.runs() > 2 { &[1, 100, 400] } else { &[1, 20] };
    let seconds = bench.effort.seconds(15);
    let file = bench.dir.join("stream.flv");
    stream(&file)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let relay = Relay::start(&bench.dir, RTMP_ONLY)?;
    let ours = measure(bench, &runtime, &file, &relay.rtmp("bench")?, relay.program.id(), crowds, seconds)?;
    relay.stop()?;
    let theirs = match Nginx::start(&bench.dir)? {
        Some(nginx) => measure(bench, &runtime, &file, &nginx.url, nginx.program.id(), crowds, seconds)?,
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

/// 720p of noise that has the bitrate in earnest, once.
fn stream(file: &Path) -> Result<()> {
    let mut make = ffmpeg();
    make.args([
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=1280x720:rate=30",
        "-f",
        "lavfi",
        "-i",
        "sine=1000:sample_rate=48000",
    ]);
    make.args(["-vf", "noise=alls=12:allf=t", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"]);
    make.args(["-pix_fmt", "yuv420p", "-g", "30", "-b:v", "1870k", "-maxrate", "1870k", "-bufsize", "1M"]);
    make.args(["-c:a", "aac", "-b:a", "128k", "-t", &LOOP.to_string(), "-f", "flv"]).arg(file);
    run(&mut make).map(drop)
}

fn measure(
    bench: &Bench,
    runtime: &Runtime,
    file: &Path,
    url: &str,
    server: u32,
    crowds: &[usize],
    seconds: Duration,
) -> Result<Vec<Use>> {
    let mut push = ffmpeg();
    push.args(["-re", "-stream_loop", "-1", "-i"]).arg(file).args(["-c", "copy", "-f", "flv", url]);
    let _publisher = Program::start("publisher", &bench.dir, &mut push)?;
    let (tree, everybody) = (Tree::of(server), Tree::of(std::process::id()));
    let mut used = Vec::new();
    for &count in crowds {
        let crowd = Crowd::gather(runtime, url, count)?;
        // What a join brings at once is no part of what a reader costs.
        std::thread::sleep(SETTLE);
        let before = crowd.received.load(Ordering::Relaxed);
        let begun = std::time::Instant::now();
        let [cpu, whole] = Tree::cpu_of([&tree, &everybody], seconds)?;
        let bytes = crowd.received.load(Ordering::Relaxed) - before;
        let each = bytes as f64 * 8.0 / 1e6 / begun.elapsed().as_secs_f64() / count as f64;
        ensure!(each > MEGABITS / 2.0, "{count} readers got {each:.2} Mbit/s each");
        used.push(Use { cpu, whole, memory: tree.memory()?, each });
    }
    Ok(used)
}

/// Readers that throw away what they get.
struct Crowd {
    received: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Result<()>>>,
}

impl Crowd {
    /// Joins so many, and waits until each has got something.
    fn gather(runtime: &Runtime, url: &str, count: usize) -> Result<Self> {
        let received = Arc::new(AtomicU64::new(0));
        let joined = Arc::new(AtomicUsize::new(0));
        let url = RtmpUrl::parse(url).map_err(|e| anyhow!("{e}"))?;
        let reader = |_| runtime.spawn(read(url.clone(), Arc::clone(&received), Arc::clone(&joined)));
        let tasks = (0..count).map(reader).collect();
        let crowd = Self { received, tasks };
        wait_for("every reader's stream", Duration::from_secs(30), || {
            Ok((joined.load(Ordering::Relaxed) == count).then_some(()))
        })
        .with_context(|| format!("{} of {count}", joined.load(Ordering::Relaxed)))?;
        Ok(crowd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn read(url: RtmpUrl, received: Arc<AtomicU64>, joined: Arc<AtomicUsize>) -> Result<()> {
    let mut stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
    let mut session = ClientSession::new(ClientConfig::new(url, Purpose::Play), 1);
    let (mut buffer, mut fresh) = (vec![0; 64 << 10], true);
    loop {
        while !session.output().is_empty() {
            stream.write_buf(session.output()).await?;
        }
        let count = stream.read(&mut buffer).await?;
        ensure!(count > 0, "the server hung up");
        received.fetch_add(count as u64, Ordering::Relaxed);
        session.handle_input(&buffer[..count])?;
        while let Some(event) = session.poll_event() {
            if fresh && matches!(event, proto::rtmp::ClientEvent::Media(_)) {
                fresh = false;
                joined.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
