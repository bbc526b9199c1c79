//! `visavis-relay` at work: one publisher of about 2 Mbit/s made by ffmpeg, and more and more RTMP players.
//!
//! Reports CPU time of the relay per media second, per player, and its memory. Everything is loopback; players are this process's
//! own and only throw away what they get, so that the relay alone is measured.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // A bench reports to whoever runs it.

use proto::rtmp::{ClientConfig, ClientSession, Purpose, RtmpUrl};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SECONDS: u64 = 8;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("relay.yml");
    std::fs::write(
        &config,
        "rtmpAddress: 127.0.0.1:0\nrtsp: no\nsrt: no\nhls: no\nwebrtc: no\nlogLevel: error\npaths: {all_others: }\n",
    )
    .unwrap();
    let mut relay = Ended(
        Command::new(env!("CARGO_BIN_EXE_visavis-relay"))
            .arg("--ready-json")
            .arg(&config)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    BufReader::new(relay.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let url = format!("rtmp://{}/bench", ready["rtmp"].as_str().unwrap());
    let mut push = Command::new("ffmpeg");
    push.args(["-loglevel", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30"]);
    push.args([
        "-f",
        "lavfi",
        "-i",
        "sine=1000:sample_rate=48000",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-g",
        "30",
    ]);
    push.args([
        "-tune",
        "zerolatency",
        "-b:v",
        "2M",
        "-maxrate",
        "2M",
        "-bufsize",
        "1M",
        "-c:a",
        "aac",
        "-f",
        "flv",
        &url,
    ]);
    let _publisher = Ended(push.spawn().unwrap());

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let pid = relay.0.id();
    for players in [0, 1, 10, 50, 100] {
        let received = Arc::new(AtomicU64::new(0));
        runtime.block_on(async {
            let tasks: Vec<_> = (0..players).map(|_| tokio::spawn(play(url.clone(), Arc::clone(&received)))).collect();
            // Everybody has joined when this many have had their first bytes; the measurement begins after that.
            tokio::time::sleep(Duration::from_secs(2)).await;
            let (cpu, before, begun) = (cpu(pid), received.load(Relaxed), Instant::now());
            tokio::time::sleep(Duration::from_secs(SECONDS)).await;
            let used = (self::cpu(pid) - cpu) / begun.elapsed().as_secs_f64() * 100.0;
            figure(&format!("CPU, {players} players"), used, "% of a core");
            if players > 0 {
                figure(&format!("CPU a player, {players} players"), used / f64::from(players), "% of a core");
            }
            let megabits = (received.load(Relaxed) - before) as f64 * 8.0 / 1e6 / begun.elapsed().as_secs_f64();
            figure(&format!("received, {players} players"), megabits, "Mbit/s");
            figure(&format!("memory, {players} players"), memory(pid) as f64, "MB");
            for task in tasks {
                task.abort();
            }
        });
    }
}

/// A player that throws away what it gets.
async fn play(url: String, received: Arc<AtomicU64>) {
    let url = RtmpUrl::parse(&url).unwrap();
    let mut stream = TcpStream::connect((url.host.as_str(), url.port)).await.unwrap();
    let mut session = ClientSession::new(ClientConfig::new(url, Purpose::Play), 1);
    let mut buffer = vec![0; 64 << 10];
    loop {
        while !session.output().is_empty() {
            stream.write_buf(session.output()).await.unwrap();
        }
        let count = stream.read(&mut buffer).await.unwrap();
        received.fetch_add(count as u64, Relaxed);
        if count == 0 || session.handle_input(&buffer[..count]).is_err() {
            return;
        }
        while session.poll_event().is_some() {}
    }
}

/// One row of the runner's table.
fn figure(name: &str, value: f64, unit: &str) {
    println!("{}", serde_json::json!({ "figure": name, "p50": (value * 100.0).round() / 100.0, "unit": unit }));
}

/// CPU seconds of a process so far.
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime, in ticks of 10 ms (proc(5)).
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Resident megabytes of a process.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Gone already is as good.
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}
