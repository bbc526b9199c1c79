//! A real sound path: what is said into the microphone is what the patient gets, what the patient says comes out of the speaker
//! with the picture that belongs to it. The microphone and the speaker are null sinks of a PulseAudio of the test's own.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Context, Result, ensure};
use device::MonoClock;
use device::synthetic::{Burst, burst_millis};
use e2e::app::App;
use e2e::desktop::{Area, Desktop};
use e2e::ffmpeg::{ffmpeg, probe, pull};
use e2e::patient::{Patient, Phone};
use e2e::profile::Profile;
use e2e::program::{Program, output_dir};
use e2e::pulse::{Ear, Pulse, RATE};
use e2e::tones;
use e2e::wait::wait_for;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Sound and picture at the doctor may be this far apart. The player aims at sound that trails by no more than 60 ms; a screen without
/// a GPU adds a picture's time, a machine whose two cores also run the patient, the encoder and the judge another.
const LIP_SYNC: f64 = 0.100;
/// Beeps in a row that must be heard whole, as loud as they were said, and in step. A player that is out of step by a constant has none.
const IN_A_ROW: usize = 5;
/// Beeps within which that must be so: a machine that starts a window and runs the patient, the judge and two encoders may cut one, or
/// paint one late.
const PATIENCE: usize = 15;
/// The patient's pictures a second.
const FPS: u32 = 30;
/// The left channel as it is (mixing both would make it 3 dB louder), what is missing replaced by silence.
const LEFT: &str = "aresample=async=1,pan=mono|c0=c0";
/// Louder than this is not silence: −50 dB.
const SILENCE: f32 = 0.003;

/// An app with the sound card `pulse`, its consultation started.
fn consult(dir: &Path, desktop: &Desktop, pulse: &Pulse) -> Result<(App, Vec<String>)> {
    let profile = Profile::new(dir)?;
    let sound = [("PULSE_SERVER", pulse.address())];
    let environment: Vec<(&str, &str)> = sound.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let app = App::start_with(dir, desktop, &environment, &["--profile", profile.folder()?])?;
    app.click("start")?;
    let urls = app.patient_urls()?;
    Ok((app, urls))
}

/// Somebody who listens to a stream as it comes.
struct Listener {
    file: PathBuf,
    _program: Program,
}

impl Listener {
    fn start(dir: &Path, url: &str) -> Result<Self> {
        let file = dir.join("listener.pcm");
        let mut command = ffmpeg();
        command.args(["-rw_timeout", "30000000", "-fflags", "nobuffer", "-i", url]);
        command.args(["-map", "0:a:0", "-af", LEFT, "-ar", "48000"]);
        command.args(["-flush_packets", "1", "-f", "f32le"]).arg(&file);
        let program = Program::start("listener", dir, &mut command)?;
        Ok(Self { file, _program: program })
    }

    /// What was heard until now.
    fn heard(&self) -> Result<Vec<f32>> {
        // Nothing has come yet where there is no file.
        let bytes = if self.file.exists() { std::fs::read(&self.file)? } else { Vec::new() };
        Ok(samples(&bytes))
    }

    /// Waits until the last `seconds` are the known tones, without a flaw.
    fn until_flawless(&self, seconds: usize) -> Result<()> {
        let (mut looked, mut flaw) = (0, anyhow::anyhow!("nothing was heard"));
        let outcome = wait_for("the tones", Duration::from_secs(25), || {
            let heard = self.heard()?;
            // Half a second more is worth another look.
            if heard.len() < looked + RATE as usize / 2 {
                return Ok(None);
            }
            looked = heard.len();
            let Some(begin) = heard.len().checked_sub(seconds * RATE as usize) else { return Ok(None) };
            match tones::check(&heard[begin..], seconds * 4 - 2) {
                Ok(()) => Ok(Some(())),
                Err(error) => {
                    flaw = error;
                    Ok(None)
                }
            }
        });
        outcome.with_context(|| format!("{flaw:#}"))
    }

    /// Waits until the last half second satisfies `condition`; how many samples there are then.
    fn until(&self, what: &str, condition: impl Fn(&[f32]) -> bool) -> Result<usize> {
        wait_for(what, Duration::from_secs(20), || {
            let heard = self.heard()?;
            let last = heard.len().checked_sub(RATE as usize / 2);
            Ok(last.filter(|last| condition(&heard[*last..])).map(|_| heard.len()))
        })
    }
}

fn samples(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[test]
fn what_is_said_arrives() -> Result<()> {
    let dir = output_dir("sound_what_is_said_arrives")?;
    let (pulse, desktop) = (Pulse::start(&dir)?, Desktop::start(&dir)?);
    let wav = dir.join("tones.wav");
    tones::write_wav(&wav, 60)?;
    let _mouth = pulse.play(&dir, &wav)?;
    let (app, urls) = consult(&dir, &desktop, &pulse)?;

    let listener = Listener::start(&dir, &urls[1])?;
    let file = dir.join("doctor.flv");
    pull("pull", &dir, &urls[1], 2.0, &file)?.succeed(Duration::from_secs(30))?;
    let probe = probe(&file)?;
    let streams = probe["streams"].as_array().context("no streams")?;
    let codecs: Vec<&str> = streams.iter().filter_map(|s| s["codec_name"].as_str()).collect();
    ensure!(codecs.contains(&"h264") && codecs.contains(&"aac"), "{codecs:?}");
    // The first seconds go to starting: a window, encoders, two streams.
    listener.until_flawless(4)?;

    app.click("mute")?;
    let from = listener.until("silence at the listener", |heard| tones::loudest(heard) < SILENCE)?;
    app.until("document.querySelector('[role=status].muted').textContent.trim() === 'You are muted'", SOON)?;
    app.until("document.body.textContent.includes('The microphone stays open for the meter')", SOON)?;
    app.until("document.querySelector('[data-testid=mic-level]').dataset.muted === 'true'", SOON)?;
    // The meter goes on following the loud tones and the quiet ones: 0.25 and 0.06 on its scale of 60 dB.
    let scale =
        "Number(/scaleX\\((.*)\\)/.exec(document.querySelector('[data-testid=mic-level] .bar').style.transform)[1])";
    for turn in 0..2 {
        app.until(&format!("{scale} > 0.7"), SOON).with_context(|| format!("loud, turn {turn}"))?;
        app.until(&format!("{scale} < 0.65"), SOON).with_context(|| format!("quiet, turn {turn}"))?;
    }
    desktop.screenshot(&dir, "muted")?;
    let heard = listener.heard()?;
    ensure!(heard.len() > from, "the sound's track goes on");
    let loudest = tones::loudest(&heard[from..]);
    ensure!(loudest < SILENCE, "nothing of it reaches the listener, but {loudest}");

    app.click("mute")?;
    listener.until("the tones again", |heard| tones::loudest(heard) > 0.2)?;
    Ok(())
}

/// What the window answers within moments, on a busy machine.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn the_patient_is_heard_in_step() -> Result<()> {
    let dir = output_dir("sound_the_patient_is_heard_in_step")?;
    let (pulse, desktop) = (Pulse::start(&dir)?, Desktop::start(&dir)?);
    let ear = pulse.listen()?;
    let (app, urls) = consult(&dir, &desktop, &pulse)?;
    // Upright, as phones are; this shape is shown whole. Small, because time is what is looked at here.
    let phone = Phone { size: (240, 320), ..Phone::default() };
    let _patient = Patient::push("patient", &dir, &urls[0], &phone)?;
    app.until("document.documentElement.dataset.phase === 'live'", Duration::from_secs(20))?;
    let area = wait_for("the patient's clock on the screen", Duration::from_secs(20), || {
        let area = app.area("remote-video")?;
        Ok(desktop.glance(area)?.map(|_| area))
    })?;

    let mut looker = Looker { desktop: &desktop, area, before: None };
    let mut marks = Vec::new();
    while !in_step(&marks, &ear.bursts()) {
        ensure!(
            marks.len() < PATIENCE,
            "never are {IN_A_ROW} beeps in a row in step with their pictures:\n{}",
            report(&marks, &ear)
        );
        marks.push(looker.next_beep()?);
    }
    desktop.screenshot(&dir, "live")?;
    let report = report(&marks, &ear);
    std::fs::write(dir.join("lip-sync.txt"), &report)?;
    ensure!(ear.uncertainty() < 0.020, "the listener's clock is off:\n{report}");
    Ok(())
}

/// Are [`IN_A_ROW`] beeps as they should be? The newest of `marks` is seen before it is over, so it waits for the next one.
fn in_step(marks: &[Mark], bursts: &[Burst]) -> bool {
    let over = &marks[..marks.len().saturating_sub(1)];
    let last = &over[over.len().saturating_sub(IN_A_ROW)..];
    last.len() == IN_A_ROW && last.iter().all(|mark| mark.heard(bursts).is_some_and(|burst| mark.agrees(burst)))
}

/// What was seen and heard, a line a beep.
fn report(marks: &[Mark], ear: &Ear) -> String {
    let bursts = ear.bursts();
    let line = |mark: &Mark| match mark.heard(&bursts) {
        Some(burst) => format!(
            "beep {}: sound {:+.1} ms from its picture (seen within {:.1} ms), {:.0} Hz, {:.0} ms long, peak {:.2}\n",
            mark.beep,
            (burst.start - mark.time) * 1e3,
            mark.within * 1e3,
            burst.frequency,
            burst.length * 1e3,
            burst.peak
        ),
        None => format!("beep {}: not heard\n", mark.beep),
    };
    let lines: String = marks.iter().map(line).collect();
    format!("{lines}listener's clock within {:.1} ms\n", ear.uncertainty() * 1e3)
}

/// Seconds of the monotonic clock.
fn now() -> f64 {
    MonoClock::now().micros() as f64 / 1e6
}

/// A beep's picture on the screen.
struct Mark {
    /// Which second of the patient's begins.
    beep: u32,
    /// When it appeared, in seconds of the monotonic clock.
    time: f64,
    /// The time between the looks before and after.
    within: f64,
}

impl Mark {
    /// The sound nearest to it; beeps are a second apart.
    fn heard<'a>(&self, bursts: &'a [Burst]) -> Option<&'a Burst> {
        let near = |burst: &Burst| (burst.start - self.time).abs();
        bursts.iter().filter(|b| near(b) < 0.4).min_by(|a, b| near(a).total_cmp(&near(b)))
    }

    /// Is it this second's beep (each differs by 30 ms in length from the next), 1 kHz, half scale, and in step?
    fn agrees(&self, burst: &Burst) -> bool {
        let length = burst_millis(u64::from(self.beep)) as f64 / 1e3;
        (burst.length - length).abs() < 0.015
            && (burst.frequency - 1000.0).abs() < 15.0
            && (0.35..0.71).contains(&burst.peak)
            && (burst.start - self.time).abs() <= LIP_SYNC
    }
}

/// Somebody who watches a part of the screen.
struct Looker<'a> {
    desktop: &'a Desktop,
    area: Area,
    /// The frame seen last, and when.
    before: Option<(u32, f64)>,
}

impl Looker<'_> {
    /// Looks until a beep's picture appears. Where that was passed over, one of the next tells when it would have been.
    fn next_beep(&mut self) -> Result<Mark> {
        let end = now() + 10.0;
        loop {
            let time = now();
            ensure!(time < end, "no beep's picture appears");
            if let Some(clock) = self.desktop.glance(self.area)? {
                let before = self.before.replace((clock.frame, time));
                let (beep, after) = (clock.frame / FPS, clock.frame % FPS);
                // A picture half a second later says nothing of the beep.
                if let Some((_, looked)) = before.filter(|(frame, _)| beep > frame / FPS && after < FPS / 2) {
                    let appeared = f64::midpoint(looked, time) - f64::from(after) / f64::from(FPS);
                    return Ok(Mark { beep, time: appeared, within: time - looked });
                }
            }
            // The pace of looking, not a wait: the machine has other things to do.
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
