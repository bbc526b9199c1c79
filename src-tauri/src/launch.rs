//! From the command line to the window.
//!
//! Belongs here: arguments, logging, what must be true before the first window. Not here: the window (`gui`).

use crate::gui;
use crate::view::Language;
use anyhow::Context;
use clap::{Parser, ValueEnum};
use engine::{EngineConfig, Profile, Synthetic, profile_folder, self_test};
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Tells WebKitGTK to leave the GPU alone.
const NO_DMABUF: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";

/// Video consultations from this computer.
#[derive(Debug, Parser)]
#[command(name = "visavis", version)]
struct Args {
    /// Folder of settings, visits, recordings and logs; one program at a time.
    #[arg(long, value_name = "DIR")]
    profile: Option<PathBuf>,
    /// Test card and beep in place of camera and microphone; `clock` draws the time for programs that measure.
    #[arg(long, value_name = "WHAT", num_args = 0..=1, default_missing_value = "card")]
    synthetic: Option<SyntheticArg>,
    /// Press the button at launch.
    #[arg(long, value_name = "BUTTON")]
    start: Option<Button>,
    /// One line of JSON with every URL, port and token on standard output once up.
    #[arg(long)]
    ready_json: bool,
    /// Looks at devices, ports, codecs and the relay, and prints what it found as JSON.
    #[arg(long)]
    self_test: bool,
    /// Language of the window for this run.
    #[arg(long, value_name = "LANG")]
    lang: Option<LanguageArg>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SyntheticArg {
    Card,
    Clock,
}

/// A button that can be pressed at launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Button {
    /// Start consultation.
    Consult,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LanguageArg {
    #[value(name = "zh-CN")]
    ZhCn,
    En,
}

/// What the launch asks of the window.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Launch {
    pub(crate) start: Option<Button>,
    pub(crate) ready_json: bool,
    pub(crate) language: Option<Language>,
}

/// The program.
pub(crate) fn main() -> ExitCode {
    let args = Args::parse();
    let filter = EnvFilter::try_from_env("VISAVIS_LOG").unwrap_or_else(|_| EnvFilter::new("info,rtc=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    // One crypto everywhere; another part of the program may not choose a second.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::warn!("a crypto provider was installed already");
    }
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if !args.self_test {
        spare_the_gpu().context("starting again without GPU")?;
    }
    let config = EngineConfig {
        profile: Profile::open(&profile_folder(args.profile.clone()))?,
        synthetic: match args.synthetic {
            None => Synthetic::No,
            Some(SyntheticArg::Card) => Synthetic::TestCard,
            Some(SyntheticArg::Clock) => Synthetic::Clock,
        },
        keychain: true,
    };
    if args.self_test {
        return print_self_test(config);
    }
    let launch = Launch {
        start: args.start,
        ready_json: args.ready_json,
        language: args.lang.map(|lang| match lang {
            LanguageArg::ZhCn => Language::ZhCn,
            LanguageArg::En => Language::En,
        }),
    };
    gui::run(config, launch)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints every check, and fails if the program cannot work.
fn print_self_test(config: EngineConfig) -> anyhow::Result<ExitCode> {
    let checks = self_test(config)?;
    let ok = checks.iter().all(|c| c.ok || c.optional);
    let list: Vec<_> = checks
        .iter()
        .map(|c| serde_json::json!({ "name": c.name, "ok": c.ok, "optional": c.optional, "detail": c.detail }))
        .collect();
    gui::print_line(&serde_json::json!({ "ok": ok, "checks": list }));
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Without a GPU WebKitGTK composes the whole window in software: 106 ms a picture and a full core. Its switch must be in the
/// environment before GTK starts, so the program starts itself once more with it, in the same process.
#[cfg(target_os = "linux")]
fn spare_the_gpu() -> std::io::Result<()> {
    use std::os::unix::process::CommandExt;
    let gpu = std::fs::read_dir("/dev/dri")
        .is_ok_and(|nodes| nodes.flatten().any(|n| n.file_name().to_string_lossy().starts_with("renderD")));
    if gpu || std::env::var_os(NO_DMABUF).is_some() {
        return Ok(());
    }
    let mut again = std::process::Command::new(std::env::current_exe()?);
    Err(again.args(std::env::args_os().skip(1)).env(NO_DMABUF, "1").exec())
}

#[cfg(not(target_os = "linux"))]
fn spare_the_gpu() -> std::io::Result<()> {
    tracing::debug!("{NO_DMABUF} is for WebKitGTK alone");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let check = |line: &str, want: &dyn Fn(&Args) -> bool| {
            let args = Args::try_parse_from(line.split(' ')).unwrap();
            assert!(want(&args), "{line}: {args:?}");
        };
        check("visavis", &|a| a.synthetic.is_none() && a.start.is_none() && !a.ready_json);
        check("visavis --synthetic", &|a| a.synthetic == Some(SyntheticArg::Card));
        check("visavis --synthetic clock --start consult --ready-json --lang en --profile /tmp/p", &|a| {
            a.synthetic == Some(SyntheticArg::Clock)
                && a.start == Some(Button::Consult)
                && a.ready_json
                && a.lang == Some(LanguageArg::En)
                && a.profile.is_some()
        });
        check("visavis --lang zh-CN --synthetic --self-test", &|a| a.self_test && a.lang == Some(LanguageArg::ZhCn));
        assert!(Args::try_parse_from(["visavis", "--start", "dance"]).is_err());
    }
}
