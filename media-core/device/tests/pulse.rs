//! A real sound path: a private PulseAudio whose null sinks are microphone and speaker. What a foreign program plays into the
//! microphone must arrive in our source, what our sink plays must arrive in a foreign program that records the speaker.
#![cfg(target_os = "linux")]

use device::{AudioEvent, AudioSink, AudioSource, Devices, Microphone, MonoClock, SinkEvent, Speaker};
use media::{MonoTime, Pcm};
use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Everything here answers within a second on an idle machine; this is for a busy one.
const PATIENCE: Duration = Duration::from_secs(30);
const RATE: u32 = 48_000;

const CONFIG: &str = "\
load-module module-native-protocol-unix auth-anonymous=1
load-module module-null-sink sink_name=micfeed rate=48000 channels=1 format=s16le sink_properties=device.description=MicFeed
load-module module-remap-source master=micfeed.monitor source_name=testmic rate=48000 channels=1 remix=no source_properties=device.description=TestMic
load-module module-null-sink sink_name=testspk rate=48000 channels=2 format=s16le sink_properties=device.description=TestSpeaker
set-default-source testmic
set-default-sink testspk
";

/// A sound server of our own, ended when dropped.
struct Pulse(Child);

impl Pulse {
    fn start() -> Self {
        let dir = PathBuf::from(std::env::var("HOME").expect("a home, set by the outer test"));
        let server = Command::new("pulseaudio")
            .args(["-n", "-F"])
            .arg(dir.join("test.pa"))
            .args(["--daemonize=no", "--exit-idle-time=-1", "--disable-shm=1", "--high-priority=no", "--realtime=no"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pulseaudio is installed");
        let pulse = Self(server);
        let deadline = Instant::now() + PATIENCE;
        let up = || Command::new("pactl").arg("info").stdout(Stdio::null()).stderr(Stdio::null()).status();
        while !up().expect("pactl is installed").success() {
            assert!(Instant::now() < deadline, "PulseAudio does not come up");
        }
        pulse
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// Ends a process this test started.
fn end(child: &mut Child) {
    child.kill().ok();
    child.wait().ok();
}

/// A sine of `hz` at `amplitude`, 16 bit.
fn tone(hz: f64, amplitude: f64, seconds: usize) -> Vec<u8> {
    (0..seconds * RATE as usize)
        .flat_map(|n| {
            let sample = amplitude * (std::f64::consts::TAU * hz * n as f64 / f64::from(RATE)).sin();
            ((sample * 32_767.0) as i16).to_le_bytes()
        })
        .collect()
}

/// Amplitude of the component at `hz`.
fn level(samples: &[f32], hz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (sin, cos) = (std::f64::consts::TAU * hz * n as f64 / f64::from(RATE)).sin_cos();
        re += f64::from(*sample) * cos;
        im += f64::from(*sample) * sin;
    }
    2.0 * re.hypot(im) / samples.len() as f64
}

/// Receives until `done` says so.
fn until<T>(receiver: &Receiver<T>, what: &str, mut done: impl FnMut(T) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let item = receiver.recv_timeout(left).unwrap_or_else(|_| panic!("{what} did not happen"));
        if done(item) {
            return;
        }
    }
}

/// The tone that a foreign player put into the microphone, 200 ms of it without a break.
fn hear(sounds: &Receiver<AudioEvent>, hz: f64, amplitude: f64) {
    let mut heard: Vec<f32> = Vec::new();
    let mut last: Option<(MonoTime, usize)> = None;
    until(sounds, "the tone in the microphone", |event| {
        let AudioEvent::Sound(Pcm { rate, channels, samples, captured }) = event else { return false };
        assert_eq!((rate, channels, samples.len()), (RATE, 1, 480));
        assert!(captured <= MonoClock::now() && MonoClock::now().since(captured) < Duration::from_secs(2));
        if let Some((before, _)) = last {
            assert!(captured > before, "capture times rise");
        }
        last = Some((captured, samples.len()));
        heard.extend(samples);
        let window = heard.len().saturating_sub(9_600);
        let got = level(&heard[window..], hz);
        heard.len() >= 9_600 && (got / amplitude - 1.0).abs() < 0.05
    });
}

/// Where the sound server is found is a matter of the environment, so the test proper runs in a process of its own.
#[test]
fn microphone_and_speaker() {
    let dir = std::env::temp_dir().join(format!("device-pulse-{}", std::process::id()));
    let runtime = dir.join("run");
    std::fs::create_dir_all(&runtime).unwrap();
    std::fs::set_permissions(&runtime, Permissions::from_mode(0o700)).unwrap();
    std::fs::write(dir.join("test.pa"), CONFIG).unwrap();
    let outcome = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "inside", "--ignored", "--nocapture"])
        .env("XDG_RUNTIME_DIR", &runtime)
        .env("HOME", &dir)
        .env("PULSE_SERVER", format!("unix:{}", runtime.join("pulse/native").display()))
        .status();
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(outcome.unwrap().success());
}

#[test]
#[ignore = "run by the test above, with a sound server of its own"]
fn inside() {
    let pulse = Pulse::start();
    let devices = Devices::list();
    let names = |list: &[device::DeviceInfo]| list.iter().map(|d| (d.name.clone(), d.default)).collect::<Vec<_>>();
    assert_eq!(names(&devices.microphones), [("TestMic".into(), true)]);
    let speakers = names(&devices.speakers);
    assert!(
        speakers.contains(&("TestSpeaker".into(), true)) && speakers.contains(&("MicFeed".into(), false)),
        "{speakers:?}"
    );

    // What the speaker says about when a block is heard, and what the microphone says about when it was recorded, agree, once the
    // speaker has found out how much this machine needs to hold ready. The speaker plays into the microphone here.
    let (asked, times) = channel();
    let (sender, sounds) = channel();
    let mut ear = Microphone::new(Some(devices.microphones[0].id.clone()));
    let mut mouth = Speaker::new(Some("pulseaudio:micfeed".into()));
    let mut block = 0_u32;
    let render = Box::new(move |buffer: &mut [f32], at: MonoTime| {
        // A block of loud sound every half second.
        block += 1;
        if block.is_multiple_of(50) {
            buffer.fill(0.9);
            asked.send(at).unwrap_or(());
        }
    });
    mouth.start(render, Box::new(|_| {})).unwrap();
    ear.start(Box::new(move |event| sender.send(event).unwrap_or(()))).unwrap();
    let (mut predicted, mut last, mut agreed) = (Vec::new(), MonoTime::default(), 0);
    until(&sounds, "three beeps in a row at their times", |event| {
        let AudioEvent::Sound(pcm) = event else { return false };
        predicted.extend(times.try_iter());
        if let Some(at) = pcm.samples.iter().position(|sample| sample.abs() > 0.45) {
            let at = pcm.captured + Duration::from_micros(at as u64 * 1_000_000 / u64::from(RATE));
            if at.since(last) > Duration::from_millis(250) {
                last = at;
                let off = |p: &MonoTime| at.since(*p).max(p.since(at));
                let nearest = predicted.iter().map(off).min().unwrap_or(Duration::MAX);
                agreed = if nearest < Duration::from_millis(30) { agreed + 1 } else { 0 };
            }
        }
        agreed == 3
    });
    mouth.stop();
    ear.stop();

    // Into the microphone, by a foreign program.
    let mut player = Command::new("pacat")
        .args(["--playback", "--device=micfeed", "--rate=48000", "--channels=1", "--format=s16le", "--latency-msec=20"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("pacat is installed");
    let mut input = player.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || while input.write_all(&tone(1000.0, 0.25, 1)).is_ok() {});
    let (sender, sounds) = channel();
    let mut microphone = Microphone::new(Some(devices.microphones[0].id.clone()));
    microphone.start(Box::new(move |event| sender.send(event).unwrap_or(()))).unwrap();
    hear(&sounds, 1000.0, 0.25);
    microphone.stop();
    while sounds.try_recv().is_ok() {}
    assert!(sounds.try_recv().is_err(), "nothing after stop");

    // Out of the speaker, into a foreign program.
    let mut recorder = Command::new("parec")
        .args(["--device=testspk.monitor", "--rate=48000", "--channels=2", "--format=s16le", "--latency-msec=20"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("parec is installed");
    let mut output = recorder.stdout.take().unwrap();
    let (said, events) = channel();
    let (asked, times) = channel();
    let mut speaker = Speaker::new(None);
    let mut n = 0_u64;
    let render = Box::new(move |buffer: &mut [f32], at: MonoTime| {
        for frame in buffer.chunks_exact_mut(2) {
            let wave = |hz: f64| (std::f64::consts::TAU * hz * n as f64 / f64::from(RATE)).sin();
            frame.copy_from_slice(&[(0.5 * wave(440.0)) as f32, (0.125 * wave(1320.0)) as f32]);
            n += 1;
        }
        asked.send((MonoClock::now(), at)).unwrap_or(());
    });
    speaker.start(render, Box::new(move |event| said.send(event).unwrap_or(()))).unwrap();
    assert_eq!((speaker.format().rate, speaker.format().channels), (RATE, 2));
    let mut heard: Vec<f32> = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut bytes = [0; 4 * 480];
        output.read_exact(&mut bytes).unwrap();
        heard.extend(bytes.chunks_exact(2).map(|s| f32::from(i16::from_le_bytes([s[0], s[1]])) / 32_768.0));
        let window = heard.len().saturating_sub(2 * 9_600);
        let side = |c: usize| heard[window..].iter().skip(c).step_by(2).copied().collect::<Vec<_>>();
        let (left, right) = (level(&side(0), 440.0), level(&side(1), 1320.0));
        if heard.len() >= 2 * 9_600 && (left / 0.5 - 1.0).abs() < 0.05 && (right / 0.125 - 1.0).abs() < 0.05 {
            break;
        }
        assert!(Instant::now() < deadline, "the tone at the speaker: {left} {right}");
    }
    let playout = speaker.playout();
    assert!(playout.rendered >= 9_600 && playout.latency < Duration::from_secs(1), "{playout:?}");
    let asked: Vec<(MonoTime, MonoTime)> = times.try_iter().collect();
    assert!(asked.iter().all(|(now, at)| at.since(*now) < Duration::from_secs(2)));
    assert!(asked.windows(2).all(|w| w[1].1 >= w[0].1), "playout times rise");

    // The speaker goes away and comes back; so does the microphone, server and all.
    let (sender, sounds) = channel();
    microphone.start(Box::new(move |event| sender.send(event).unwrap_or(()))).unwrap();
    until(&sounds, "sound", |event| matches!(event, AudioEvent::Sound(_)));
    end(&mut player);
    end(&mut recorder);
    feeder.join().unwrap();
    drop(pulse);
    until(&events, "the loss of the speaker", |event| matches!(event, SinkEvent::Lost(_)));
    until(&sounds, "the loss of the microphone", |event| matches!(event, AudioEvent::Lost(_)));
    let pulse = Pulse::start();
    until(&events, "the speaker's return", |event| event == SinkEvent::Restored);
    until(&sounds, "the microphone's return", |event| matches!(event, AudioEvent::Restored));
    until(&sounds, "sound again", |event| matches!(event, AudioEvent::Sound(_)));
    microphone.stop();
    speaker.stop();
    drop(pulse);
}
