//! The window itself, on a screen in memory: what a doctor presses, what a doctor sees, what the patient gets.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Result, ensure};
use e2e::app::App;
use e2e::content::Content;
use e2e::desktop::Desktop;
use e2e::ffmpeg::pull;
use e2e::patient::{Patient, Phone};
use e2e::profile::Profile;
use e2e::program::output_dir;
use e2e::wait::wait_for;
use std::net::TcpStream;
use std::path::Path;
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
