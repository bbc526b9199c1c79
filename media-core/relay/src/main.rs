//! `visavis-relay`: the relay without a window.
//!
//! Belongs here: the command line, the log, signals. Not here: everything else.

use anyhow::{Context, bail};
use clap::Parser;
use relay::config::Config;
use relay::{Bound, Relay};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

/// Media relay: RTMP, RTSP, SRT and WebRTC in and out; HTTP-FLV and HLS out; sound in the codec each listener can play.
#[derive(Debug, Parser)]
#[command(name = "visavis-relay", version)]
struct Args {
    /// Configuration file. Without one: ./visavis.yml, then ./mediamtx.yml, then built-in defaults.
    file: Option<PathBuf>,
    /// Print what every line of the configuration means here, and exit.
    #[arg(long)]
    check: bool,
    /// Print one line of JSON with every address once the relay is up.
    #[arg(long)]
    ready_json: bool,
}

/// The WebRTC stack warns of every stray datagram of a peer that has just gone, SRT's of what it does not know, TLS of clients that name an
/// address instead of a host; `RUST_LOG` brings it back. A directive's target is a prefix, so this is `rtc_ice`, `rtc_dtls` and the others
/// too.
const QUIET: &str = "rtc=error,srt_protocol=error,rustls=error";

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            eprintln!("visavis-relay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let config = load(args.file.as_deref())?;
    if args.check {
        return check(&config);
    }
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_unset| tracing_subscriber::EnvFilter::new(format!("{},{QUIET}", config.log_level)));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        bail!("a TLS provider is installed already");
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(config, args.ready_json))
}

fn load(file: Option<&Path>) -> anyhow::Result<Config> {
    let found = file
        .map(Path::to_owned)
        .or_else(|| ["visavis.yml", "mediamtx.yml"].into_iter().map(PathBuf::from).find(|path| path.exists()));
    match found {
        Some(path) => Config::load(&path).with_context(|| path.display().to_string()),
        None => Config::defaults().context("built-in defaults"),
    }
}

#[expect(clippy::print_stdout, reason = "the answer to --check goes to standard output")]
fn check(config: &Config) -> anyhow::Result<()> {
    for note in &config.notes {
        println!("{note}");
    }
    Ok(())
}

async fn serve(config: Config, ready_json: bool) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let relay = Relay::start(config.relay).await?;
    if ready_json {
        announce(relay.bound());
    }
    tokio::select! {
        _ = terminate.recv() => info!("asked to stop"),
        _ = interrupt.recv() => info!("interrupted"),
    }
    relay.stop().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the ready line goes to standard output")]
fn announce(bound: Bound) {
    let text = |address: Option<std::net::SocketAddr>| address.map(|a| a.to_string());
    let line = serde_json::json!({
        "rtmp": text(bound.rtmp),
        "rtmps": text(bound.rtmps),
        "rtsp": text(bound.rtsp),
        "rtsps": text(bound.rtsps),
        "rtspUdp": bound.rtsp_udp.map(|(rtp, _)| rtp),
        "hls": text(bound.hls),
        "srt": text(bound.srt),
        "webrtc": text(bound.webrtc),
        "webrtcUdp": bound.webrtc_udp,
        "webrtcTcp": text(bound.webrtc_tcp),
        "api": text(bound.api),
        "metrics": text(bound.metrics),
    });
    println!("{line}");
}
