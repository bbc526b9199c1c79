//! What the relay adds on the way from one RTMP publisher to one RTMP reader: to what it passes on, and to sound that it translates.
//!
//! Not here: joining late (`join`), many readers (`load`).

use crate::common::clip::{Clip, RATE, Recipe, Sound};
use crate::common::figure::{Figure, Goal, Samples};
use crate::common::pass;
use crate::common::player::{Arrival, Player};
use crate::common::publisher::Publisher;
use crate::common::{Bench, RTMP_ONLY, SETTLED};
use anyhow::{Context, Result};
use codec::{AacDecoder, OpusDecoder};
use device::synthetic::{Burst, find_bursts};
use e2e::relay::Relay;
use media::{AccessUnit, CodecParams};
use std::sync::Arc;
use std::time::Duration;

/// RTMP in → RTMP out, pictures and sound.
pub(crate) fn rtmp(bench: &Bench) -> Result<Vec<Figure>> {
    pass::rtmp(bench, Sound::Aac)
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
