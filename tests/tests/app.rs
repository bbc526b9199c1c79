//! The window itself, on a screen in memory: what a doctor presses, what a doctor sees, what the patient gets.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Context, Result, ensure};
use e2e::app::App;
use e2e::content::Content;
use e2e::desktop::Desktop;
use e2e::ffmpeg::pull;
use e2e::patient::{Patient, Phone};
use e2e::program::output_dir;
use e2e::wait::wait_for;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Sound and picture may be this far apart: what a viewer does not notice (ITU-R BT.1359).
const LIP_SYNC: f64 = 0.045;

/// A profile of its own: English, patients on loopback, ports that are free.
struct Profile {
    folder: PathBuf,
    ports: Vec<u16>,
}

impl Profile {
    fn new(dir: &Path) -> Result<Self> {
        let folder = dir.join("profile");
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let listeners: Vec<TcpListener> =
            (0..3).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
        let mut ports: Vec<u16> =
            listeners.iter().map(|l| Ok(l.local_addr()?.port())).collect::<std::io::Result<_>>()?;
        ports.push(UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port());
        let text = format!(
            "version = 1\nlanguage = \"en\"\nappearance = \"light\"\nnetwork = \"lo\"\n\
             [ports]\nrtmp = {}\nhls = {}\nwebrtc_http = {}\nwebrtc_udp = {}\n",
            ports[0], ports[1], ports[2], ports[3]
        );
        std::fs::write(folder.join("settings.toml"), text)?;
        Ok(Self { folder, ports })
    }

    fn start(&self, dir: &Path, desktop: &Desktop) -> Result<App> {
        let folder = self.folder.to_str().context("a readable folder")?;
        App::start(dir, desktop, &["--synthetic", "clock", "--profile", folder])
    }
}

#[test]
fn the_doctor_sees_herself() -> Result<()> {
    let dir = output_dir("app_the_doctor_sees_herself")?;
    let desktop = Desktop::start(&dir)?;
    let app = Profile::new(&dir)?.start(&dir, &desktop)?;
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
    let app = profile.start(&dir, &desktop)?;
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
