//! Paths that nobody reads: what one costs in memory, and five hundred at once.
//!
//! Not here: readers (`load`).

use crate::common::clip::{Clip, Recipe, Sound};
use crate::common::figure::{Figure, Goal};
use crate::common::machine::Tree;
use crate::common::{Bench, RTMP_ONLY};
use anyhow::{Result, anyhow, ensure};
use bytes::{Buf, Bytes};
use container::flv::{Muxer, Signalling, TagKind};
use e2e::http::get;
use e2e::relay::Relay;
use e2e::wait::wait_for;
use proto::rtmp::{ClientConfig, ClientEvent, ClientSession, Kind, Purpose, RtmpUrl};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// Pictures from one key picture to the next: 2 s.
const GOP: u32 = 60;
/// Rings are full by then: 4 s beyond the newest GOP.
const FULL: Duration = Duration::from_secs(8);
/// Everybody publishes by then.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a path of the load has.
const MEGABITS: f64 = 1.0;

/// Memory of a path with a publisher and no reader.
pub(crate) fn memory(bench: &Bench) -> Result<Vec<Figure>> {
    let paths = bench.effort.many(100, 10);
    let measured = measure(bench, paths, bench.effort.seconds(10))?;
    let each = (measured.memory - measured.before) / paths as f64;
    let what = format!("an idle path ({:.2} Mbit/s, GOP 2 s): memory", measured.megabits);
    Ok(vec![
        Figure::one("relay without a path: memory (PSS)", Some(measured.before), "MB", Goal::Report),
        Figure::one(what, Some(each), "MB", Goal::Report),
        Figure::one("… of this in its ring at most", Some(measured.ring), "MB", Goal::Report),
    ])
}

/// What it costs to have 500 published at once.
pub(crate) fn paths(bench: &Bench) -> Result<Vec<Figure>> {
    let paths = bench.effort.many(500, 20);
    let measured = measure(bench, paths, bench.effort.seconds(20))?;
    let what = format!("relay, {paths} paths of {:.2} Mbit/s published at once", measured.megabits);
    Ok(vec![
        Figure::one(format!("{what}: CPU"), Some(measured.cpu), "% of a core", Goal::Report),
        Figure::one("… with the publishers", Some(measured.whole), "% of a core", Goal::Report),
        Figure::one("… until all of them are there", Some(measured.ready), "s", Goal::Report),
        Figure::one("… memory (PSS)", Some(measured.memory), "MB", Goal::Report),
    ])
}

#[derive(Debug, Default)]
struct Measured {
    /// Percent of a core, of the relay and with the publishers.
    cpu: f64,
    whole: f64,
    /// MB without a path, and with all.
    before: f64,
    memory: f64,
    /// MB of payload that a path holds at most: its GOP and 4 s.
    ring: f64,
    /// Of a path.
    megabits: f64,
    /// Seconds from the first dial until every path is ready.
    ready: f64,
}

fn measure(bench: &Bench, paths: usize, time: Duration) -> Result<Measured> {
    let length = Duration::from_secs(10);
    let clip = Recipe { size: Some((1280, 720)), gop: GOP, sound: Sound::Aac, length }.make()?;
    let clip = Arc::new(Timed::new(&clip)?);
    let relay = Relay::start(&bench.dir, RTMP_ONLY)?;
    let (tree, everybody) = (Tree::of(relay.program.id()), Tree::of(std::process::id()));
    let before = tree.memory()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let begun = Instant::now();
    let publishers = Publishers::start(&runtime, &relay, paths, &clip)?;
    wait_for("every path", PATIENCE, || {
        // In pages of a hundred, unless asked for more.
        let list: Value = serde_json::from_str(&get(&relay.address("api")?, "/v3/paths/list?itemsPerPage=1000")?)?;
        let all = list["items"].as_array().map_or(&[][..], Vec::as_slice);
        Ok((all.iter().filter(|path| path["ready"] == true).count() == paths).then_some(()))
    })?;
    let ready = begun.elapsed().as_secs_f64();
    std::thread::sleep(FULL);
    let [cpu, whole] = Tree::cpu_of([&tree, &everybody], time)?;
    let memory = tree.memory()?;
    ensure!(publishers.0.iter().all(|publisher| !publisher.is_finished()), "a publisher was sent away");
    drop(publishers);
    relay.stop()?;
    let megabits = clip.bytes as f64 * 8.0 / 1e6 / length.as_secs_f64();
    ensure!(megabits > MEGABITS / 2.0, "the clip has {megabits:.2} Mbit/s");
    let ring = megabits / 8.0 * (4.0 + f64::from(GOP) / 30.0);
    Ok(Measured { cpu, whole, before, memory, ring, megabits, ready })
}

/// A clip as its messages, made once for all publishers.
struct Timed {
    head: Vec<Wired>,
    messages: Vec<(Duration, Wired)>,
    length: Duration,
    bytes: usize,
}

/// Kind, milliseconds, tag header, payload.
type Wired = (Kind, u32, Bytes, Bytes);

impl Timed {
    fn new(clip: &Clip) -> Result<Self> {
        let wired = |message: &container::flv::Message| {
            let kind = match message.kind {
                TagKind::Audio => Kind::Audio,
                TagKind::Video => Kind::Video,
                TagKind::Script => Kind::Data,
            };
            (kind, message.timestamp, Bytes::copy_from_slice(&message.header), message.payload.clone())
        };
        let mut muxer = Muxer::new(Signalling::Legacy);
        let head = muxer.announce(&clip.tracks).iter().map(wired).collect();
        let units = clip.units.iter();
        let messages: Vec<_> =
            units.flat_map(|(due, unit)| muxer.write(unit).map(|message| (*due, wired(&message)))).collect();
        let bytes = clip.units.iter().map(|(_, unit)| unit.payload.len()).sum();
        let length = clip.units.last().map(|(due, _)| *due).ok_or_else(|| anyhow!("an empty clip"))?;
        // Rounds follow one another without a step in time.
        let length = Duration::from_millis(u64::try_from(length.as_millis())? + 33);
        Ok(Self { head, messages, length, bytes })
    }
}

/// Publishers of one clip each, round and round.
struct Publishers(Vec<JoinHandle<Result<()>>>);

impl Publishers {
    fn start(runtime: &Runtime, relay: &Relay, count: usize, clip: &Arc<Timed>) -> Result<Self> {
        let mut all = Self(Vec::new());
        for number in 0..count {
            let url = relay.rtmp(&format!("path{number}"))?;
            let url = RtmpUrl::parse(&url).map_err(|e| anyhow!("{url}: {e}"))?;
            // Cameras are not in step with one another.
            let late = clip.length * u32::try_from(number)? / u32::try_from(count)? / 10;
            all.0.push(runtime.spawn(publish(url, Arc::clone(clip), late)));
        }
        Ok(all)
    }
}

impl Drop for Publishers {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

async fn publish(url: RtmpUrl, clip: Arc<Timed>, late: Duration) -> Result<()> {
    tokio::time::sleep(late).await;
    let mut stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
    stream.set_nodelay(true)?;
    let mut session = ClientSession::new(ClientConfig::new(url, Purpose::Publish), 1);
    let mut buffer = [0; 4096];
    let mut publishing = false;
    while !publishing {
        flush(&mut stream, &mut session).await?;
        let count = stream.read(&mut buffer).await?;
        ensure!(count > 0, "the server hung up");
        session.handle_input(&buffer[..count])?;
        while let Some(event) = session.poll_event() {
            publishing |= matches!(event, ClientEvent::Publishing);
        }
    }
    for (kind, timestamp, header, payload) in &clip.head {
        session.send(*kind, *timestamp, header, payload);
    }
    let begun = tokio::time::Instant::now();
    for round in 0.. {
        let zero = clip.length * round;
        for (due, (kind, timestamp, header, payload)) in &clip.messages {
            tokio::time::sleep_until(begun + zero + *due).await;
            let timestamp = timestamp.wrapping_add(u32::try_from(zero.as_millis())?);
            session.send(*kind, timestamp, header, payload);
            flush(&mut stream, &mut session).await?;
            // Acknowledgements.
            while stream.try_read(&mut buffer).is_ok_and(|count| count > 0) {}
        }
    }
    Ok(())
}

async fn flush(stream: &mut TcpStream, session: &mut ClientSession) -> Result<()> {
    while session.output().has_remaining() {
        stream.write_buf(session.output()).await?;
    }
    Ok(())
}
