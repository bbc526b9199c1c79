//! Chromium without a window, with a camera and a microphone made of files.

use crate::program::Program;
use crate::wait::wait_for;
use anyhow::{Context, Result, bail};
use device::MonoClock;
use device::synthetic::{ClockCard, ClockReading, beep_sample};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Frames a second of the camera file.
const FPS: u32 = 30;
/// The files are played in a loop; whole seconds keep the beeps whole.
const SECONDS: u32 = 4;

/// A page that is open.
#[derive(Debug)]
pub struct Browser {
    /// Chromium.
    pub program: Program,
    log: PathBuf,
}

impl Browser {
    /// Opens `page` with `query`, served from a port of its own on loopback, where camera and microphone may be used.
    ///
    /// # Errors
    /// Where Chromium cannot be started.
    pub fn open(name: &str, dir: &Path, page: &Path, query: &str) -> Result<Self> {
        let url = format!("{}?{query}", serve(page)?);
        let mut command = Command::new("chromium");
        command.args(arguments(dir)?).arg("--enable-logging=stderr").arg(url);
        let program = Program::start(name, dir, &mut command)?;
        Ok(Self { program, log: dir.join(format!("{name}.err")) })
    }

    /// Waits for a line on the page's console that begins with `WHIP word`; its detail.
    ///
    /// # Errors
    /// Where it does not come in time, or the page says that it failed.
    pub fn said(&self, word: &str) -> Result<String> {
        wait_for(&format!("the page to say {word}"), Duration::from_secs(30), || self.says(word))
    }

    /// The same, if it is there by now.
    ///
    /// # Errors
    /// Where the page says that it failed.
    pub fn says(&self, word: &str) -> Result<Option<String>> {
        let log = std::fs::read(&self.log)?;
        let log = String::from_utf8_lossy(&log);
        let detail = |word: &str| {
            let (_, rest) = log.split_once(&format!("\"WHIP {word} "))?;
            rest.split_once("\", source:").map(|(detail, _)| detail.to_owned())
        };
        match (detail(word), detail("failed")) {
            (Some(detail), _) => Ok(Some(detail)),
            (None, Some(error)) => bail!("the page failed: {error}"),
            (None, None) => Ok(None),
        }
    }
}

/// For a Chromium without a window, whose camera shows the clock card and whose microphone hears the beeps.
///
/// # Errors
/// Where the files of which they are made cannot be written.
pub(crate) fn arguments(dir: &Path) -> Result<Vec<String>> {
    let (camera, microphone) = (dir.join("camera.y4m"), dir.join("microphone.wav"));
    write_camera(&camera, 640, 360)?;
    write_microphone(&microphone)?;
    let mut arguments: Vec<String> = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        "--autoplay-policy=no-user-gesture-required",
        "--allow-loopback-in-peer-connection",
        "--disable-features=WebRtcHideLocalIpsWithMdns",
    ]
    .map(str::to_owned)
    .into();
    arguments.push(format!("--use-file-for-fake-video-capture={}", camera.display()));
    arguments.push(format!("--use-file-for-fake-audio-capture={}", microphone.display()));
    arguments.push(format!("--user-data-dir={}", dir.join("profile").display()));
    Ok(arguments)
}

/// Answers every request with `page`, for as long as the test runs. The script beside it that pages share stands in it.
pub(crate) fn serve(page: &Path) -> Result<String> {
    let script = std::fs::read_to_string(page.with_file_name("clock_card.js"))?;
    let page = std::fs::read_to_string(page)?;
    let page = page.replace(r#"<script src="clock_card.js">"#, &format!("<script>{script}")).into_bytes();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    std::thread::Builder::new().name("page".into()).spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut asked = [0; 4096];
            let _request = stream.read(&mut asked);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                page.len()
            );
            let _sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&page));
        }
    })?;
    Ok(url)
}

/// The clock card as YUV4MPEG2.
fn write_camera(file: &Path, width: u32, height: u32) -> Result<()> {
    let mut out = BufWriter::new(File::create(file).with_context(|| file.display().to_string())?);
    writeln!(out, "YUV4MPEG2 W{width} H{height} F{FPS}:1 Ip A1:1 C420jpeg")?;
    let card = ClockCard::new(width, height);
    for frame in 0..FPS * SECONDS {
        let reading =
            ClockReading { drawn: MonoClock::now(), frame, beep: frame % FPS == 0, late: Duration::ZERO, stream: 9 };
        writeln!(out, "FRAME")?;
        out.write_all(card.draw(&reading, f64::from(frame) / f64::from(FPS), reading.drawn).data())?;
    }
    Ok(out.flush()?)
}

/// The beeps as a 16-bit WAV at 48 kHz.
fn write_microphone(file: &Path) -> Result<()> {
    let samples = 48_000 * SECONDS;
    let bytes = samples * 2;
    let mut out = BufWriter::new(File::create(file)?);
    out.write_all(b"RIFF")?;
    out.write_all(&(36 + bytes).to_le_bytes())?;
    out.write_all(b"WAVEfmt \x10\0\0\0\x01\0\x01\0")?;
    out.write_all(&48_000_u32.to_le_bytes())?;
    out.write_all(&96_000_u32.to_le_bytes())?;
    out.write_all(b"\x02\0\x10\0data")?;
    out.write_all(&bytes.to_le_bytes())?;
    // From the second second on, where every second begins with a beep.
    for n in 48_000..48_000 + u64::from(samples) {
        let sample = (beep_sample(n) * 32_767.0) as i16;
        out.write_all(&sample.to_le_bytes())?;
    }
    Ok(out.flush()?)
}

/// Reads the JSON lines of a judge written in Python until one has this `event`.
///
/// # Errors
/// Where it does not come in time.
pub fn judge_says(out: &Path, event: &str, limit: Duration) -> Result<serde_json::Value> {
    use std::io::BufRead;
    wait_for(&format!("the judge to say {event}"), limit, || {
        let lines = BufReader::new(File::open(out)?).lines();
        let mut events = lines.map_while(Result::ok).filter_map(|l| serde_json::from_str::<serde_json::Value>(&l).ok());
        Ok(events.find(|e| e["event"] == event))
    })
}

/// The Python in which aiortc imports.
pub fn python() -> PathBuf {
    std::env::var_os("VISAVIS_PYTHON")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/judges/venv/bin/python"), PathBuf::from)
}
