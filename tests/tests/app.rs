//! The window itself, on a screen in memory: what a doctor presses, what a doctor sees, what the patient gets.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Result, ensure};
use e2e::app::App;
use e2e::content::Content;
use e2e::desktop::Desktop;
use e2e::ffmpeg::pull;
use e2e::patient::{Patient, Phone};
use e2e::profile::Profile;
use e2e::program::{Program, output_dir};
use e2e::pulse::Pulse;
use e2e::relay::binary;
use e2e::wait::wait_for;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Sound and picture may be this far apart: what a viewer does not notice (ITU-R BT.1359).
const LIP_SYNC: f64 = 0.045;

/// The app in `profile`, with the clock in place of camera and microphone.
fn start(profile: &Profile, dir: &Path, desktop: &Desktop) -> Result<App> {
    App::start(dir, desktop, &["--synthetic", "clock", "--profile", profile.folder()?])
}

#[test]
fn the_doctor_sees_herself() -> Result<()> {
    let dir = output_dir("app_the_doctor_sees_herself")?;
    let desktop = Desktop::start(&dir)?;
    let app = start(&Profile::new(&dir)?, &dir, &desktop)?;
    let area = app.area("local-video")?;
    let first = wait_for("her own clock on the screen", Duration::from_secs(30), || desktop.read_clock(&dir, area))?;
    wait_for("a later clock", Duration::from_secs(10), || {
        Ok(desktop.read_clock(&dir, area)?.filter(|c| c.frame > first.frame))
    })?;
    desktop.screenshot(&dir, "home")?;
    app.click("language")?;
    app.until("document.documentElement.lang === 'zh-CN'", Duration::from_secs(10))?;
    desktop.screenshot(&dir, "home-zh")?;
    Ok(())
}

#[test]
fn a_consultation() -> Result<()> {
    let dir = output_dir("app_a_consultation")?;
    let desktop = Desktop::start(&dir)?;
    let profile = Profile::new(&dir)?;
    let app = start(&profile, &dir, &desktop)?;
    for &port in &profile.ports[..3] {
        ensure!(TcpStream::connect(("127.0.0.1", port)).is_err(), "nothing is bound before the visit: {port}");
    }
    app.click("start")?;
    let urls = app.patient_urls()?;
    desktop.screenshot(&dir, "waiting")?;
    ensure!(urls.iter().all(|url| url.contains("token=")), "every address carries the visit's token: {urls:?}");

    // Upright, as phones are; this shape is shown whole.
    let phone = Phone { size: (480, 640), stream: 42, ..Phone::default() };
    let _patient = Patient::push("patient", &dir, &urls[0], &phone)?;
    app.until("document.documentElement.dataset.phase === 'live'", Duration::from_secs(20))?;
    let seen = wait_for("the patient's clock on the screen", Duration::from_secs(20), || {
        desktop.read_clock(&dir, app.area("remote-video")?)
    })?;
    assert_eq!(seen.stream, 42, "it is the patient who is seen");
    desktop.screenshot(&dir, "live")?;
    app.evaluate("document.documentElement.dataset.theme = 'dark'")?;
    app.painted()?;
    desktop.screenshot(&dir, "live-dark")?;

    let file = dir.join("doctor.flv");
    pull("pull", &dir, &urls[1], 5.0, &file)?.succeed(Duration::from_secs(40))?;
    let doctor = Content::read(&file)?;
    assert_eq!(doctor.codecs(), ("h264", "aac"));
    doctor.dts_rises()?;
    doctor.in_sync(3, LIP_SYNC)?;
    ensure!(doctor.readable() > 0.98, "{} of the clocks are readable", doctor.readable());

    app.click("mute")?;
    app.until("document.querySelector('[data-testid=mute]').dataset.pressed === 'true'", Duration::from_secs(10))?;
    let file = dir.join("muted.flv");
    pull("pull-muted", &dir, &urls[1], 4.0, &file)?.succeed(Duration::from_secs(40))?;
    desktop.screenshot(&dir, "muted")?;
    let muted = Content::read(&file)?;
    assert_eq!(muted.codecs(), ("h264", "aac"), "the sound's track stays");
    ensure!(muted.bursts.is_empty(), "and is silent: {:?}", muted.bursts);

    app.click("end")?;
    app.until("document.documentElement.dataset.phase === 'ready'", Duration::from_secs(20))?;
    for &port in &profile.ports[..3] {
        ensure!(TcpStream::connect(("127.0.0.1", port)).is_err(), "every port is closed: {port}");
    }
    desktop.screenshot(&dir, "ended")?;
    Ok(())
}

/// Waits until the window says `words`, or no longer does.
fn says(app: &App, words: &str, says: bool, limit: Duration) -> Result<()> {
    app.until(&format!("document.body.innerText.includes({words:?}) === {says}"), limit)
}

#[test]
fn a_microphone_that_hangs() -> Result<()> {
    let dir = output_dir("app_a_microphone_that_hangs")?;
    let desktop = Desktop::start(&dir)?;
    let pulse = Pulse::start(&dir)?;
    let profile = Profile::new(&dir)?;
    let address = pulse.address();
    let app = App::start_with(&dir, &desktop, &[("PULSE_SERVER", &address)], &["--profile", profile.folder()?])?;
    says(&app, "TestMic", true, Duration::from_secs(30))?;
    app.click("start")?;
    let urls = app.patient_urls()?;
    pulse.hang(true)?;
    says(&app, "The microphone (TestMic) does not answer.", true, Duration::from_secs(30))?;
    desktop.screenshot(&dir, "hung")?;
    // The visit goes on without it: picture, and a sound track that is silent.
    let file = dir.join("doctor.flv");
    pull("pull", &dir, &urls[1], 2.0, &file)?.succeed(Duration::from_secs(40))?;
    assert_eq!(Content::read(&file)?.codecs(), ("h264", "aac"));
    pulse.hang(false)?;
    says(&app, "does not answer", false, Duration::from_secs(60))?;
    desktop.screenshot(&dir, "back")?;
    app.click("end")?;
    app.until("document.documentElement.dataset.phase === 'ready'", Duration::from_secs(20))
}

#[test]
fn nothing_to_speak_into() -> Result<()> {
    let dir = output_dir("app_nothing_to_speak_into")?;
    let desktop = Desktop::start(&dir)?;
    let profile = Profile::new(&dir)?;
    // No sound server, and where there is one, not that one.
    let nowhere = [("PULSE_SERVER", "unix:/nonexistent/pulse"), ("ALSA_CONFIG_PATH", "/nonexistent/alsa.conf")];
    let app = App::start_with(&dir, &desktop, &nowhere, &["--profile", profile.folder()?])?;
    says(&app, "No microphone found. Plug one in; until then a test tone stands in.", true, Duration::from_secs(30))?;
    says(&app, "No speaker found.", true, Duration::from_secs(10))?;
    desktop.screenshot(&dir, "missing")?;
    app.click("language")?;
    says(&app, "未找到麦克风", true, Duration::from_secs(10))?;
    app.painted()?;
    desktop.screenshot(&dir, "missing-zh")?;
    app.click("language")?;
    app.click("start")?;
    let urls = app.patient_urls()?;
    let file = dir.join("doctor.flv");
    pull("pull", &dir, &urls[1], 4.0, &file)?.succeed(Duration::from_secs(40))?;
    let doctor = Content::read(&file)?;
    assert_eq!(doctor.codecs(), ("h264", "aac"));
    ensure!(!doctor.bursts.is_empty(), "the test tone is heard");
    drop(app);

    // Whoever asked for the twins is not told that there are no devices.
    let app = App::start_with(&dir, &desktop, &nowhere, &["--synthetic", "--profile", profile.folder()?])?;
    says(&app, "No sound out", true, Duration::from_secs(30))?;
    ensure!(app.evaluate("document.querySelectorAll('[role=alert]').length")? == 0, "there is no alarm");
    desktop.screenshot(&dir, "synthetic")?;
    Ok(())
}

#[test]
fn told_to_end_on_the_home_screen() -> Result<()> {
    let dir = output_dir("app_told_to_end_on_the_home_screen")?;
    let desktop = Desktop::start(&dir)?;
    for signal in ["TERM", "INT"] {
        let profile = Profile::new(&dir)?;
        let mut command = Command::new(binary("VISAVIS_BIN", "visavis"));
        desktop.show(command.args(["--synthetic", "--ready-json", "--profile", profile.folder()?]));
        let mut app = Program::start(&format!("app-{signal}"), &dir, &mut command)?;
        app.first_line(Duration::from_secs(30))?;
        app.signal(signal)?;
        app.succeed(Duration::from_secs(20))?;
    }
    Ok(())
}
