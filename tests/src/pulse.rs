//! A sound card in memory: a PulseAudio of the test's own whose null sinks are microphone and speaker.
//!
//! Belongs here: that server, the programs that play into its microphone and record its speaker, and when what they record is
//! heard. Not here: what is played and recognised (`tones`), the app (`app`).

use crate::program::Program;
use crate::wait::wait_for;
use anyhow::{Context, Result};
use device::MonoClock;
use device::synthetic::{Burst, find_bursts};
use std::io::Read;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Samples a second of everything here.
pub const RATE: u32 = 48_000;

/// What is played to `micfeed` is heard by the microphone `testmic`; `testspk` is the speaker.
const CONFIG: &str = "\
load-module module-native-protocol-unix auth-anonymous=1
load-module module-null-sink sink_name=micfeed rate=48000 channels=1 format=s16le sink_properties=device.description=MicFeed
load-module module-remap-source master=micfeed.monitor source_name=testmic rate=48000 channels=1 remix=no source_properties=device.description=TestMic
load-module module-null-sink sink_name=testspk rate=48000 channels=2 format=s16le sink_properties=device.description=TestSpeaker
set-default-source testmic
set-default-sink testspk
";

/// The server. It ends with this.
#[derive(Debug)]
pub struct Pulse {
    /// Home and runtime folder. A socket's path may be 108 bytes long, so these are not where the test's output is.
    home: tempfile::TempDir,
    program: Program,
}

impl Pulse {
    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// Where PulseAudio or its tools are not installed, or it does not come up.
    pub fn start(dir: &Path) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let config = home.path().join("test.pa");
        std::fs::write(&config, CONFIG)?;
        let mut command = Command::new("pulseaudio");
        command.args(["-n", "-F"]).arg(&config).args(["--daemonize=no", "--exit-idle-time=-1", "--disable-shm=1"]);
        // As on a doctor's desktop, the sound server goes before what keeps the machine busy, where the system lets it.
        command.args(["--high-priority=yes", "--realtime=yes"]);
        command.env("HOME", home.path()).env("XDG_RUNTIME_DIR", home.path()).env_remove("PULSE_SERVER");
        let program = Program::start("pulseaudio", dir, &mut command)?;
        let pulse = Self { home, program };
        wait_for("PulseAudio", Duration::from_secs(20), || {
            let mut info = pulse.tool("pactl");
            let answer = info.arg("info").stdout(Stdio::null()).stderr(Stdio::null()).status().context("pactl")?;
            Ok(answer.success().then_some(()))
        })?;
        Ok(pulse)
    }

    /// `PULSE_SERVER` for programs that shall use this one.
    pub fn address(&self) -> String {
        format!("unix:{}", self.home.path().join("pulse/native").display())
    }

    /// Plays `file` into the microphone, once.
    ///
    /// # Errors
    /// Where paplay cannot be started.
    pub fn play(&self, dir: &Path, file: &Path) -> Result<Program> {
        let mut command = self.tool("paplay");
        // With its own long buffer, so that a gap is not the player's.
        Program::start("paplay", dir, command.arg("--device=micfeed").arg(file))
    }

    /// Records what the speaker plays, from now on.
    ///
    /// # Errors
    /// Where parec cannot be started.
    pub fn listen(&self) -> Result<Ear> {
        let mut command = self.tool("parec");
        command.args(["--device=testspk.monitor", "--rate=48000", "--channels=1", "--format=s16le"]);
        command.args(["--latency-msec=10"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut recorder = command.spawn().context("cannot start parec")?;
        let output = recorder.stdout.take().context("parec's output")?;
        let heard = Arc::new(Mutex::new(Heard::default()));
        let shared = Arc::clone(&heard);
        let reader = std::thread::Builder::new().name("ear".into()).spawn(move || record(output, &shared))?;
        Ok(Ear { recorder, reader: Some(reader), heard })
    }

    /// Makes it hang, as a driver that got stuck, or go on.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn hang(&self, hangs: bool) -> Result<()> {
        self.program.signal(if hangs { "STOP" } else { "CONT" })
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env("HOME", self.home.path()).env("XDG_RUNTIME_DIR", self.home.path());
        command.env("PULSE_SERVER", self.address());
        command
    }
}

/// Somebody who sits at the speaker with a clock. Goes away when dropped.
#[derive(Debug)]
pub struct Ear {
    recorder: Child,
    reader: Option<JoinHandle<()>>,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    samples: Vec<f32>,
    /// When a block came, and the samples before it, both in seconds.
    blocks: Vec<(f64, f64)>,
}

impl Ear {
    /// The beeps until now, their starts in seconds of the machine's monotonic clock.
    pub fn bursts(&self) -> Vec<Burst> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(zero) = heard.zero() else { return Vec::new() };
        let mut bursts = find_bursts(&heard.samples, 1, RATE);
        for burst in &mut bursts {
            burst.start += zero;
        }
        bursts
    }

    /// How much the recording's first half and its second half disagree about when it began, in seconds: what a time from here may
    /// be wrong by.
    pub fn uncertainty(&self) -> f64 {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, second) = heard.blocks.split_at(heard.blocks.len() / 2);
        match (zero(first), zero(second)) {
            (Some(first), Some(second)) => (first - second).abs(),
            _ => f64::INFINITY,
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        // Already ended is as good.
        let _killed = self.recorder.kill();
        let _reaped = self.recorder.wait();
        if let Some(reader) = self.reader.take() {
            let _ended = reader.join();
        }
    }
}

impl Heard {
    fn zero(&self) -> Option<f64> {
        zero(&self.blocks)
    }
}

/// When the first sample was heard. A null sink renders a block at the moment its first sample is due and hands it to its monitor
/// at once, so no block is here before that; how long after is a matter of how busy the machine is. The promptest tenth is believed.
fn zero(blocks: &[(f64, f64)]) -> Option<f64> {
    let mut zeros: Vec<f64> = blocks.iter().map(|(came, before)| came - before).collect();
    zeros.sort_by(f64::total_cmp);
    zeros.get(zeros.len() / 10).copied()
}

/// Pieces of one block follow each other faster than this; of two blocks, slower.
const APART: f64 = 0.003;

fn record(mut output: ChildStdout, heard: &Mutex<Heard>) {
    let (mut buffer, mut odd, mut last) = ([0_u8; 4096], Vec::new(), f64::NEG_INFINITY);
    // The end of parec is the end of the recording.
    while let Ok(read @ 1..) = output.read(&mut buffer) {
        let now = MonoClock::now().micros() as f64 / 1e6;
        odd.extend_from_slice(&buffer[..read]);
        let whole = odd.len() / 2 * 2;
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        if now - last > APART {
            let before = heard.samples.len() as f64 / f64::from(RATE);
            heard.blocks.push((now, before));
        }
        last = now;
        let samples = odd.drain(..whole).collect::<Vec<u8>>();
        heard.samples.extend(samples.chunks_exact(2).map(|s| f32::from(i16::from_le_bytes([s[0], s[1]])) / 32_768.0));
    }
}
