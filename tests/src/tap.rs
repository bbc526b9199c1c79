//! A pipe of H.264 with a clock beside it: when each picture came through, and what its clock card says.
//!
//! Belongs here: reading it as another program writes it, and afterwards finding the pictures and their times. Not here: who writes
//! it (`patient`, a test's own ffmpeg).

use crate::ffmpeg::{ffmpeg, probe};
use crate::program::run;
use anyhow::{Context, Result, ensure};
use device::MonoClock;
use device::synthetic::{ClockReading, read_clock_luma};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

/// Makes the named pipe `name` in `dir`.
///
/// # Errors
/// Where it cannot be made.
pub fn fifo(dir: &Path, name: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    let made = Command::new("mkfifo").arg(&path).status().context("mkfifo")?;
    ensure!(made.success(), "mkfifo {}", path.display());
    Ok(path)
}

/// Bytes, and how many there were when (seconds of the monotonic clock).
type Recorded = (Vec<u8>, Vec<(f64, usize)>);

/// The pipe, being read until its writer ends.
#[derive(Debug)]
pub struct Tap {
    pipe: PathBuf,
    reader: JoinHandle<std::io::Result<Recorded>>,
}

impl Tap {
    /// Makes the pipe `name` in `dir` and waits for a writer.
    ///
    /// # Errors
    /// Where there is no pipe or no thread to be had.
    pub fn open(dir: &Path, name: &str) -> Result<Self> {
        let pipe = fifo(dir, name)?;
        let path = pipe.clone();
        let reader = std::thread::Builder::new().name("tap".into()).spawn(move || record(&path))?;
        Ok(Self { pipe, reader })
    }

    /// Where the writer writes to.
    pub fn pipe(&self) -> &Path {
        &self.pipe
    }

    /// Once the writer has ended: for each picture when its last byte came, in seconds of the monotonic clock, and its clock.
    ///
    /// # Errors
    /// Where it is not H.264 that FFmpeg understands.
    pub fn pictures(self, dir: &Path) -> Result<Vec<(f64, ClockReading)>> {
        let (bytes, times) = self.reader.join().map_err(|_| anyhow::anyhow!("the tap's thread panicked"))??;
        let file = dir.join("tap.h264");
        std::fs::write(&file, &bytes)?;
        let probed = probe(&file)?;
        let number = |value: &serde_json::Value| {
            let text = value.as_str().map(str::to_owned).unwrap_or_else(|| value.to_string());
            text.parse::<usize>().with_context(|| format!("no number: {text}"))
        };
        let (width, height) = (number(&probed["streams"][0]["width"])?, number(&probed["streams"][0]["height"])?);
        let mut decode = ffmpeg();
        decode.arg("-i").arg(&file).args(["-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"]);
        let luma = run(&mut decode)?;
        let packets = probed["packets"].as_array().context("no packets")?;
        let pictures = luma.chunks_exact(width * height);
        // The last one may have been cut off when the writer ended.
        ensure!(packets.len() - pictures.len() <= 1, "{} units, {} pictures", packets.len(), pictures.len());
        let (mut end, mut found) = (0, Vec::new());
        for (packet, luma) in packets.iter().zip(pictures) {
            end += number(&packet["size"])?;
            let came = times.iter().find(|(_, so_far)| *so_far >= end).map(|(time, _)| *time);
            found.extend(came.zip(read_clock_luma(luma, width, height, width)));
        }
        Ok(found)
    }
}

fn record(pipe: &Path) -> std::io::Result<Recorded> {
    let mut file = std::fs::File::open(pipe)?;
    let (mut bytes, mut times, mut buffer) = (Vec::new(), Vec::new(), vec![0; 1 << 16]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, times));
        }
        bytes.extend_from_slice(&buffer[..read]);
        times.push((MonoClock::now().micros() as f64 / 1e6, bytes.len()));
    }
}
