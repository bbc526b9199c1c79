//! What a reader of a stream of 2 Mbit/s costs, by RTSP, LL-HLS and WHEP.
//!
//! Not here: RTMP, which stands beside nginx-rtmp (`common::load`).

use crate::common::Bench;
use crate::common::crowd::Member;
use crate::common::figure::{Figure, Goal};
use crate::common::ll_hls::Playlist;
use crate::common::load::{Codec, Load, Use};
use crate::{EVERY_WAY, peer, rtsp};
use anyhow::{Result, ensure};
use bytes::Bytes;
use e2e::relay::Relay;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// By RTSP, media in the connection.
pub(crate) fn rtsp(bench: &Bench) -> Result<Vec<Figure>> {
    measure(bench, "RTSP (TCP)", bench.effort.many(&[10, 100, 400], &[1, 20]), |load, relay, crowds| {
        let (push, url) = (relay.rtmp("bench")?, relay.rtsp("bench")?);
        let seconds = bench.effort.seconds(15);
        load.measure(&push, relay.program.id(), crowds, seconds, |_, member| {
            relay.path_ready("bench")?;
            Ok(rtsp::Reader::play(&url)?.count(member))
        })
    })
}

/// By LL-HLS: each reload waits for a part, and each part is taken.
pub(crate) fn hls(bench: &Bench) -> Result<Vec<Figure>> {
    measure(bench, "LL-HLS", bench.effort.many(&[10, 100, 400], &[1, 20]), |load, relay, crowds| {
        let (push, host) = (relay.rtmp("bench")?, relay.address("hls")?);
        let seconds = bench.effort.seconds(15);
        load.measure(&push, relay.program.id(), crowds, seconds, |_, member| {
            relay.path_ready("bench")?;
            Ok(follow(host.clone(), member))
        })
    })
}

/// By WHEP, encrypted for each.
pub(crate) fn whep(bench: &Bench) -> Result<Vec<Figure>> {
    let crowds: &[usize] = bench.effort.many(&[10, 50, 100], &[1, 5]);
    let load = Load::new(bench, Codec::Opus)?;
    let relay = Relay::start(&bench.dir, EVERY_WAY)?;
    let (push, host) = (relay.rtsp("bench")?, relay.address("webrtc")?);
    let seconds = bench.effort.seconds(15);
    let used = load.measure(&push, relay.program.id(), crowds, seconds, |_, member| {
        relay.path_ready("bench")?;
        Ok(peer::Reader::play(&host, "/bench/whep")?.count(member))
    })?;
    relay.stop()?;
    let mut figures = rows("WHEP", crowds, &used);
    for (crowd, used) in crowds.iter().zip(&used) {
        let rate = used.each * *crowd as f64 / used.cpu * 100.0;
        let what = format!("… {crowd} WHEP readers: Mbit/s per core of the relay");
        figures.push(Figure::one(what, Some(rate), "Mbit/s", Goal::AtLeast(800.0)));
    }
    Ok(figures)
}

fn measure(
    bench: &Bench,
    way: &str,
    crowds: &[usize],
    work: impl FnOnce(&Load<'_>, &Relay, &[usize]) -> Result<Vec<Use>>,
) -> Result<Vec<Figure>> {
    let load = Load::new(bench, Codec::Aac)?;
    let relay = Relay::start(&bench.dir, EVERY_WAY)?;
    let used = work(&load, &relay, crowds)?;
    relay.stop()?;
    Ok(rows(way, crowds, &used))
}

fn rows(way: &str, crowds: &[usize], used: &[Use]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (crowd, used) in crowds.iter().zip(used) {
        let row = |what: String, value, unit| Figure::one(what, Some(value), unit, Goal::Report);
        figures.push(row(format!("relay, {crowd} {way} readers: CPU"), used.cpu, "% of a core"));
        figures.push(row("… a reader".into(), used.cpu / *crowd as f64, "% of a core"));
        figures.push(row("… with publisher and readers".into(), used.whole, "% of a core"));
        figures.push(row("… memory (PSS)".into(), used.memory, "MB"));
        figures.push(row("… received by each".into(), used.each, "Mbit/s"));
    }
    if let ([least, .., most], [few, .., many]) = (crowds, used) {
        let each = (many.memory - few.memory) * 1e3 / (most - least) as f64;
        figures.push(Figure::one(format!("{way}: memory a reader"), Some(each), "kB", Goal::Report));
    }
    figures
}

/// A player of LL-HLS that throws away what it gets.
async fn follow(host: String, mut member: Member) -> Result<()> {
    let stream = TcpStream::connect(&host).await?;
    stream.set_nodelay(true)?;
    let mut server = Server { host, stream: BufReader::with_capacity(64 << 10, stream) };
    server.get("/bench/index.m3u8").await?;
    let mut playlist = Playlist::read(&server.get("/bench/stream.m3u8").await?)?;
    loop {
        let (segment, part) = playlist.next;
        let text = server.get(&format!("/bench/stream.m3u8?_HLS_msn={segment}&_HLS_part={part}")).await?;
        playlist = Playlist::read(&text)?;
        if let Some(newest) = &playlist.newest {
            member.got(server.get(&format!("/bench/{newest}")).await?.len());
        }
    }
}

/// A connection that stays open.
struct Server {
    host: String,
    stream: BufReader<TcpStream>,
}

impl Server {
    /// The body of a 200.
    async fn get(&mut self, path: &str) -> Result<Bytes> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        self.stream.write_all(request.as_bytes()).await?;
        let (mut head, mut chunked, mut length) = (String::new(), false, 0);
        loop {
            let begin = head.len();
            ensure!(self.stream.read_line(&mut head).await? > 0, "the server hung up");
            let line = head[begin..].trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
        }
        ensure!(head.contains(" 200 "), "GET {path}: {head}");
        let mut body = Vec::new();
        if chunked {
            loop {
                let mut size = String::new();
                self.stream.read_line(&mut size).await?;
                let (begin, size) = (body.len(), usize::from_str_radix(size.trim(), 16)?);
                // With the line's end behind it.
                body.resize(begin + size + 2, 0);
                self.stream.read_exact(&mut body[begin..]).await?;
                body.truncate(begin + size);
                if size == 0 {
                    return Ok(body.into());
                }
            }
        }
        body.resize(length, 0);
        self.stream.read_exact(&mut body).await?;
        Ok(body.into())
    }
}
