//! Sources: streams that the relay fetches from servers none of us wrote, always or on demand, and again when the server was away.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Context, Result, ensure};
use e2e::browser::{judge_says, python};
use e2e::content::{Content, judge, whole};
use e2e::enhanced_rtmp;
use e2e::ffmpeg::{pull, pull_rtsp};
use e2e::http::{get, request};
use e2e::nginx::{Nginx, free_address};
use e2e::patient::{Patient, Phone};
use e2e::program::{Program, output_dir};
use e2e::relay::{EVERYTHING, Relay};
use e2e::rtsp_server::RtspServer;
use e2e::tls::Certificate;
use e2e::wait::wait_for;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Sound and picture may be this far apart: what a viewer does not notice (ITU-R BT.1359).
const LIP_SYNC: f64 = 0.045;

/// Checks that times rise and beeps come with their pictures. Where the stream was cut a beep may be, too, and is no pure tone.
fn goes_on(content: &Content, limit: f64) -> Result<()> {
    content.dts_rises()?;
    let offsets = content.offsets();
    ensure!(offsets.len() >= 4 && offsets.iter().all(|offset| offset.abs() <= limit), "{offsets:?}");
    Ok(())
}

/// A relay with every server and these paths, which are YAML in braces.
fn relay(dir: &Path, paths: &str) -> Result<Relay> {
    Relay::start(dir, &EVERYTHING.replace("{all_others: }", paths))
}

/// Publishers and players that nginx has.
fn clients(status: &str) -> Result<usize> {
    Ok(get(status, "/stat")?.matches("<client>").count())
}

#[test]
fn rtmp_always_and_on_demand() -> Result<()> {
    let dir = output_dir("source_rtmp_always_and_on_demand")?;
    let (address, status) = (free_address()?, free_address()?);
    let _nginx = Nginx::rtmp(&dir, &address, &status)?;
    let url = format!("rtmp://{address}/live/cam");
    let _patient = Patient::push("patient", &dir, &url, &Phone::default())?;
    wait_for("the patient at nginx", Duration::from_secs(15), || Ok((clients(&status)? == 1).then_some(())))?;
    let paths = format!(
        "{{always: {{source: \"{url}\"}}, wanted: {{source: \"{url}\", sourceOnDemand: yes, sourceOnDemandCloseAfter: 1s}}}}"
    );
    let relay = relay(&dir, &paths)?;
    let always = relay.path_ready("always")?;
    assert_eq!(always["source"]["type"], "rtmpSource");
    let wanted = relay.path_until("wanted", |_| true)?;
    assert_eq!((&wanted["source"]["type"], &wanted["ready"]), (&"rtmpSource".into(), &false.into()));
    // The other source came at once, so this one would have, too.
    assert_eq!(clients(&status)?, 2);

    let (a, b) = (dir.join("always.flv"), dir.join("wanted_aac.flv"));
    let mut readers = [
        pull("always", &dir, &relay.rtmp("always")?, 5.0, &a)?,
        pull("wanted", &dir, &relay.rtmp("wanted")?, 5.0, &b)?,
    ];
    relay.path_ready("wanted")?;
    assert_eq!(clients(&status)?, 3);
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    whole(&a, ("h264", "aac"), 3)?;
    whole(&b, ("h264", "aac"), 3)?;
    wait_for("the end of the source", Duration::from_secs(10), || Ok((clients(&status)? == 2).then_some(())))?;
    relay.path_until("wanted", |path| path["ready"] == false)?;
    relay.stop()
}

/// Somebody who reads `cam` into `file` and has had some seconds of it.
fn well_under_way(relay: &Relay, dir: &Path, file: &Path) -> Result<Program> {
    relay.path_ready("cam")?;
    let reader = pull("reader", dir, &relay.rtmp("cam")?, 12.0, file)?;
    relay.path_until("cam", |path| path["readers"].as_array().is_some_and(|readers| !readers.is_empty()))?;
    let received = |path: &serde_json::Value| path["inboundBytes"].as_u64().unwrap_or_default();
    let joined = received(&relay.path_ready("cam")?);
    relay.path_until("cam", |path| received(path) > joined + 300_000)?;
    Ok(reader)
}

#[test]
fn the_server_is_killed_and_comes_back() -> Result<()> {
    let dir = output_dir("source_the_server_is_killed_and_comes_back")?;
    let (address, status) = (free_address()?, free_address()?);
    let url = format!("rtmp://{address}/live/cam");
    let nginx = Nginx::rtmp(&dir, &address, &status)?;
    let patient = Patient::push("first", &dir, &url, &Phone::default())?;
    let relay = relay(&dir, &format!("{{cam: {{source: \"{url}\"}}}}"))?;
    let file = dir.join("both.flv");
    let mut reader = well_under_way(&relay, &dir, &file)?;

    drop((nginx, patient));
    relay.path_until("cam", |path| path["ready"] == false)?;
    let _nginx = Nginx::rtmp(&dir, &address, &status)?;
    let _patient = Patient::push("second", &dir, &url, &Phone { stream: 8, ..Phone::default() })?;
    relay.path_ready("cam")?;
    reader.succeed(Duration::from_secs(60))?;
    let content = Content::read(&file)?;
    goes_on(&content, LIP_SYNC)?;
    let streams: Vec<u8> = content.pictures.iter().filter_map(|(_, clock)| clock.map(|c| c.stream)).collect();
    ensure!(streams.is_sorted() && streams.first() == Some(&7) && streams.last() == Some(&8), "{streams:?}");
    relay.stop()
}

#[test]
fn a_reader_is_told_when_the_source_does_not_answer() -> Result<()> {
    let dir = output_dir("source_a_reader_is_told_when_the_source_does_not_answer")?;
    let nobody = free_address()?;
    let source = format!("source: \"rtmp://{nobody}/live/cam\", sourceOnDemand: yes");
    let relay = relay(&dir, &format!("{{dead: {{{source}, sourceOnDemandStartTimeout: 1s}}}}"))?;
    let asked = Instant::now();
    let (answer, _) = request("GET", &relay.address("hls")?, "/dead.flv")?;
    assert_eq!(answer, 404);
    let took = asked.elapsed();
    ensure!(took >= Duration::from_secs(1) && took < Duration::from_secs(8), "{took:?}");
    relay.stop()
}

#[test]
fn rtmps_by_the_fingerprint_of_its_certificate() -> Result<()> {
    let dir = output_dir("source_rtmps_by_the_fingerprint_of_its_certificate")?;
    let (address, status) = (free_address()?, free_address()?);
    let _nginx = Nginx::rtmp(&dir, &address, &status)?;
    let _patient = Patient::push("patient", &dir, &format!("rtmp://{address}/live/cam"), &Phone::default())?;
    let (_proxy, proxied, fingerprint) = behind_tls(&dir, &address)?;
    let url = format!("rtmps://{proxied}/live/cam");

    let other = fingerprint.replace(['0', '1'], "F");
    let relay = relay(
        &dir,
        &format!(
            "{{known: {{source: \"{url}\", sourceFingerprint: \"{fingerprint}\"}}, unknown: {{source: \"{url}\"}}, \
             other: {{source: \"{url}\", sourceFingerprint: \"{other}\"}}}}"
        ),
    )?;
    relay.path_ready("known")?;
    let file = dir.join("known.flv");
    pull("reader", &dir, &relay.rtmp("known")?, 5.0, &file)?.succeed(Duration::from_secs(40))?;
    whole(&file, ("h264", "aac"), 3)?;
    for path in ["unknown", "other"] {
        ensure!(relay.path_until(path, |_| true)?["ready"] == false, "{path} has no certificate that is good");
    }
    let log = std::fs::read_to_string(dir.join("relay.err"))?;
    ensure!(log.contains("invalid peer certificate"), "{log}");
    relay.stop()
}

/// A camera: GStreamer's server, which takes picture and sound from nginx, coded and packed as wished.
struct Camera {
    server: RtspServer,
    _patient: Patient,
    _nginx: Nginx,
}

const H264: &str = "rtph264pay name=pay0 pt=96 config-interval=1";
const H265: &str = "avdec_h264 ! x265enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=1500 \
    ! h265parse ! rtph265pay name=pay0 pt=96 config-interval=1";
const AAC: &str = "rtpmp4gpay name=pay1 pt=97";
const OPUS: &str = "avdec_aac ! audioconvert ! audioresample ! opusenc ! rtpopuspay name=pay1 pt=97";
const G711: &str =
    "avdec_aac ! audioconvert ! audioresample ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1 pt=8";

impl Camera {
    fn start(dir: &Path, picture: &str, sound: &str, options: &[&str]) -> Result<Self> {
        let (address, status) = (free_address()?, free_address()?);
        let nginx = Nginx::rtmp(dir, &address, &status)?;
        let url = format!("rtmp://{address}/live/cam");
        let patient = Patient::push("patient", dir, &url, &Phone::default())?;
        wait_for("the patient at nginx", Duration::from_secs(15), || Ok((clients(&status)? == 1).then_some(())))?;
        let pipeline = format!(
            "rtmp2src location={url} ! flvdemux name=d \
             d.video ! queue ! h264parse ! {picture} \
             d.audio ! queue ! aacparse ! {sound}"
        );
        Ok(Self { server: RtspServer::start(dir, &pipeline, options)?, _patient: patient, _nginx: nginx })
    }

    fn url(&self, credentials: &str) -> String {
        format!("rtsp://{credentials}{}/cam", self.server.address)
    }
}

/// This camera's pictures leave it some 45 ms late, and until its first sender report, seconds after PLAY, there is nothing to go by but
/// arrival. From then on they are in step.
fn comes_into_step(content: &Content) -> Result<()> {
    let offsets = content.offsets();
    ensure!(offsets.len() >= 4 && offsets.iter().all(|o| o.abs() <= 0.1), "out of step: {offsets:?}");
    ensure!(offsets.last().is_some_and(|o| o.abs() <= LIP_SYNC), "not brought into step: {offsets:?}");
    Ok(())
}

/// What the camera shows and says comes out by RTSP with `codec`, and by RTMP.
fn from_a_camera(test: &str, sound: &str, codec: &str, options: &[&str], keys: &str, credentials: &str) -> Result<()> {
    let dir = output_dir(test)?;
    let camera = Camera::start(&dir, H264, sound, options)?;
    let relay = relay(&dir, &format!("{{cam: {{source: \"{}\", {keys}}}}}", camera.url(credentials)))?;
    assert_eq!(relay.path_ready("cam")?["source"]["type"], "rtspSource");
    let (own, flv) = (dir.join("own.mkv"), dir.join("rtmp.flv"));
    let mut readers = [
        pull_rtsp("own", &dir, &relay.rtsp("cam")?, "tcp", 6.0, &own)?,
        pull("rtmp", &dir, &relay.rtmp("cam")?, 6.0, &flv)?,
    ];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    judge(&own, ("h264", codec), comes_into_step)?;
    judge(&flv, ("h264", "aac"), comes_into_step)?;
    let log = std::fs::read_to_string(dir.join("relay.err"))?;
    ensure!(!log.contains("hunter2"), "the log has the password");
    relay.stop()
}

#[test]
fn rtsp_with_digest_in_the_connection() -> Result<()> {
    let options = ["--user", "admin", "--password", "hunter2"];
    let name = "source_rtsp_with_digest_in_the_connection";
    from_a_camera(name, AAC, "aac", &options, "rtspTransport: tcp", "admin:hunter2@")
}

#[test]
fn rtsp_by_udp_where_the_camera_has_nothing_else() -> Result<()> {
    let name = "source_rtsp_by_udp_where_the_camera_has_nothing_else";
    from_a_camera(name, OPUS, "opus", &["--transport", "udp"], "rtspTransport: automatic", "")
}

#[test]
fn rtsp_with_g711() -> Result<()> {
    from_a_camera("source_rtsp_with_g711", G711, "pcm_alaw", &[], "sourceProtocol: tcp", "")
}

/// What is behind TLS with a certificate that signed itself: `HOST:PORT`, and the certificate's fingerprint.
fn behind_tls(dir: &Path, upstream: &str) -> Result<(Program, String, String)> {
    let certificate = Certificate::make(dir, "proxy")?;
    let mut proxy = Command::new(python());
    proxy.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("support/tls_proxy.py"));
    proxy.arg(&certificate.cert).arg(&certificate.key).arg(upstream.rsplit_once(':').context("no port")?.1);
    let mut proxy = Program::start("tls", dir, &mut proxy)?;
    let address = format!("127.0.0.1:{}", proxy.first_line(Duration::from_secs(10))?);
    Ok((proxy, address, certificate.fingerprint))
}

#[test]
fn rtsps_with_digest_by_the_fingerprint() -> Result<()> {
    let dir = output_dir("source_rtsps_with_digest_by_the_fingerprint")?;
    let camera = Camera::start(&dir, H264, AAC, &["--user", "admin", "--password", "hunter2"])?;
    let (_proxy, address, fingerprint) = behind_tls(&dir, &camera.server.address)?;
    let source = |user: &str| format!("source: \"rtsps://{user}@{address}/cam\", sourceFingerprint: \"{fingerprint}\"");
    let (right, wrong) = (source("admin:hunter2"), source("admin:hunter3"));
    let paths = format!("{{cam: {{{right}}}, wanted: {{{right}, sourceOnDemand: yes}}, other: {{{wrong}}}}}");
    let relay = relay(&dir, &paths)?;
    assert_eq!(relay.path_ready("cam")?["source"]["type"], "rtspSource");
    let (own, flv) = (dir.join("own.mkv"), dir.join("rtmp.flv"));
    let mut readers = [
        pull_rtsp("own", &dir, &relay.rtsp("cam")?, "tcp", 6.0, &own)?,
        pull("rtmp", &dir, &relay.rtmp("wanted")?, 6.0, &flv)?,
    ];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    for file in [&own, &flv] {
        judge(file, ("h264", "aac"), comes_into_step)?;
    }
    ensure!(relay.path_until("other", |_| true)?["ready"] == false, "a wrong password fetches nothing");
    let log = std::fs::read_to_string(dir.join("relay.err"))?;
    ensure!(log.contains("401") && !log.contains("hunter"), "the log says what is wrong, without the password");
    relay.stop()
}

/// What another relay was pushed, of more kinds than cameras have: its own RTSPS, on from a sender that begins later.
#[test]
fn rtsps_from_another_relay() -> Result<()> {
    let dir = output_dir("source_rtsps_from_another_relay")?;
    let far = dir.join("far");
    std::fs::create_dir_all(&far)?;
    let certificate = Certificate::make(&far, "server")?;
    let paths = "{cam: {readUser: reader, readPass: hunter2}}";
    let tls = certificate.config("rtsp", "optional");
    let origin = Relay::start(&far, &(tls + &EVERYTHING.replace("{all_others: }", paths)))?;
    let at = format!("rtsps://reader:hunter2@{}/cam", origin.address("rtsps")?);
    let keys = format!("source: \"{at}\", sourceFingerprint: \"{}\"", certificate.fingerprint);
    let relay = relay(&dir, &format!("{{cam: {{{keys}}}}}"))?;
    let _patient = Patient::push("patient", &dir, &origin.rtmp("cam")?, &Phone::default())?;
    relay.path_ready("cam")?;
    let file = dir.join("rtmp.flv");
    pull("rtmp", &dir, &relay.rtmp("cam")?, 5.0, &file)?.succeed(Duration::from_secs(40))?;
    whole(&file, ("h264", "aac"), 3)?;
    relay.stop()?;
    wait_for("the end of the session", Duration::from_secs(5), || {
        Ok(origin.list("rtspssessions")?.is_empty().then_some(()))
    })?;
    origin.stop()
}

/// Pulled by RTMP and RTSP, what `send` sends to `source` is whole.
fn sent_and_fetched(test: &str, source: &str, kind: &str, send: impl FnOnce(&Path) -> Result<Patient>) -> Result<()> {
    let dir = output_dir(test)?;
    let relay = relay(&dir, &format!("{{cam: {{source: \"{source}\"}}}}"))?;
    let _patient = send(&dir)?;
    assert_eq!(relay.path_ready("cam")?["source"]["type"], kind);
    let (own, flv) = (dir.join("own.mkv"), dir.join("rtmp.flv"));
    let mut readers = [
        pull_rtsp("own", &dir, &relay.rtsp("cam")?, "tcp", 5.0, &own)?,
        pull("rtmp", &dir, &relay.rtmp("cam")?, 5.0, &flv)?,
    ];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    for file in [&own, &flv] {
        whole(file, ("h264", "aac"), 3)?;
    }
    relay.stop()
}

/// Enhanced RTMP shows it, as RTSP does not send it yet.
#[test]
fn rtsp_with_h265() -> Result<()> {
    let dir = output_dir("source_rtsp_with_h265")?;
    let camera = Camera::start(&dir, H265, AAC, &[])?;
    let relay = relay(&dir, &format!("{{cam: {{source: \"{}\"}}}}", camera.url("")))?;
    let path = relay.path_ready("cam")?;
    assert_eq!(path["tracks"][0], "H265");
    let file = dir.join("rtmp.mkv");
    let mut reader = enhanced_rtmp::pull("rtmp", &dir, &relay.rtmp("cam")?, 6, &file, "hvc1")?;
    reader.succeed(Duration::from_secs(60))?;
    let told = judge_says(&dir.join("rtmp.out"), "pulled", Duration::from_secs(1))?;
    assert_eq!((told["video"].as_str(), told["audio"].as_str()), (Some("hevc"), Some("aac")));
    let content = Content::read(&file)?;
    content.dts_rises()?;
    content.clock_runs(1)?;
    comes_into_step(&content)?;
    ensure!(content.readable() > 0.99, "{} clocks are readable", content.readable());
    relay.stop()
}

/// GStreamer's camera codes it; RTSP shows it as it is, RTMP as H.264.
#[test]
fn rtsp_with_mjpeg() -> Result<()> {
    let dir = output_dir("source_rtsp_with_mjpeg")?;
    let picture = "avdec_h264 ! videoconvert ! jpegenc ! rtpjpegpay name=pay0 pt=26";
    let camera = Camera::start(&dir, picture, AAC, &[])?;
    let relay = relay(&dir, &format!("{{cam: {{source: \"{}\"}}}}", camera.url("")))?;
    assert_eq!(relay.path_ready("cam")?["tracks"][0], "M-JPEG");
    let (own, flv) = (dir.join("own.mkv"), dir.join("rtmp.flv"));
    let mut readers = [
        pull_rtsp("own", &dir, &relay.rtsp("cam")?, "tcp", 6.0, &own)?,
        pull("rtmp", &dir, &relay.rtmp("cam")?, 6.0, &flv)?,
    ];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    judge(&own, ("mjpeg", "aac"), comes_into_step)?;
    judge(&flv, ("h264", "aac"), comes_into_step)?;
    relay.stop()
}

/// A port that nobody has by UDP.
fn free_udp_port() -> Result<u16> {
    Ok(std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[test]
fn mpegts_by_udp() -> Result<()> {
    let port = free_udp_port()?;
    let to = format!("udp://127.0.0.1:{port}?pkt_size=1316");
    let source = format!("udp+mpegts://127.0.0.1:{port}?source=127.0.0.1");
    sent_and_fetched("source_mpegts_by_udp", &source, "mpegtsSource", |dir| {
        Patient::send_as("patient", dir, &Phone::default(), &["-f", "mpegts", &to])
    })
}

#[test]
fn srt_with_a_passphrase() -> Result<()> {
    let dir = output_dir("source_srt_with_a_passphrase")?;
    let server = format!("srt://127.0.0.1:{}", free_udp_port()?);
    let source = |passphrase: &str| format!("source: \"{server}?streamid=any&passphrase={passphrase}\"");
    let relay = relay(&dir, &format!("{{cam: {{{}}}, other: {{{}}}}}", source("right-right"), source("wrong-wrong")))?;
    // libsrt waits for the one caller that knows it.
    let url = format!("{server}?mode=listener&passphrase=right-right&pbkeylen=32");
    let _patient = Patient::push_srt("patient", &dir, &url, &Phone::default(), &[])?;
    assert_eq!(relay.path_ready("cam")?["source"]["type"], "srtSource");
    let file = dir.join("rtmp.flv");
    pull("rtmp", &dir, &relay.rtmp("cam")?, 5.0, &file)?.succeed(Duration::from_secs(40))?;
    whole(&file, ("h264", "aac"), 3)?;
    ensure!(
        relay.paths()?.iter().all(|path| path["name"] != "other" || path["ready"] == false),
        "a wrong passphrase fetches nothing"
    );
    relay.stop()
}

#[test]
fn mpegts_by_multicast() -> Result<()> {
    let port = free_udp_port()?;
    let to = format!("udp://239.255.77.7:{port}?pkt_size=1316&localaddr=127.0.0.1");
    let source = format!("udp://239.255.77.7:{port}?interface=127.0.0.1");
    sent_and_fetched("source_mpegts_by_multicast", &source, "mpegtsSource", |dir| {
        Patient::send_as("patient", dir, &Phone::default(), &["-f", "mpegts", &to])
    })
}

/// ffmpeg writes HLS as `options` say, nginx serves it, and the relay pulls `playlist`.
fn hls(test: &str, options: &[&str], playlist: &str) -> Result<()> {
    let dir = output_dir(test)?;
    let files = dir.join("files");
    if files.exists() {
        std::fs::remove_dir_all(&files)?;
    }
    std::fs::create_dir_all(&files)?;
    let nginx = Nginx::files(&dir, &files)?;
    let out = files.join("cam.m3u8").display().to_string();
    let mut all = vec!["-f", "hls", "-hls_time", "1", "-hls_list_size", "6", "-hls_flags", "delete_segments"];
    all.extend(options);
    // Sets of renditions have names of their own.
    let out = if options.contains(&"-var_stream_map") { files.join("%v.m3u8").display().to_string() } else { out };
    all.push(&out);
    let _patient = Patient::send_as("patient", &dir, &Phone::default(), &all)?;
    wait_for("three segments", Duration::from_secs(20), || {
        let texts = std::fs::read_dir(&files)?.filter_map(|f| std::fs::read_to_string(f.ok()?.path()).ok());
        let media = texts.filter(|text| text.contains("#EXTINF"));
        Ok(media.into_iter().any(|text| text.matches("#EXTINF").count() >= 4).then_some(()))
    })?;
    let relay = relay(&dir, &format!("{{cam: {{source: \"http://{}/{playlist}\"}}}}", nginx.address))?;
    assert_eq!(relay.path_ready("cam")?["source"]["type"], "hlsSource");
    let (own, flv) = (dir.join("own.mkv"), dir.join("rtmp.flv"));
    let mut readers = [
        pull_rtsp("own", &dir, &relay.rtsp("cam")?, "tcp", 6.0, &own)?,
        pull("rtmp", &dir, &relay.rtmp("cam")?, 6.0, &flv)?,
    ];
    let begun = Instant::now();
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    ensure!(begun.elapsed() > Duration::from_secs(4), "six seconds came in {:?}: not at their pace", begun.elapsed());
    for file in [&own, &flv] {
        whole(file, ("h264", "aac"), 3)?;
    }
    relay.stop()
}

#[test]
fn hls_of_mpegts() -> Result<()> {
    hls("source_hls_of_mpegts", &[], "cam.m3u8")
}

#[test]
fn hls_of_fmp4_behind_a_redirect() -> Result<()> {
    hls("source_hls_of_fmp4_behind_a_redirect", &["-hls_segment_type", "fmp4"], "hop/cam.m3u8")
}

#[test]
fn hls_with_its_sound_apart() -> Result<()> {
    let apart = [
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-hls_segment_type",
        "fmp4",
        "-hls_fmp4_init_filename",
        "init.mp4",
        "-var_stream_map",
        "a:0,agroup:sound,default:yes,name:sound v:0,agroup:sound,name:picture",
        "-master_pl_name",
        "all.m3u8",
    ];
    hls("source_hls_with_its_sound_apart", &apart, "all.m3u8")
}

#[test]
fn hls_on_demand_by_the_name_of_a_rendition() -> Result<()> {
    let dir = output_dir("source_hls_on_demand_by_the_name_of_a_rendition")?;
    let (files, place) = (dir.join("files"), dir.join("files/cam.m3u8"));
    if files.exists() {
        std::fs::remove_dir_all(&files)?;
    }
    std::fs::create_dir_all(&files)?;
    let nginx = Nginx::files(&dir, &files)?;
    let place = place.display().to_string();
    let options = ["-f", "hls", "-hls_time", "1", "-hls_list_size", "6", "-hls_flags", "delete_segments", &place];
    let _patient = Patient::send_as("patient", &dir, &Phone::default(), &options)?;
    wait_for("segments", Duration::from_secs(20), || {
        let text = std::fs::read_to_string(&place).unwrap_or_default();
        Ok((text.matches("#EXTINF").count() >= 4).then_some(()))
    })?;
    let url = format!("http://{}/cam.m3u8", nginx.address);
    let keys = format!("source: \"{url}\", sourceOnDemand: yes, sourceOnDemandCloseAfter: 1s");
    let relay = relay(&dir, &format!("{{always: {{source: \"{url}\"}}, wanted: {{{keys}}}}}"))?;
    relay.path_ready("always")?;
    ensure!(relay.path_until("wanted", |_| true)?["ready"] == false, "nobody wants it yet");
    let file = dir.join("wanted.mkv");
    // Under the name of a rendition: it is the path itself that is wanted.
    let mut reader = pull_rtsp("reader", &dir, &relay.rtsp("wanted_opus")?, "tcp", 6.0, &file)?;
    relay.path_ready("wanted")?;
    reader.succeed(Duration::from_secs(40))?;
    whole(&file, ("h264", "opus"), 3)?;
    relay.path_until("wanted", |path| path["ready"] == false)?;
    relay.stop()
}

#[test]
fn a_camera_is_killed_and_comes_back() -> Result<()> {
    let dir = output_dir("source_a_camera_is_killed_and_comes_back")?;
    let camera = Camera::start(&dir, H264, AAC, &[])?;
    let address = camera.server.address.clone();
    let relay = relay(&dir, &format!("{{cam: {{source: \"{}\"}}}}", camera.url("")))?;
    let file = dir.join("both.flv");
    let mut reader = well_under_way(&relay, &dir, &file)?;
    drop(camera);
    relay.path_until("cam", |path| path["ready"] == false)?;
    let port = address.rsplit_once(':').context("no port")?.1.to_owned();
    let _camera = Camera::start(&dir, H264, AAC, &["--port", &port])?;
    relay.path_ready("cam")?;
    reader.succeed(Duration::from_secs(60))?;
    let content = Content::read(&file)?;
    goes_on(&content, 0.100)?;
    let restarts = content.pictures.iter().filter_map(|(_, clock)| clock.map(|c| c.frame)).collect::<Vec<_>>();
    ensure!(
        restarts.windows(2).filter(|pair| pair[1] < pair[0]).count() == 1,
        "the patient began anew, once: {restarts:?}"
    );
    relay.stop()
}
