//! The origin over a bare hub. Media time is as fast as the machine, and waits take none: the runtime's clock stands still and
//! goes on to the next timer when nobody has anything to do.

use super::*;
use crate::access::{AccessRequest, Open, Refusal, Verdict};
use axum::body::{Body, to_bytes};
use axum::http::{StatusCode, header};
use bytes::Bytes;
use hub::{Limits, Publisher, PublisherInfo};
use media::{
    AacParams, AccessUnit, ClockRate, CodecParams, H264Params, MediaKind, MediaTime, MonoTime, OpusParams, Track,
    TrackId, TrackSet, UnitKind,
};
use tower::ServiceExt as _;

/// 320×240 constrained baseline, as x264 writes it.
const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0xfb, 0x01, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3, 0xc0, 0xf1, 0x42, 0xa4,
    0x80,
];
const PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];

fn picture(level: u8) -> Track {
    let mut sps = SPS.to_vec();
    sps[3] = level;
    let params = CodecParams::H264(H264Params::new(sps.into(), vec![Bytes::from_static(PPS)]).unwrap());
    Track { id: TrackId(0), clock: ClockRate::VIDEO, params: Arc::new(params) }
}

fn aac() -> Track {
    let params = CodecParams::Aac(AacParams::lc(48_000, 2).unwrap());
    Track { id: TrackId(1), clock: ClockRate::AUDIO_48K, params: Arc::new(params) }
}

fn opus() -> Track {
    let params = CodecParams::Opus(OpusParams::WEBRTC);
    Track { id: TrackId(1), clock: ClockRate::AUDIO_48K, params: Arc::new(params) }
}

#[derive(Debug)]
struct Bare(Hub);

#[async_trait::async_trait]
impl Source for Bare {
    async fn open(&self, path: &PathName, _packaging: Packaging) -> Result<Box<dyn Feed>, ListenError> {
        let info = ReaderInfo { kind: "hlsMuxer", id: "1".into() };
        Ok(Box::new(self.0.read(path, info, Start::LastKey, MonoTime::default())?))
    }

    fn exists(&self, path: &PathName) -> bool {
        self.0.is_published(path)
    }
}

#[derive(Debug)]
struct Token;

impl Authorizer for Token {
    fn authorize<'a>(&'a self, request: &'a AccessRequest) -> Verdict<'a> {
        let shown = request.param("token").or(request.bearer.as_deref());
        let shown = shown.or(request.basic.as_ref().map(|(_, password)| password.as_str()));
        let verdict = if shown == Some("right") { Ok(()) } else { Err(Refusal::Unauthorized) };
        Box::pin(async move { verdict })
    }
}

struct Studio {
    hub: Hub,
    state: HlsState,
    publisher: Option<Publisher>,
    tracks: Vec<Track>,
    /// Milliseconds.
    now: i64,
    /// Pictures from key to key; 30 a second.
    gop: i64,
    pictures: i64,
}

impl Studio {
    fn new(tracks: &[Track]) -> Self {
        Self::with(tracks, HlsConfig::default(), Arc::new(Open))
    }

    fn with(tracks: &[Track], config: HlsConfig, authorizer: Arc<dyn Authorizer>) -> Self {
        let hub = Hub::new(Limits::default());
        // A clock at which every unit has just arrived.
        let clock = Clock::new(MonoTime::default);
        let state = HlsState::new(config, Arc::new(Bare(hub.clone())), authorizer, clock);
        let mut studio = Self { hub, state, publisher: None, tracks: tracks.to_vec(), now: 0, gop: 30, pictures: 0 };
        studio.publish();
        studio
    }

    fn publish(&mut self) {
        let info = PublisherInfo { kind: "rtmpConn", id: "1".into(), answers_keyframes: false };
        let tracks = TrackSet::new(self.tracks.clone());
        self.pictures = 0;
        self.publisher = Some(self.hub.publish(&name(), info, tracks, self.mono()).unwrap());
    }

    fn mono(&self) -> MonoTime {
        MonoTime::from_micros(u64::try_from(self.now).unwrap() * 1000)
    }

    fn unit(&self, track: &Track, kind: UnitKind, at_ms: i64) -> AccessUnit {
        let dts = MediaTime::new(at_ms, ClockRate::MILLI);
        let payload = match kind {
            UnitKind::Audio => Bytes::from_static(&[0xFC, 0, 0, 0]),
            UnitKind::Key => Bytes::from_static(&[0, 0, 0, 3, 0x65, 1, 2]),
            UnitKind::Delta => Bytes::from_static(&[0, 0, 0, 2, 0x41, 1]),
        };
        AccessUnit {
            track: track.id,
            dts,
            pts: dts,
            duration: None,
            kind,
            captured: None,
            params: Arc::clone(&track.params),
            payload,
        }
    }

    /// Writes `ms` milliseconds of the tracks whose kind is in `kinds`.
    async fn run_only(&mut self, ms: i64, kinds: &[MediaKind]) {
        let end = self.now + ms;
        while self.now < end {
            for track in &self.tracks {
                let due = match track.kind() {
                    MediaKind::Video => (self.now * 30) / 1000 != ((self.now - 1) * 30).div_euclid(1000),
                    MediaKind::Audio => self.now % 20 == 0,
                };
                if !due || !kinds.contains(&track.kind()) {
                    continue;
                }
                let kind = match track.kind() {
                    MediaKind::Audio => UnitKind::Audio,
                    MediaKind::Video if self.pictures % self.gop == 0 => UnitKind::Key,
                    MediaKind::Video => UnitKind::Delta,
                };
                self.pictures += i64::from(track.kind() == MediaKind::Video);
                self.publisher.as_ref().unwrap().write(self.unit(track, kind, self.now), self.mono());
            }
            self.now += 1;
            // The muxer reads at its own pace; here it keeps up.
            tokio::task::yield_now().await;
        }
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    async fn run(&mut self, ms: i64) {
        self.run_only(ms, &[MediaKind::Video, MediaKind::Audio]).await;
    }

    async fn ask(&self, method: &str, url: &str) -> Answer {
        ask(router(self.state.clone()), method, url).await
    }

    async fn get(&self, url: &str) -> Answer {
        self.ask("GET", url).await
    }

    async fn playlist(&self) -> String {
        let answer = self.get("/live/cam/stream.m3u8").await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.text()
    }
}

#[derive(Debug, Clone)]
struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Result<Bytes, String>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone().unwrap().to_vec()).unwrap()
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

async fn ask(router: Router, method: &str, url: &str) -> Answer {
    let request = Request::builder().method(method).uri(url).header(header::ORIGIN, "https://a.example");
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|e| e.to_string());
    Answer { status: parts.status, headers: parts.headers, body }
}

/// Waits for a condition; a test that waits for ever is ended by the runner.
async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn name() -> PathName {
    PathName::parse("live/cam").unwrap()
}

/// The values of an attribute of lines that start so.
fn uris(playlist: &str, tag: &str) -> Vec<String> {
    let value = |line: &str| line.split("URI=\"").nth(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    playlist.lines().filter(|l| l.starts_with(tag)).filter_map(value).collect()
}

fn segments(playlist: &str) -> Vec<String> {
    playlist.lines().filter(|l| !l.starts_with('#')).map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn a_path_is_played() {
    let mut studio = Studio::new(&[picture(0x0d), aac()]);
    studio.run(500).await;
    let asked = tokio::spawn(ask(router(studio.state.clone()), "GET", "/live/cam/index.m3u8"));
    studio.run(4000).await;
    let index = asked.await.unwrap();
    assert_eq!((index.status, index.header(header::CONTENT_TYPE)), (StatusCode::OK, "application/vnd.apple.mpegurl"));
    assert!(index.text().contains("CODECS=\"avc1.42c00d,mp4a.40.2\",RESOLUTION=320x240"), "{}", index.text());
    assert!(index.text().ends_with("\nstream.m3u8\n"));

    let playlist = studio.playlist().await;
    let init = studio.get(&format!("/live/cam/{}", uris(&playlist, "#EXT-X-MAP")[0])).await;
    assert_eq!((init.status, init.header(header::CACHE_CONTROL)), (StatusCode::OK, "max-age=31536000, immutable"));
    let all = segments(&playlist);
    assert!(all.len() >= 3, "{playlist}");
    let mut parts: Vec<u8> = Vec::new();
    for uri in uris(&playlist, "#EXT-X-PART:").iter().filter(|u| !u.is_empty()).take(5) {
        let part = studio.get(&format!("/live/cam/{uri}")).await;
        assert_eq!(part.status, StatusCode::OK);
        parts.extend_from_slice(&part.body.unwrap());
    }
    let first_with_parts = &all[all.len().saturating_sub(3)];
    let segment = studio.get(&format!("/live/cam/{first_with_parts}")).await;
    assert_eq!(segment.header(header::CONTENT_TYPE), "video/mp4");
    let length = segment.header(header::CONTENT_LENGTH).to_owned();
    let segment = segment.body.unwrap();
    assert_eq!(length, segment.len().to_string());
    assert_eq!(segment, parts, "a segment is its parts");

    let file = [&init.body.unwrap()[..], &segment[..]].concat();
    let (tracks, units) = container::fmp4::read(&file.into()).unwrap();
    assert_eq!(tracks.len(), 2);
    assert_eq!(units.iter().filter(|u| u.is_video()).count(), 30, "one second of pictures");
    assert!(units.iter().any(|u| u.is_key()));
    let state = &studio.state.muxers()[0];
    assert!(state.path == name() && state.outbound_bytes > 0 && state.kept_bytes > 0);
}

#[tokio::test(start_paused = true)]
async fn old_players_get_transport_streams() {
    let mut studio = Studio::with(&[picture(0x0d), aac()], HlsConfig::default(), Arc::new(Token));
    studio.run(500).await;
    let url = "/live/cam/index.m3u8?variant=ts&token=right";
    let asked = tokio::spawn(ask(router(studio.state.clone()), "GET", url));
    studio.run(4000).await;
    assert!(asked.await.unwrap().text().ends_with("\nstream.m3u8?variant=ts&token=right\n"));
    let answer = studio.get("/live/cam/stream.m3u8?variant=ts&token=right").await;
    assert_eq!(answer.header(header::CACHE_CONTROL), "max-age=1");
    let playlist = answer.text();
    assert!(playlist.starts_with("#EXTM3U\n#EXT-X-VERSION:3\n") && !playlist.contains("EXT-X-PART"), "{playlist}");
    let all = segments(&playlist);
    assert!(all.len() >= 3 && all.iter().all(|uri| uri.ends_with(".ts?token=right")), "{playlist}");
    let mut demuxer = container::mpegts::Demuxer::new();
    let mut pictures = 0;
    for uri in &all {
        let answer = studio.get(&format!("/live/cam/{uri}")).await;
        assert_eq!(answer.header(header::CONTENT_TYPE), "video/mp2t");
        assert_eq!(answer.header(header::CACHE_CONTROL), "max-age=31536000, immutable");
        let bytes = answer.body.unwrap();
        assert_eq!(bytes[..3], [0x47, 0x40, 0], "a segment begins with the tables");
        let is_picture = |e: &container::mpegts::Event| match e {
            container::mpegts::Event::Unit(unit) => unit.is_video(),
            _ => false,
        };
        pictures += demuxer.push(&bytes).iter().filter(|e| is_picture(e)).count();
    }
    assert_eq!(demuxer.damage(), container::mpegts::Damage::default());
    assert_eq!(pictures, all.len() * 30, "a second of pictures each");
    // What a header has opened is for nobody else.
    let request =
        Request::builder().uri("/live/cam/stream.m3u8?variant=ts").header(header::AUTHORIZATION, "Bearer right");
    let response = router(studio.state.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()[header::CACHE_CONTROL], "private, max-age=1");
    // Only what was asked for is made.
    assert_eq!(studio.hub.path(&name()).unwrap().readers.len(), 1);
    let url = "/live/cam/stream.m3u8?variant=fmp4&token=right";
    let asked = tokio::spawn(ask(router(studio.state.clone()), "GET", url));
    studio.run(2500).await;
    let fmp4 = asked.await.unwrap();
    assert_eq!((fmp4.status, studio.state.muxers().len()), (StatusCode::OK, 1), "one path, two kinds of segments");
    assert_eq!(studio.hub.path(&name()).unwrap().readers.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_configuration_chooses_where_the_url_does_not() {
    let config = HlsConfig { variant: Variant::MpegTs, ..HlsConfig::default() };
    let mut studio = Studio::with(&[picture(0x0d), aac()], config, Arc::new(Open));
    let asked = tokio::spawn(ask(router(studio.state.clone()), "GET", "/live/cam/index.m3u8"));
    studio.run(3000).await;
    assert!(asked.await.unwrap().text().ends_with("\nstream.m3u8\n"));
    assert!(segments(&studio.playlist().await).iter().all(|uri| uri.ends_with(".ts")));
}

#[tokio::test(start_paused = true)]
async fn head_tells_the_truth() {
    let mut studio = Studio::new(&[picture(0x0d), aac()]);
    let began = tokio::time::Instant::now();
    let absent = studio.ask("HEAD", "/nobody/index.m3u8").await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
    assert!(began.elapsed() < HlsConfig::default().first_wait / 2, "HEAD does not wait for a publisher");
    assert!(studio.state.muxers().is_empty());
    let asked = tokio::spawn(ask(router(studio.state.clone()), "HEAD", "/live/cam/index.m3u8"));
    studio.run(3000).await;
    let there = asked.await.unwrap();
    assert_eq!((there.status, there.header(header::CONTENT_TYPE)), (StatusCode::OK, "application/vnd.apple.mpegurl"));
    assert_ne!(there.header(header::CONTENT_LENGTH), "0");
    assert!(there.body.unwrap().is_empty());
    let segment = segments(&studio.playlist().await)[0].clone();
    assert_eq!(studio.ask("HEAD", &format!("/live/cam/{segment}")).await.status, StatusCode::OK);
    assert_eq!(studio.ask("HEAD", "/live/cam/000000000000_seg1.mp4").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn nobody_publishes() {
    let studio = Studio::new(&[aac()]);
    let began = tokio::time::Instant::now();
    let answer = studio.get("/nobody/index.m3u8").await;
    assert_eq!((answer.status, answer.header(header::CACHE_CONTROL)), (StatusCode::NOT_FOUND, "no-store"));
    assert!(began.elapsed() >= HlsConfig::default().first_wait, "held for a publisher that may come");
    for url in ["/nobody/0_seg1.mp4", "/x.ts", "/live/cam/whip", "/"] {
        assert_eq!(studio.get(url).await.status, StatusCode::NOT_FOUND, "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_may_come_first() {
    let mut studio = Studio::new(&[picture(0x0d), aac()]);
    studio.publisher = None;
    let asked = tokio::spawn(ask(router(studio.state.clone()), "GET", "/live/cam/index.m3u8"));
    until(|| studio.state.muxers().len() == 1).await;
    studio.publish();
    studio.run(1500).await;
    assert_eq!(asked.await.unwrap().status, StatusCode::OK);
}

fn next_of(playlist: &str) -> (u64, usize) {
    let first: u64 = playlist.split("MEDIA-SEQUENCE:").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    let open = playlist.rsplit("#EXTINF").next().unwrap();
    (first + segments(playlist).len() as u64, open.matches("#EXT-X-PART:").count())
}

#[tokio::test(start_paused = true)]
async fn a_reload_is_held() {
    let mut studio = Studio::new(&[picture(0x0d), aac()]);
    studio.run(500).await;
    let asked = tokio::spawn(ask(router(studio.state.clone()), "GET", "/live/cam/index.m3u8"));
    studio.run(2600).await;
    asked.await.unwrap();
    let playlist = studio.playlist().await;
    let (msn, part) = next_of(&playlist);
    let hint = uris(&playlist, "#EXT-X-PRELOAD-HINT")[0].clone();
    let held = |url: String| tokio::spawn(ask(router(studio.state.clone()), "GET", &*Box::leak(url.into_boxed_str())));
    let reload = held(format!("/live/cam/stream.m3u8?_HLS_msn={msn}&_HLS_part={part}"));
    let delta = held(format!("/live/cam/stream.m3u8?_HLS_msn={msn}&_HLS_part={part}&_HLS_skip=YES"));
    let next = held(format!("/live/cam/{hint}"));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!reload.is_finished() && !delta.is_finished() && !next.is_finished());
    studio.run(210).await;
    let reload = reload.await.unwrap();
    assert_eq!((reload.status, reload.header(header::CACHE_CONTROL)), (StatusCode::OK, "max-age=6"));
    assert!(reload.text().contains(&format!("URI=\"{hint}\"")), "{}", reload.text());
    assert!(delta.await.unwrap().status == StatusCode::OK && next.await.unwrap().status == StatusCode::OK);

    for far in [format!("_HLS_msn={}", msn + 3), "_HLS_part=1".into(), "_HLS_msn=x".into(), "_HLS_skip=1".into()] {
        let answer = studio.get(&format!("/live/cam/stream.m3u8?{far}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{far}");
    }
    // The publisher is away: the playlist as it is, and nobody keeps it.
    let began = tokio::time::Instant::now();
    let stale = studio.get(&format!("/live/cam/stream.m3u8?_HLS_msn={}", msn + 1)).await;
    assert_eq!((stale.status, stale.header(header::CACHE_CONTROL)), (StatusCode::OK, "no-store"));
    assert!(began.elapsed() >= Duration::from_secs(3), "three target durations");
}

#[tokio::test(start_paused = true)]
async fn held_requests_are_bounded() {
    let config = HlsConfig { max_held: 2, ..HlsConfig::default() };
    let studio = Studio::with(&[aac()], config, Arc::new(Open));
    let asks: Vec<_> =
        (0..3).map(|_| tokio::spawn(ask(router(studio.state.clone()), "GET", "/live/cam/index.m3u8"))).collect();
    let mut statuses = Vec::new();
    for asked in asks {
        statuses.push(asked.await.unwrap().status);
    }
    assert_eq!(statuses.iter().filter(|s| **s == StatusCode::SERVICE_UNAVAILABLE).count(), 3, "{statuses:?}");
}

#[tokio::test(start_paused = true)]
async fn sound_alone_and_opus() {
    for track in [aac(), opus()] {
        let mut studio = Studio::new(std::slice::from_ref(&track));
        let asked = tokio::spawn(ask(router(studio.state.clone()), "GET", "/live/cam/index.m3u8"));
        studio.run(2500).await;
        let index = asked.await.unwrap().text();
        assert!(index.contains(&format!("CODECS=\"{}\"\n", track.params.codec_string())), "{index}");
        let playlist = studio.playlist().await;
        assert_eq!(playlist.matches("#EXT-X-PART:").count(), playlist.matches("INDEPENDENT=YES").count());
        assert!(segments(&playlist).len() >= 2, "{playlist}");
    }
}

#[tokio::test(start_paused = true)]
async fn parameters_change() {
    let mut studio = Studio::new(&[picture(0x0d), aac()]);
    let asked = tokio::spawn(ask(router(studio.state.clone()), "GET", "/live/cam/index.m3u8"));
    studio.run(2000).await;
    asked.await.unwrap();
    studio.tracks[0] = picture(0x1f);
    studio.run(2000).await;
    let playlist = studio.playlist().await;
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{playlist}");
    let maps = uris(&playlist, "#EXT-X-MAP");
    assert_eq!(maps.len(), 2, "{playlist}");
    for map in &maps {
        assert_eq!(studio.get(&format!("/live/cam/{map}")).await.status, StatusCode::OK);
    }
    assert!(studio.get("/live/cam/index.m3u8").await.text().contains("avc1.42c01f"));
}

#[tokio::test(start_paused = true)]
async fn the_publisher_comes_back() {
    let mut studio = Studio::new(&[picture(0x0d), aac()]);
    let asked = tokio::spawn(ask(router(studio.state.clone()), "GET", "/live/cam/index.m3u8"));
    studio.run(2000).await;
    asked.await.unwrap();
    let before = segments(&studio.playlist().await);
    studio.publisher = None;
    studio.now += 5000;
    studio.publish();
    studio.run(2500).await;
    let playlist = studio.playlist().await;
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{playlist}");
    assert!(segments(&playlist).starts_with(&before), "the same muxer goes on");
}

#[tokio::test(start_paused = true)]
async fn a_long_gop_is_shown_before_its_end() {
    let mut studio = Studio::new(&[picture(0x0d), aac()]);
    studio.gop = 300;
    // It is the fourth second: what is older came before anybody asked.
    let clock = Clock::new(|| MonoTime::from_micros(4_000_000));
    let source = Arc::new(Bare(studio.hub.clone()));
    studio.state = HlsState::new(HlsConfig::default(), source, Arc::new(Open), clock);
    studio.run(4000).await;
    let asked = tokio::spawn(ask(router(studio.state.clone()), "GET", "/live/cam/index.m3u8"));
    until(|| studio.state.muxers().first().is_some_and(|m| m.kept_bytes > 0)).await;
    studio.run(500).await;
    assert_eq!(asked.await.unwrap().status, StatusCode::OK);
    let playlist = studio.playlist().await;
    let (first, _) = playlist.split_once("#EXTINF").unwrap();
    assert_eq!(first.matches("INDEPENDENT=YES").count(), 1, "{playlist}");
    assert!(segments(&playlist).len() == 1 && first.matches("#EXT-X-PART:").count() >= 18, "{playlist}");
    studio.run(8000).await;
    let playlist = studio.playlist().await;
    assert!(segments(&playlist).len() == 2 && playlist.matches("INDEPENDENT=YES").count() == 2, "{playlist}");
}

#[tokio::test(start_paused = true)]
async fn a_key_frame_is_asked_for_when_none_comes() {
    let mut studio = Studio::new(&[picture(0x0d), aac()]);
    studio.gop = 1_000_000;
    let asked = tokio::spawn(ask(router(studio.state.clone()), "GET", "/live/cam/index.m3u8"));
    studio.run(1000).await;
    assert!(!studio.publisher.as_ref().unwrap().feedback().keyframe);
    studio.run(5000).await;
    assert!(studio.publisher.as_ref().unwrap().feedback().keyframe);
    assert_eq!(asked.await.unwrap().status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn sound_does_not_wait_for_pictures() {
    let mut studio = Studio::new(&[picture(0x0d), aac()]);
    let asked = tokio::spawn(ask(router(studio.state.clone()), "GET", "/live/cam/index.m3u8"));
    studio.run(2000).await;
    asked.await.unwrap();
    let (before, _) = next_of(&studio.playlist().await);
    studio.run_only(4000, &[MediaKind::Audio]).await;
    let (after, _) = next_of(&studio.playlist().await);
    assert!(after >= before + 2, "{before} → {after}");
    studio.run(2000).await;
    assert!(next_of(&studio.playlist().await).0 > after);
}

#[tokio::test(start_paused = true)]
async fn an_announced_picture_that_does_not_come() {
    let mut studio = Studio::new(&[picture(0x0d), aac()]);
    let asked = tokio::spawn(ask(router(studio.state.clone()), "GET", "/live/cam/index.m3u8"));
    studio.run_only(4500, &[MediaKind::Audio]).await;
    assert!(asked.await.unwrap().text().contains("CODECS=\"mp4a.40.2\"\n"));
    studio.run(2500).await;
    let index = studio.get("/live/cam/index.m3u8").await.text();
    assert!(index.contains("CODECS=\"avc1.42c00d,mp4a.40.2\""), "{index}");
}

#[tokio::test(start_paused = true)]
async fn a_muxer_closes_when_nobody_asks() {
    let config = HlsConfig { close_after: Duration::from_secs(60), ..HlsConfig::default() };
    let mut studio = Studio::with(&[picture(0x0d), aac()], config, Arc::new(Open));
    let asked = tokio::spawn(ask(router(studio.state.clone()), "GET", "/live/cam/index.m3u8"));
    studio.run(2000).await;
    assert_eq!(asked.await.unwrap().status, StatusCode::OK);
    until(|| studio.state.muxers().is_empty()).await;
    assert!(studio.hub.path(&name()).unwrap().readers.is_empty(), "the path has lost its reader");
}

#[tokio::test(start_paused = true)]
async fn the_end_is_told() {
    let mut studio = Studio::new(&[picture(0x0d), aac()]);
    let asked = tokio::spawn(ask(router(studio.state.clone()), "GET", "/live/cam/index.m3u8"));
    studio.run(2000).await;
    asked.await.unwrap();
    let (msn, part) = next_of(&studio.playlist().await);
    let url = format!("/live/cam/stream.m3u8?_HLS_msn={msn}&_HLS_part={part}");
    let held = tokio::spawn({
        let router = router(studio.state.clone());
        async move { ask(router, "GET", &url).await }
    });
    tokio::task::yield_now().await;
    studio.hub.close(&name());
    assert!(held.await.unwrap().text().ends_with("#EXT-X-ENDLIST\n"));
    until(|| studio.state.muxers().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_holds_one_part() {
    let mut studio = Studio::new(&[picture(0x0d), aac()]);
    let asked = tokio::spawn(ask(router(studio.state.clone()), "GET", "/live/cam/index.m3u8"));
    studio.run(2000).await;
    asked.await.unwrap();
    let uri = segments(&studio.playlist().await)[0].clone();
    let request = Request::builder().uri(format!("/live/cam/{uri}")).body(Body::empty()).unwrap();
    let slow = router(studio.state.clone()).oneshot(request).await.unwrap();
    studio.run(20_000).await;
    assert!(to_bytes(slow.into_body(), usize::MAX).await.is_err(), "what has left the window is not kept for anybody");
}

#[tokio::test(start_paused = true)]
async fn credentials_are_asked_for_and_carried() {
    let mut studio = Studio::with(&[picture(0x0d), aac()], HlsConfig::default(), Arc::new(Token));
    studio.run(2000).await;
    let refused = studio.get("/live/cam/index.m3u8").await;
    assert_eq!(
        (refused.status, refused.header(header::WWW_AUTHENTICATE)),
        (StatusCode::UNAUTHORIZED, "Basic realm=\"visavis\"")
    );
    assert_eq!(studio.get("/live/cam/").await.status, StatusCode::UNAUTHORIZED);
    let asked = tokio::spawn(ask(router(studio.state.clone()), "GET", "/live/cam/index.m3u8?token=right&x=1"));
    studio.run(2000).await;
    assert!(asked.await.unwrap().text().ends_with("\nstream.m3u8?token=right\n"));
    let playlist = studio.get("/live/cam/stream.m3u8?token=right").await.text();
    let lines = playlist.lines().filter(|l| l.contains(".mp4"));
    assert!(lines.clone().count() > 5 && lines.clone().all(|l| l.contains(".mp4?token=right")), "{playlist}");
    for authorization in ["Bearer right", "Basic dTpyaWdodA=="] {
        let request = Request::builder().uri("/live/cam/stream.m3u8").header(header::AUTHORIZATION, authorization);
        let response = router(studio.state.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{authorization}");
    }
}

#[tokio::test(start_paused = true)]
async fn pages_of_other_origins() {
    let studio = Studio::new(&[aac()]);
    let preflight = studio.ask("OPTIONS", "/live/cam/stream.m3u8").await;
    assert_eq!(preflight.status, StatusCode::NO_CONTENT);
    assert_eq!(preflight.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
    assert_eq!(studio.ask("POST", "/live/cam/stream.m3u8").await.status, StatusCode::METHOD_NOT_ALLOWED);
    let config =
        HlsConfig { allow_origins: vec![HeaderValue::from_static("https://a.example")], ..HlsConfig::default() };
    let strict = Studio::with(&[aac()], config, Arc::new(Open));
    let page = strict.get("/live/cam").await;
    assert_eq!(page.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "https://a.example");
    assert!(page.text().contains("\"cam/\" + file") && page.header(header::CONTENT_TYPE).starts_with("text/html"));
    assert!(!page.text().contains("{{"));
}
