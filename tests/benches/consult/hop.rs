//! What the relay adds on the way from one RTMP publisher to one RTMP reader: to what it passes on, and to sound that it translates.
//!
//! Not here: joining late (`join`), many readers (`load`).

use crate::Bench;
use crate::clip::{Clip, RATE, Recipe, Sound};
use crate::figure::{Figure, Goal, Samples};
use crate::nginx::Nginx;
use crate::player::{Arrival, Player};
use crate::publisher::Publisher;
use anyhow::{Context, Result, ensure};
use codec::{AacDecoder, OpusDecoder};
use device::synthetic::{Burst, find_bursts};
use e2e::relay::Relay;
use media::{AccessUnit, CodecParams};
use std::sync::Arc;
use std::time::Duration;

/// RTMP alone, as quiet as an operator runs it.
pub(crate) const RTMP_ONLY: &str = "rtmpAddress: 127.0.0.1:0\nrtsp: no\nsrt: no\nhls: no\nwebrtc: no\napi: yes\napiAddress: 127.0.0.1:0\nlogLevel: error\npaths: {all_others: }\n";
/// What a join brings at once says nothing of what passes afterwards.
pub(crate) const SETTLED: f64 = 1.0;

/// RTMP in → RTMP out, pictures and sound.
pub(crate) fn rtmp(bench: &Bench) -> Result<Vec<Figure>> {
    let seconds = bench.effort.seconds(30);
    let recipe =
        Recipe { size: Some((640, 480)), gop: 30, sound: Sound::Aac, length: seconds + Duration::from_secs(3) };
    let clip = Arc::new(recipe.make()?);
    let relay = Relay::start(&bench.dir, RTMP_ONLY)?;
    let added = pass(&relay.rtmp("bench")?, &clip, seconds)?;
    relay.stop()?;
    let mut figures = vec![
        Figure::of("RTMP in → RTMP out through the relay, added", &added, "ms", Goal::P95(2.0)),
        // Nagle's algorithm with delayed acknowledgements makes 40 ms.
        Figure::one("RTMP in → RTMP out, longest", added.longest(), "ms", Goal::Median(40.0)),
    ];
    if let Some(nginx) = Nginx::start(&bench.dir)? {
        let added = pass(&nginx.url, &clip, seconds)?;
        figures.push(Figure::of("… nginx-rtmp on the same, added", &added, "ms", Goal::Report));
        figures.push(Figure::one("… nginx-rtmp, longest", added.longest(), "ms", Goal::Report));
    }
    Ok(figures)
}

/// How long each unit of `clip` takes through the server at `url`.
fn pass(url: &str, clip: &Arc<Clip>, seconds: Duration) -> Result<Samples> {
    let publisher = Publisher::start(url, clip)?;
    let player = Player::join(url)?;
    let first = player.first(Duration::from_secs(10), AccessUnit::is_video)?;
    std::thread::sleep(seconds);
    let settled = player.arrivals().into_iter().filter(|a| a.at > first.at + SETTLED);
    let added: Samples = settled.filter_map(|a| Some((a.at - publisher.book.sent(&a.unit)?) * 1e3)).collect();
    ensure!(added.len() > 100, "only {} of {} units arrived", added.len(), publisher.book.len());
    Ok(added)
}

/// Opus in → AAC out. Sound is added to from when the Opus packet that holds it was sent until the AAC unit that holds it was there.
pub(crate) fn sound(bench: &Bench) -> Result<Vec<Figure>> {
    let seconds = bench.effort.seconds(20);
    let recipe =
        Recipe { size: Some((320, 240)), gop: 30, sound: Sound::Opus, length: seconds + Duration::from_secs(3) };
    let clip = Arc::new(recipe.make()?);
    let relay = Relay::start(&bench.dir, RTMP_ONLY)?;
    let url = relay.rtmp("bench")?;
    let publisher = Publisher::start(&url, &clip)?;
    // By name, since a reader that knows Opus gets it as it is.
    let player = Player::join(&format!("{url}_aac"))?;
    player.first(Duration::from_secs(10), |unit| !unit.is_video())?;
    std::thread::sleep(seconds);
    let arrivals: Vec<Arrival> = player.arrivals().into_iter().filter(|a| !a.unit.is_video()).collect();
    let sent = opus(&clip, &publisher)?;
    relay.stop()?;

    let heard = Heard::aac(&arrivals)?;
    // A reader's time begins at 0 when it joins; the beeps say when that was. Each has a length of its own among four, so the shift by
    // which most agree is the right one.
    let shift = shift(&sent.bursts, &heard.bursts).context("no beep was heard")?;
    let (step, mut added) = (0.005, Samples::default());
    let (begin, end) = heard.span().context("no sound")?;
    let settled = begin + SETTLED;
    for n in 0..((end - settled).max(0.0) / step) as u32 {
        let time = settled + f64::from(n) * step;
        if let (Some(out), Some(sent)) = (heard.at(time), sent.at(time - shift)) {
            added.push((out - sent) * 1e3);
        }
    }
    let jumps = jumps(&arrivals);
    Ok(vec![
        // 2048 samples of the encoder and half a frame of 1024 make 53 ms; frames of 20 ms that meet frames of 21.3 ms scatter round it.
        Figure::of("sound, Opus → AAC hop, added", &added, "ms", Goal::Median(65.0)),
        Figure::one("jumps in AAC timestamps after the hop", Some(jumps as f64), "", Goal::Median(0.0)),
    ])
}

/// Steps between AAC units that are not a frame of 1024 samples, give or take RTMP's milliseconds.
pub(crate) fn jumps(arrivals: &[Arrival]) -> usize {
    let frame = 1024.0 / f64::from(RATE);
    let steps = arrivals.windows(2).map(|w| w[1].unit.dts.seconds() - w[0].unit.dts.seconds());
    steps.filter(|step| (step - frame).abs() > 0.0015).count()
}

/// Decoded sound: when what was to be had, and where the beeps are.
#[derive(Debug, Default)]
struct Heard {
    /// Begin and end of each unit's sound in its stream's seconds, and when it was to be had.
    spans: Vec<(f64, f64, f64)>,
    bursts: Vec<Burst>,
}

impl Heard {
    fn aac(arrivals: &[Arrival]) -> Result<Self> {
        let first = arrivals.first().context("no sound")?;
        let CodecParams::Aac(params) = &*first.unit.params else { anyhow::bail!("the sound is no AAC") };
        let mut decoder = AacDecoder::new(params)?;
        let (mut heard, mut pcm) = (Self::default(), Vec::new());
        let channels = usize::from(decoder.channels());
        for arrival in arrivals {
            let before = pcm.len() / channels;
            decoder.decode(&arrival.unit.payload, &mut pcm)?;
            let length = (pcm.len() / channels - before) as f64 / f64::from(RATE);
            let begin = arrival.unit.pts.seconds();
            heard.spans.push((begin, begin + length, arrival.at));
        }
        heard.find(&pcm, decoder.channels(), first.unit.pts.seconds());
        Ok(heard)
    }

    fn find(&mut self, pcm: &[f32], channels: u8, origin: f64) {
        self.bursts = find_bursts(pcm, channels, RATE);
        for burst in &mut self.bursts {
            burst.start += origin;
        }
    }

    /// When the sound at `time` was to be had.
    fn at(&self, time: f64) -> Option<f64> {
        let next = self.spans.partition_point(|(_, end, _)| *end <= time);
        self.spans.get(next).filter(|(begin, _, _)| *begin <= time).map(|(_, _, at)| *at)
    }

    fn span(&self) -> Option<(f64, f64)> {
        Some((self.spans.first()?.0, self.spans.last()?.1))
    }
}

/// What the publisher sent, heard at the moment it was sent.
fn opus(clip: &Clip, publisher: &Publisher) -> Result<Heard> {
    let (mut heard, mut pcm, mut decoder) = (Heard::default(), Vec::new(), OpusDecoder::new()?);
    let sound: Vec<&AccessUnit> = clip.units.iter().map(|(_, unit)| unit).filter(|unit| !unit.is_video()).collect();
    for unit in &sound {
        let Some(at) = publisher.book.sent(unit) else { break };
        let before = pcm.len() / 2;
        decoder.decode(&unit.payload, &mut pcm)?;
        let begin = unit.pts.seconds();
        heard.spans.push((begin, begin + (pcm.len() / 2 - before) as f64 / f64::from(RATE), at));
    }
    heard.find(&pcm, 2, sound.first().context("no sound")?.pts.seconds());
    Ok(heard)
}

/// By how much the beeps in `out` have later times than the same ones in `sent`: the median of those pairs that agree in length.
fn shift(sent: &[Burst], out: &[Burst]) -> Option<f64> {
    // The first that is heard may be cut; beeps are a second apart, so a whole number of them was missed.
    let candidates = 0..sent.len();
    let score = |skip: &usize| {
        let pairs = sent[*skip..].iter().zip(out);
        pairs.filter(|(a, b)| (a.length - b.length).abs() < 0.012).count()
    };
    let skip = candidates.rev().max_by_key(score)?;
    let shifts: Samples = sent[skip..].iter().zip(out).map(|(a, b)| b.start - a.start).collect();
    shifts.median()
}
