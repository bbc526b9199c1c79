//! `cargo xtask run`: the app, from a fresh checkout to an open window.
//!
//! Belongs here: what is installed and built before it, where it is shown, what is printed about it.
//! Not here: anything the app does itself (`engine`, `src-tauri`).

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::mpsc::RecvTimeoutError,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::{
    cargo::{self, Profile},
    children::{self, Background},
    process, progress,
    tools::{self, Install, Need},
    ui,
    virtual_display::{SessionBus, VirtualDisplay, has_display},
};

/// How often the app and Ctrl-C are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The app must say that it is up, and have drawn something, within this; the first start of a webview on a busy machine takes seconds.
const UP: Duration = Duration::from_secs(90);

/// Build the app and open it.
///
/// Installs what is missing (system packages through apt, the page's packages through npm), builds the page and the app, and
/// starts it. Arguments after `--` go to the app. Without a display it runs on a virtual one and prints the patient's URLs. Ctrl-C
/// ends everything that was started.
///
/// Examples:
///   cargo xtask run
///   cargo xtask run -- --synthetic --start consult
///   cargo xtask run --screenshot window.png -- --synthetic
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Build with full optimisation, as it is shipped.
    #[arg(long)]
    release: bool,
    /// Show the window on a virtual display, save what it shows as PNG in FILE, and end.
    #[arg(long, value_name = "FILE")]
    screenshot: Option<PathBuf>,
    /// Let the app run so many seconds after it is up before the screenshot.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, requires = "screenshot")]
    after: u64,
    /// Use a virtual display although there is a real one.
    #[arg(long)]
    virtual_display: bool,
    /// The virtual display's size.
    #[arg(long, value_name = "WxH", default_value = "1280x800")]
    size: String,
    /// Install nothing; what is missing is an error.
    #[arg(long)]
    skip_install: bool,
    /// Say which system packages are there and which would be installed, and end.
    #[arg(long)]
    plan: bool,
    /// For the app itself; `-- --help` shows what it takes.
    #[arg(last = true)]
    app: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let on_virtual = args.virtual_display || args.screenshot.is_some() || !has_display();
    let mut needs = vec![Need::Build, Need::Window];
    if on_virtual {
        needs.push(Need::VirtualDisplay);
    }
    if args.plan {
        print!("{}", tools::plan(&needs));
        return Ok(());
    }
    tools::ensure(&needs, if args.skip_install { Install::Skip } else { Install::Missing })?;
    ui::build()?;
    let profile = if args.release { Profile::Release } else { Profile::Dev };
    progress::step("Building the app", || {
        let mut build = cargo::cargo("build");
        // The whole workspace's features, so that a later `test` finds everything built.
        build.args(["--workspace", "--bin", cargo::APP]).args(profile.args());
        process::run(&mut build)
    })?;
    children::catch_interrupts()?;
    start(args, on_virtual, &profile.program(cargo::APP)?)
}

/// The display and the bus outlive the app, in the order of these variables.
fn start(args: &Args, on_virtual: bool, program: &Path) -> Result<()> {
    let bus = SessionBus::start_if_absent()?;
    let display = if on_virtual { Some(VirtualDisplay::start(&args.size)?) } else { None };
    let mut command = process::command(program);
    command.args(&args.app);
    if !args.app.iter().any(|arg| arg == "--ready-json") {
        command.arg("--ready-json");
    }
    if let Some(bus) = &bus {
        bus.connect(&mut command);
    }
    if let Some(display) = &display {
        display.show(&mut command);
        eprintln!("==> The window is on the virtual display {} ({})", display.name(), args.size);
    }
    let mut app = Background::start(command.stdout(Stdio::piped()))?;
    let lines = app.lines()?;
    let begun = Instant::now();
    let mut up_since = None;
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => match serde_json::from_str::<Value>(&line) {
                Ok(ready @ Value::Object(_)) if up_since.is_none() => {
                    up_since = Some(Instant::now());
                    eprintln!("==> Up after {}", progress::elapsed(begun.elapsed()));
                    print!("{}", urls(&ready));
                }
                _ => println!("{line}"),
            },
            // The app closed its output: it is ending, which is seen below.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(status) = app.ended()? {
            let wanted = status.success() && args.screenshot.is_none();
            return if wanted { Ok(()) } else { bail!("the app ended with {status}") };
        }
        if children::interrupted() {
            eprintln!("==> Ending");
            return Ok(());
        }
        let (Some(file), Some(display)) = (&args.screenshot, &display) else { continue };
        let settled = up_since.is_some_and(|since| since.elapsed() >= Duration::from_secs(args.after));
        if settled {
            let shot = display.shot()?;
            if !shot.is_blank() {
                shot.save_png(file)?;
                println!("{}", file.display());
                return Ok(());
            }
        }
        if begun.elapsed() > UP + Duration::from_secs(args.after) {
            bail!(
                "{} within {} s",
                if up_since.is_some() { "the app drew nothing" } else { "the app was not up" },
                begun.elapsed().as_secs()
            );
        }
    }
}

/// Every URL in the ready line, one a line behind its name.
fn urls(ready: &Value) -> String {
    let mut found = Vec::new();
    collect_urls(ready, "", &mut found);
    found.into_iter().map(|(name, url)| format!("  {name:<24} {url}\n")).collect()
}

fn collect_urls(value: &Value, name: &str, found: &mut Vec<(String, String)>) {
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::String(text) if text.contains("://") => found.push((name.to_owned(), text.clone())),
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                collect_urls(value, &below(&index.to_string()), found);
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                collect_urls(value, &below(key), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn urls_are_found_wherever_they_are() -> Result<()> {
        let ready = serde_json::json!({
            "patient": {"rtmp": "rtmp://h/doctorStream?token=t", "web": ["https://h:8443/v/t"]},
            "ports": {"rtmp": 1935},
        });
        let text = urls(&ready);
        assert!(text.contains("patient.rtmp") && text.contains("rtmp://h/doctorStream?token=t"), "{text}");
        assert!(text.contains("patient.web.0") && !text.contains("1935"), "{text}");
        Ok(())
    }

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(words: &[&str]) -> Result<Args> {
        let words = ["run"].iter().chain(words);
        Ok(<Line as clap::Parser>::try_parse_from(words).context("the command line")?.args)
    }

    #[test]
    fn app_arguments_pass_after_two_dashes() -> Result<()> {
        let args = parse(&["--release", "--", "--synthetic", "clock"])?;
        assert!(args.release);
        assert_eq!(args.app, ["--synthetic", "clock"]);
        assert!(parse(&["--after", "5"]).is_err(), "there is nothing to wait for without a screenshot");
        Ok(())
    }

    /// A program in the app's place: says that it is up, then draws with X11's own demo.
    #[cfg(target_os = "linux")]
    fn stand_in(folder: &Path, script: &str) -> Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder.join("app");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_window_shows_is_saved() -> Result<()> {
        if ["Xvfb", "xauth", "xlogo"].iter().any(|name| process::find(name).is_none()) {
            eprintln!("no Xvfb or no xlogo here");
            return Ok(());
        }
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("window.png");
        let app = stand_in(folder.path(), r#"echo '{"web":"https://h/v/t"}'; exec xlogo -geometry 200x200"#)?;
        let path = file.to_string_lossy();
        start(&parse(&["--screenshot", &path, "--after", "0", "--size", "320x240"])?, true, &app)?;
        let bytes = std::fs::read(&file)?;
        assert!(bytes.starts_with(b"\x89PNG"), "{} bytes", bytes.len());
        Ok(())
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_app_that_ends_early_is_an_error() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let app = stand_in(folder.path(), "exit 3")?;
        let error = start(&parse(&[])?, false, &app).unwrap_err();
        assert!(error.to_string().contains('3'), "{error}");
        Ok(())
    }
}
