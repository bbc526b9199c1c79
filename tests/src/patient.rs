//! The patient: ffmpeg that pushes the clock card and the beeps in real time.
//!
//! Card and tone are made here and handed to ffmpeg raw, through two pipes; everything after that is ffmpeg's.

use crate::ffmpeg::ffmpeg;
use crate::flv::{self, Tag};
use crate::program::Program;
use crate::tap::{Tap, fifo};
use crate::wait::wait_for;
use anyhow::Result;
use device::MonoClock;
use device::synthetic::{ClockCard, ClockReading, beep_sample};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How the patient sends.
#[derive(Debug, Clone)]
pub struct Phone {
    /// Picture size.
    pub size: (u32, u32),
    /// Sound rate in Hz: WeChat sends 48 000 or 16 000.
    pub rate: u32,
    /// ffmpeg's encoder of the sound: WeChat sends AAC.
    pub sound: &'static str,
    /// The beeps as somebody else has coded them: this file over and over, in place of the raw sound. With `sound` as `copy`.
    pub recorded: Option<PathBuf>,
    /// Frames between key frames.
    pub gop: u32,
    /// Marks the clock cards.
    pub stream: u8,
}

impl Default for Phone {
    fn default() -> Self {
        Self { size: (640, 360), rate: 48_000, sound: "aac", recorded: None, gop: 30, stream: 7 }
    }
}

/// What OBS sends unless told otherwise: x264 at `veryfast`, High profile, B-frames that others refer to.
pub const OBS: &[&str] = &[
    "-preset",
    "veryfast",
    "-tune",
    "film",
    "-profile:v",
    "high",
    "-bf",
    "3",
    "-x264-params",
    "b-pyramid=normal:b-adapt=0",
];

const FPS: u32 = 30;

/// When a phone of [`turned`] is turned.
const TURN: Duration = Duration::from_secs(3);
/// How long it goes on then.
const AFTER: Duration = Duration::from_secs(6);

/// A file of FLV in `dir`: a phone that is turned while it sends, three seconds wide (640×360, marked 1) and then six tall (360×640, marked 2).
/// What is `lost` of the first part is not in it.
///
/// # Errors
/// Where ffmpeg cannot be had, or writes no FLV.
pub fn turned(dir: &Path, lost: impl Fn(&Tag) -> bool) -> Result<PathBuf> {
    let (wide, tall, both) = (dir.join("wide.flv"), dir.join("tall.flv"), dir.join("both.flv"));
    let (turn, after) = (TURN.as_millis() as u32, AFTER.as_millis() as u32);
    for part in [&wide, &tall] {
        // One that an earlier run left would be taken for this one's.
        if part.exists() {
            std::fs::remove_file(part)?;
        }
    }
    {
        let phone = Phone { stream: 1, ..Phone::default() };
        let _wide = Patient::push("wide", dir, &wide.display().to_string(), &phone)?;
        let phone = Phone { stream: 2, size: (360, 640), ..phone };
        let _tall = Patient::push("tall", dir, &tall.display().to_string(), &phone)?;
        wait_for("both parts", Duration::from_secs(30), || {
            let long = |file| flv::tags(file).is_ok_and(|tags| tags.last().is_some_and(|tag| tag.time > after));
            Ok((wide.exists() && tall.exists() && long(&wide) && long(&tall)).then_some(()))
        })?;
    }
    let mut tags = flv::tags(&wide)?;
    tags.retain(|tag| tag.time < turn && !lost(tag));
    tags.extend(flv::tags(&tall)?.into_iter().filter(|tag| !tag.is_script()).map(|tag| tag.later(turn)));
    flv::write(&both, &tags)?;
    Ok(both)
}

/// A patient that pushes until it is dropped.
#[derive(Debug)]
pub struct Patient {
    /// ffmpeg.
    pub program: Program,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
    pipes: Vec<PathBuf>,
}

impl Patient {
    /// Pushes to `url` by RTMP.
    ///
    /// # Errors
    /// Where ffmpeg or the pipes cannot be had.
    pub fn push(name: &str, dir: &Path, url: &str, phone: &Phone) -> Result<Self> {
        Self::send(name, dir, phone, |command| {
            command.args(["-flush_packets", "1", "-f", "flv", url]);
        })
    }

    /// Pushes to `url` by RTMP with other options; they come last, and so win.
    ///
    /// # Errors
    /// Where ffmpeg or the pipes cannot be had.
    pub fn push_as(name: &str, dir: &Path, url: &str, phone: &Phone, options: &[&str]) -> Result<Self> {
        Self::send(name, dir, phone, |command| {
            command.args(options).args(["-flush_packets", "1", "-f", "flv", url]);
        })
    }

    /// Pushes to `url`, and each picture, once it is sent, to a tap: what goes by from there on is not the patient's.
    ///
    /// # Errors
    /// Where ffmpeg or the pipes cannot be had.
    pub fn push_tapped(name: &str, dir: &Path, url: &str, phone: &Phone) -> Result<(Self, Tap)> {
        let tap = Tap::open(dir, &format!("{name}.h264"))?;
        // The tee writes to one after the other. Parameter sets go along with key frames for the tap, beside them for FLV.
        let tee = format!(
            "[f=flv:flush_packets=1]{url}|[f=h264:select=v:flush_packets=1:bsfs/v=dump_extra=freq=keyframe]{}",
            tap.pipe().display()
        );
        let patient = Self::send(name, dir, phone, |command| {
            command.args(["-map", "0:v", "-map", "1:a", "-flags", "+global_header", "-f", "tee"]).arg(tee);
        })?;
        Ok((patient, tap))
    }

    /// Pushes to `url` by RTSP, over `transport` (`tcp` or `udp`). `options` come last, and so win.
    ///
    /// # Errors
    /// Where ffmpeg or the pipes cannot be had.
    pub fn push_rtsp(
        name: &str,
        dir: &Path,
        url: &str,
        transport: &str,
        phone: &Phone,
        options: &[&str],
    ) -> Result<Self> {
        Self::send(name, dir, phone, |command| {
            command.args(options).args(["-f", "rtsp", "-rtsp_transport", transport, url]);
        })
    }

    /// Sends as `options`, ffmpeg's, say: they end in a format and a place.
    ///
    /// # Errors
    /// Where ffmpeg or the pipes cannot be had.
    pub fn send_as(name: &str, dir: &Path, phone: &Phone, options: &[&str]) -> Result<Self> {
        Self::send(name, dir, phone, |command| {
            command.args(options);
        })
    }

    /// Pushes to `url` by SRT, as MPEG-TS. `options` come last, and so win.
    ///
    /// # Errors
    /// Where ffmpeg or the pipes cannot be had.
    pub fn push_srt(name: &str, dir: &Path, url: &str, phone: &Phone, options: &[&str]) -> Result<Self> {
        Self::send(name, dir, phone, |command| {
            command.args(options).args(["-flush_packets", "1", "-f", "mpegts", url]);
        })
    }

    fn send(name: &str, dir: &Path, phone: &Phone, to: impl FnOnce(&mut Command)) -> Result<Self> {
        let pipes = vec![fifo(dir, &format!("{name}.yuv"))?, fifo(dir, &format!("{name}.pcm"))?];
        let (size, fps, gop) = (format!("{}x{}", phone.size.0, phone.size.1), FPS.to_string(), phone.gop.to_string());
        let mut command = ffmpeg();
        command.args(["-thread_queue_size", "64", "-f", "rawvideo", "-pix_fmt", "yuv420p"]);
        command.args(["-s", &size, "-r", &fps, "-i"]).arg(&pipes[0]);
        match &phone.recorded {
            Some(file) => command.args(["-stream_loop", "-1", "-i"]).arg(file),
            None => command
                .args(["-thread_queue_size", "64", "-f", "f32le", "-ar", "48000", "-ac", "1", "-i"])
                .arg(&pipes[1]),
        };
        command.args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-profile:v", "baseline"]);
        command.args(["-g", &gop, "-b:v", "900k", "-c:a", phone.sound, "-b:a", "64k"]);
        command.args(["-ar", &phone.rate.to_string()]);
        to(&mut command);
        let program = Program::start(name, dir, &mut command)?;

        let stop = Arc::new(AtomicBool::new(false));
        let begun = Instant::now();
        let video = {
            let (path, stop, phone) = (pipes[0].clone(), Arc::clone(&stop), phone.clone());
            move || write_video(&path, &phone, begun, &stop)
        };
        let audio = {
            let (path, stop) = (pipes[1].clone(), Arc::clone(&stop));
            move || write_audio(&path, begun, &stop)
        };
        let writers = vec![
            std::thread::Builder::new().name("patient-video".into()).spawn(video)?,
            std::thread::Builder::new().name("patient-audio".into()).spawn(audio)?,
        ];
        Ok(Self { program, stop, writers, pipes })
    }
}

impl Drop for Patient {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The pipes' reader goes first, so that no writer is left waiting on a full pipe.
        let _killed = self.program.kill();
        for pipe in &self.pipes {
            // A writer that still waits for its reader is let go by one.
            let _opened = OpenOptions::new().read(true).write(true).open(pipe);
        }
        for writer in self.writers.drain(..) {
            let _ended = writer.join();
        }
    }
}

/// Sleeps until `at`; pacing is what makes the patient live.
fn until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}

fn write_video(path: &Path, phone: &Phone, begun: Instant, stop: &AtomicBool) {
    let Ok(mut pipe) = OpenOptions::new().write(true).open(path) else { return };
    let card = ClockCard::new(phone.size.0, phone.size.1);
    for frame in 0_u32.. {
        until(begun + Duration::from_secs(1) * frame / FPS);
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let reading = ClockReading {
            drawn: MonoClock::now(),
            frame,
            beep: frame > 0 && frame % FPS == 0,
            late: Duration::ZERO,
            stream: phone.stream,
        };
        let picture = card.draw(&reading, f64::from(frame) / f64::from(FPS), reading.drawn);
        // ffmpeg has gone: so has the call.
        if pipe.write_all(picture.data()).is_err() {
            return;
        }
    }
}

fn write_audio(path: &Path, begun: Instant, stop: &AtomicBool) {
    const BLOCK: u64 = 480;
    let Ok(mut pipe) = OpenOptions::new().write(true).open(path) else { return };
    for block in 0_u64.. {
        until(begun + Duration::from_millis(10) * u32::try_from(block).unwrap_or(u32::MAX));
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let bytes: Vec<u8> = (block * BLOCK..(block + 1) * BLOCK).flat_map(|n| beep_sample(n).to_le_bytes()).collect();
        if pipe.write_all(&bytes).is_err() {
            return;
        }
    }
}
