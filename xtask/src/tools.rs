//! System packages: what is missing, why it is needed, and getting it.
//!
//! Belongs here: the list of packages, and apt.
//! Not here: npm's packages (`ui`), Python's and Node's judges for the tests (`judges`), crates (cargo).

use std::{collections::BTreeSet, process::Command};

use anyhow::{Result, bail};

use crate::{process, progress};

/// What a command is about to do, and so which packages it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// Compile the workspace.
    Build,
    /// Open the window: the webview's decoders and a font with Chinese.
    Window,
    /// Run the window where there is no screen.
    VirtualDisplay,
    /// Programs that every crate's own tests compare us with.
    Tests,
    /// What drives and judges the whole program in the end-to-end tests.
    EndToEnd,
}

/// Whether missing packages are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Install {
    /// Say so in a sentence, then install.
    Missing,
    /// Trust that everything is there.
    Skip,
}

struct Package {
    name: &'static str,
    need: Need,
    why: &'static str,
    /// The package is not needed where this holds, installed or not.
    unless: Unless,
}

#[derive(Debug, Clone, Copy)]
enum Unless {
    Never,
    /// A program of this name is on the path, whoever put it there.
    Program(&'static str),
    /// Some font on this system draws Chinese.
    ChineseFont,
    /// Some `python3` on this system can make a virtual environment with pip.
    PythonVenv,
}

const fn package(name: &'static str, need: Need, why: &'static str) -> Package {
    Package { name, need, why, unless: Unless::Never }
}

const fn unless(name: &'static str, need: Need, why: &'static str, unless: Unless) -> Package {
    Package { name, need, why, unless }
}

/// Debian's and Ubuntu's names. Tried on Debian 12.
const PACKAGES: &[Package] = &[
    unless("build-essential", Need::Build, "C and C++ compilers for the codecs", Unless::Program("c++")),
    unless("cmake", Need::Build, "builds libopus", Unless::Program("cmake")),
    unless(
        "nasm",
        Need::Build,
        "OpenH264's assembler: without it, encoding takes 2.4 times the time",
        Unless::Program("nasm"),
    ),
    unless("pkg-config", Need::Build, "finds the libraries below", Unless::Program("pkg-config")),
    package("libclang-dev", Need::Build, "reads the kernel's camera headers"),
    package("libasound2-dev", Need::Build, "microphone and speaker"),
    package("libdbus-1-dev", Need::Build, "the window's session bus"),
    package("libgtk-3-dev", Need::Build, "the window"),
    package("libwebkit2gtk-4.1-dev", Need::Build, "the window's page"),
    package("libayatana-appindicator3-dev", Need::Build, "the tray icon"),
    package("librsvg2-dev", Need::Build, "the window's icons"),
    package("gstreamer1.0-plugins-base", Need::Window, "the webview's media, base"),
    package("gstreamer1.0-plugins-good", Need::Window, "the webview's media, formats"),
    package("gstreamer1.0-libav", Need::Window, "the webview's H.264 decoder"),
    package("libgl1-mesa-dri", Need::Window, "drawing without a graphics card"),
    unless("fonts-noto-cjk", Need::Window, "Chinese on the screen", Unless::ChineseFont),
    unless("xvfb", Need::VirtualDisplay, "a display in memory", Unless::Program("Xvfb")),
    unless("xauth", Need::VirtualDisplay, "the display's key", Unless::Program("xauth")),
    unless("dbus", Need::VirtualDisplay, "a session bus for tray and single instance", Unless::Program("dbus-daemon")),
    package("dbus-x11", Need::VirtualDisplay, "lets a program without a session bus start one"),
    unless("procps", Need::Tests, "ends programs by number", Unless::Program("kill")),
    unless("curl", Need::Tests, "a second RTMP stack: librtmp", Unless::Program("curl")),
    unless("ffmpeg", Need::Tests, "the patient, and the reader that measures", Unless::Program("ffmpeg")),
    unless("chromium", Need::EndToEnd, "a browser that publishes and plays", Unless::Program("chromium")),
    unless("chromium-driver", Need::EndToEnd, "steers that browser", Unless::Program("chromedriver")),
    unless("webkit2gtk-driver", Need::EndToEnd, "steers our window", Unless::Program("WebKitWebDriver")),
    unless("pulseaudio", Need::Tests, "microphone and speaker without hardware", Unless::Program("pulseaudio")),
    unless("pulseaudio-utils", Need::Tests, "plays into one and records the other", Unless::Program("pactl")),
    unless("x11-apps", Need::EndToEnd, "small programs that draw, and pictures of the display", Unless::Program("xwd")),
    unless("iproute2", Need::EndToEnd, "network namespaces", Unless::Program("ip")),
    unless(
        "nginx-light",
        Need::EndToEnd,
        "a cache in front of HLS, and an RTMP relay to measure ours by",
        Unless::Program("nginx"),
    ),
    unless("gstreamer1.0-tools", Need::EndToEnd, "a second player: gst-launch-1.0", Unless::Program("gst-launch-1.0")),
    package("gstreamer1.0-plugins-bad", Need::EndToEnd, "that player's HLS, and its H.264 parser"),
    package("gstreamer1.0-rtsp", Need::EndToEnd, "that player as a publisher by RTSP"),
    package("gir1.2-gst-rtsp-server-1.0", Need::EndToEnd, "a camera to pull from: an RTSP server"),
    package("python3-gi", Need::EndToEnd, "that server's language"),
    package("libnginx-mod-rtmp", Need::EndToEnd, "its RTMP, to pull from and to measure by"),
    unless("openssl", Need::EndToEnd, "certificates for servers that are pulled from", Unless::Program("openssl")),
    unless("srt-tools", Need::EndToEnd, "a stranger that speaks SRT", Unless::Program("srt-live-transmit")),
    unless("firefox-esr", Need::EndToEnd, "another browser that plays", Unless::Program("firefox")),
    unless("vlc-bin", Need::EndToEnd, "the player that people have: cvlc", Unless::Program("cvlc")),
    package("vlc-plugin-base", Need::EndToEnd, "that player's RTMP and HLS"),
    package("vlc-plugin-access-extra", Need::EndToEnd, "that player's SRT"),
    unless("python3-venv", Need::EndToEnd, "a place for the WebRTC peer written in Python", Unless::PythonVenv),
];

/// Makes sure that what `needs` asks for is there.
pub(crate) fn ensure(needs: &[Need], install: Install) -> Result<()> {
    if install == Install::Missing {
        let missing = missing(needs);
        if !missing.is_empty() {
            apt_install(&missing)?;
        }
    }
    if needs.contains(&Need::Build) {
        require_nasm()?;
    }
    Ok(())
}

/// What `ensure` would install, in words, for `--plan`.
pub(crate) fn plan(needs: &[Need]) -> String {
    if !has_apt() {
        return elsewhere(needs);
    }
    let missing = missing(needs);
    let mut text = String::new();
    for package in PACKAGES.iter().filter(|package| needs.contains(&package.need)) {
        let state = if missing.iter().any(|other| other.name == package.name) { "to install" } else { "there" };
        text += &format!("  {:<10}  {:<30} {}\n", state, package.name, package.why);
    }
    text
}

/// Without nasm OpenH264 builds silently without its assembler, and everything is late; so that is an error here.
fn require_nasm() -> Result<()> {
    if !process::succeeds(process::command("nasm").arg("-v")) {
        bail!(
            "nasm is not installed: OpenH264 would be built without its assembler and be 2.4 times slower. {}",
            elsewhere(&[Need::Build])
        );
    }
    Ok(())
}

fn has_apt() -> bool {
    process::find("apt-get").is_some() && process::find("dpkg-query").is_some()
}

fn missing(needs: &[Need]) -> Vec<&'static Package> {
    if !has_apt() {
        return Vec::new();
    }
    let wanted: Vec<&Package> = PACKAGES.iter().filter(|package| needs.contains(&package.need)).collect();
    let mut query = process::command("dpkg-query");
    query
        .args(["--show", "--showformat", "${Package}\t${db:Status-Status}\n"])
        .args(wanted.iter().map(|package| package.name));
    // dpkg-query ends with 1 when it does not know one of the names, and still prints the others.
    let installed = process::output(&mut query)
        .map(|output| installed(&String::from_utf8_lossy(&output.stdout)))
        .unwrap_or_default();
    wanted.into_iter().filter(|package| !installed.contains(package.name) && !package.unless.holds()).collect()
}

fn installed(listing: &str) -> BTreeSet<String> {
    listing.lines().filter_map(|line| line.strip_suffix("\tinstalled")).map(str::to_owned).collect()
}

impl Unless {
    fn holds(self) -> bool {
        match self {
            Self::Never => false,
            Self::Program(name) => process::find(name).is_some(),
            Self::ChineseFont => process::text(process::command("fc-list").args([":lang=zh-cn", "family"]))
                .is_ok_and(|fonts| !fonts.trim().is_empty()),
            Self::PythonVenv => crate::judges::python().is_some(),
        }
    }
}

fn apt_install(missing: &[&Package]) -> Result<()> {
    let reasons: Vec<String> = missing.iter().map(|package| format!("{} ({})", package.name, package.why)).collect();
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    eprintln!("Installing {} from this system's packages with apt-get.", reasons.join(", "));
    if as_root("true").get_program() == "sudo" {
        process::run(process::command("sudo").arg("--validate"))?;
    }
    progress::quiet("Reading the package lists", "apt-update", as_root("apt-get").arg("update"))?;
    let mut install = as_root("apt-get");
    install.args(["install", "--yes", "--no-install-recommends"]).args(["-o", "DPkg::Lock::Timeout=300"]).args(names);
    progress::quiet("Installing system packages", "apt-install", &mut install)
}

/// The command, through sudo unless we are root already.
fn as_root(program: &str) -> Command {
    let root = process::text(process::command("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let mut command = if root {
        process::command("env")
    } else {
        let mut sudo = process::command("sudo");
        sudo.arg("env");
        sudo
    };
    command.args(["DEBIAN_FRONTEND=noninteractive", program]);
    command
}

/// What to type on a system without apt.
fn elsewhere(needs: &[Need]) -> String {
    if cfg!(target_os = "macos") {
        return "On macOS: `xcode-select --install` and `brew install cmake nasm pkg-config` (tests also: `brew install ffmpeg`).".into();
    }
    if cfg!(windows) {
        return "On Windows: Visual Studio Build Tools with C++, then `winget install Kitware.CMake NASM.NASM LLVM.LLVM` and a new terminal.".into();
    }
    let names: Vec<&str> =
        PACKAGES.iter().filter(|package| needs.contains(&package.need)).map(|package| package.name).collect();
    format!("Install what your system calls these packages of Debian's: {}.", names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_count() {
        let listing = "nasm\tinstalled\nffmpeg\tnot-installed\nxvfb\tconfig-files\nlibgtk-3-dev\tinstalled\n";
        assert_eq!(installed(listing), BTreeSet::from(["nasm".to_owned(), "libgtk-3-dev".to_owned()]));
    }

    #[test]
    fn no_package_twice_and_each_with_a_reason() {
        let names: BTreeSet<&str> = PACKAGES.iter().map(|package| package.name).collect();
        assert_eq!(names.len(), PACKAGES.len());
        assert!(PACKAGES.iter().all(|package| !package.why.is_empty()));
    }

    #[test]
    fn the_plan_names_every_package_of_its_needs() {
        if has_apt() {
            let plan = plan(&[Need::Build]);
            assert!(plan.contains("libwebkit2gtk-4.1-dev"), "{plan}");
            assert!(!plan.contains("chromium"), "{plan}");
        }
    }
}
