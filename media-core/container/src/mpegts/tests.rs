//! What is written is read back, through damage and over the end of the clock.

use super::*;
use crate::testing::{aac, av, h264, h265, opus, other_h264, track, unit};
use media::{
    AccessUnit, ClockRate, CodecParams, MediaTime, MpegAudioLayer, MpegAudioParams, Track, TrackId, TrackSet, UnitKind,
};
use proptest::prelude::*;
use std::time::Duration;

fn zero() -> MediaTime {
    MediaTime::new(0, ClockRate::MILLI)
}

/// `seconds` of 25 pictures a second, a key picture each second, with sound.
fn stream(video: &Track, sound: &Track, samples: i64, seconds: i64) -> Vec<AccessUnit> {
    let mut units = Vec::new();
    for i in 0..25 * seconds {
        let kind = if i % 25 == 0 { UnitKind::Key } else { UnitKind::Delta };
        let body: Vec<u8> = (0..100 + i % 7 * 90).map(|b| u8::try_from(b % 251).unwrap() | 1).collect();
        units.push(unit(video, kind, i * 3600, i * 3600 + 7200, &body));
    }
    let rate = i64::from(sound.clock.hz());
    for i in 0..rate * seconds / samples {
        let body = match &*sound.params {
            CodecParams::Opus(_) => [&[0xFC][..], &[u8::try_from(i % 256).unwrap(); 300]].concat(),
            CodecParams::MpegAudio(_) => mp3(u8::try_from(i % 256).unwrap()),
            _ => vec![u8::try_from(i % 256).unwrap(); 150],
        };
        units.push(unit(sound, UnitKind::Audio, i * samples, i * samples, &body));
    }
    units.sort_by_key(|unit| unit.dts);
    units
}

/// A frame of layer III, 64 kbps at 48 kHz: 192 bytes.
fn mp3(fill: u8) -> Vec<u8> {
    let mut frame = vec![fill & 0x7F; 192];
    frame[..4].copy_from_slice(&[0xFF, 0xFB, 0x54, 0xC0]);
    frame
}

fn mp3_track() -> Track {
    let params =
        MpegAudioParams { layer: MpegAudioLayer::III, rate: ClockRate::AUDIO_48K, channels: 1, frame_samples: 1152 };
    track(1, ClockRate::AUDIO_48K, CodecParams::MpegAudio(params))
}

fn mux(tracks: &[Track], units: &[AccessUnit], gather: Duration) -> Vec<u8> {
    let mut muxer = Muxer::new(&TrackSet::new(tracks.to_vec()), zero()).unwrap().with_gather(gather);
    let mut out = Vec::new();
    units.iter().for_each(|unit| muxer.write(unit, &mut out).unwrap());
    muxer.flush(&mut out);
    assert_eq!(out.len() % 188, 0);
    out
}

fn demux(bytes: &[u8], piece: usize) -> (Vec<TrackSet>, Vec<AccessUnit>, Damage) {
    let mut demuxer = Demuxer::new();
    let mut events: Vec<_> = bytes.chunks(piece).flat_map(|piece| demuxer.push(piece)).collect();
    let damage = demuxer.damage();
    events.extend(demuxer.end());
    let (mut tracks, mut units) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Tracks(set) => tracks.push(set),
            Event::Unit(unit) => units.push(unit),
            Event::Skipped(name) => panic!("{name}"),
        }
    }
    (tracks, units, damage)
}

fn of(units: &[AccessUnit], track: u8) -> Vec<&AccessUnit> {
    units.iter().filter(|unit| unit.track == TrackId(track)).collect()
}

/// The same payloads at the same times, track by track; times from the muxer's origin, which is one second.
fn assert_same(got: &[AccessUnit], want: &[AccessUnit], base: i64) {
    for id in 0..2 {
        let (got, want) = (of(got, id), of(want, id));
        assert_eq!(got.len(), want.len(), "track {id}");
        for (got, want) in got.iter().zip(want) {
            assert_eq!((got.kind, &got.payload), (want.kind, &want.payload), "{got:?} {want:?}");
            assert_eq!(got.params, want.params);
            for (got, want) in [(got.dts, want.dts), (got.pts, want.pts)] {
                let off = got.ticks() - base - want.rescale(ClockRate::VIDEO).ticks();
                assert!(off.abs() <= 2, "{got:?} {want:?}");
            }
        }
    }
}

/// PIDs, counters and clocks of a stream: (pid, starts, clock) of each packet.
fn packets(bytes: &[u8]) -> Vec<(u16, bool, Option<u64>)> {
    let clock = |p: &[u8; 188]| {
        let has = p[3] & 0x20 != 0 && p[4] > 0 && p[5] & 0x10 != 0;
        has.then(|| p[6..11].iter().fold(0_u64, |n, &b| n << 8 | u64::from(b)) >> 7)
    };
    bytes
        .as_chunks::<188>()
        .0
        .iter()
        .map(|p| (u16::from(p[1] & 0x1F) << 8 | u16::from(p[2]), p[1] & 0x40 != 0, clock(p)))
        .collect()
}

#[test]
fn every_codec_comes_back() {
    let avc = av().get(TrackId(0)).unwrap().clone();
    let hevc = track(0, ClockRate::VIDEO, CodecParams::H265(h265()));
    let aac = av().get(TrackId(1)).unwrap().clone();
    let pairs = [(&avc, aac.clone(), 1024), (&avc, opus(), 960), (&avc, mp3_track(), 1152), (&hevc, aac, 1024)];
    for (video, sound, samples) in pairs {
        let units = stream(video, &sound, samples, 3);
        for gather in [0, 100] {
            let bytes = mux(&[video.clone(), sound.clone()], &units, Duration::from_millis(gather));
            for piece in [1, 188, 1316, usize::MAX] {
                let (tracks, got, damage) = demux(&bytes, piece);
                assert_eq!((tracks.len(), damage), (1, Damage::default()));
                assert_eq!(tracks[0].iter().map(Track::codec).collect::<Vec<_>>(), [video.codec(), sound.codec()]);
                assert_same(&got, &units, 90_000);
            }
        }
    }
}

#[test]
fn sound_alone() {
    let sound = track(0, ClockRate::AUDIO_48K, CodecParams::Aac(aac()));
    let units: Vec<_> = (0..100).map(|i| unit(&sound, UnitKind::Audio, i * 1024, i * 1024, &[9; 90])).collect();
    let bytes = mux(std::slice::from_ref(&sound), &units, Duration::ZERO);
    assert!(packets(&bytes).iter().any(|(pid, _, clock)| *pid == 0x100 && clock.is_some()));
    let (_, got, damage) = demux(&bytes, 1000);
    assert_same(&got, &units, 90_000);
    assert_eq!(damage, Damage::default());
}

#[test]
fn gathering_saves_packets() {
    let tracks = av();
    let tracks: Vec<_> = tracks.iter().cloned().collect();
    let units = stream(&tracks[0], &tracks[1], 1024, 2);
    let sound = |gather| packets(&mux(&tracks, &units, gather)).iter().filter(|p| p.0 == 0x101).count();
    let (each, together) = (sound(Duration::ZERO), sound(Duration::from_millis(100)));
    assert!(together * 10 <= each * 11, "{each} {together}");
    let starts =
        packets(&mux(&tracks, &units, Duration::from_millis(100))).iter().filter(|p| p.0 == 0x101 && p.1).count();
    assert!((18..=24).contains(&starts), "{starts} PES in two seconds");
}

#[test]
fn the_clock_and_the_tables_are_never_long_away() {
    let tracks: Vec<_> = av().iter().cloned().collect();
    // One picture a second, and sound that pauses.
    let mut units: Vec<_> =
        (0..5).map(|i| unit(&tracks[0], UnitKind::Key, i * 90_000, i * 90_000, &[1; 500])).collect();
    units.extend((0..40).map(|i| unit(&tracks[1], UnitKind::Audio, i * 1024, i * 1024, &[2; 90])));
    units.sort_by_key(|unit| unit.dts);
    let bytes = mux(&tracks, &units, Duration::ZERO);
    let clocks: Vec<u64> = packets(&bytes).iter().filter_map(|p| p.2).collect();
    assert!(clocks.len() > 40 && clocks.windows(2).all(|w| w[0] <= w[1] && w[1] - w[0] <= 9_000), "{clocks:?}");
    assert_eq!(packets(&bytes)[0].0, 0, "it begins with the tables");
    let (mut since, mut at) = (0, None);
    for (pid, _, clock) in packets(&bytes) {
        at = clock.or(at);
        if pid == 0 {
            since = at.unwrap_or(0);
        }
        assert!(at.is_none_or(|at| since == 0 || at - since <= 90_000 + 9_000), "tables at every key picture at least");
    }
}

#[test]
fn over_the_end_of_the_clock() {
    let tracks: Vec<_> = av().iter().cloned().collect();
    let late = |mut unit: AccessUnit| {
        let shift = MediaTime::new((1 << 33) - 90_000 - 120_000, ClockRate::VIDEO);
        (unit.dts, unit.pts) = (unit.dts.plus(shift), unit.pts.plus(shift));
        unit
    };
    let units: Vec<_> = stream(&tracks[0], &tracks[1], 1024, 3).into_iter().map(late).collect();
    let (_, got, damage) = demux(&mux(&tracks, &units, Duration::ZERO), 500);
    assert_same(&got, &units, 90_000);
    assert_eq!(damage, Damage::default());
    assert!(of(&got, 0).last().unwrap().dts.ticks() > 1 << 33, "unwrapped");
}

#[test]
fn parameters_change() {
    let (old, new) = (
        track(0, ClockRate::VIDEO, CodecParams::H264(h264())),
        track(0, ClockRate::VIDEO, CodecParams::H264(other_h264())),
    );
    let mut muxer = Muxer::new(&TrackSet::new([old.clone()]), zero()).unwrap();
    let mut out = Vec::new();
    muxer.write(&unit(&old, UnitKind::Key, 0, 0, &[1]), &mut out).unwrap();
    let changed = unit(&new, UnitKind::Key, 3600, 3600, &[1]);
    assert_eq!(muxer.write(&changed, &mut out), Err(TsError::Changed));
    // Sound comes with it.
    let sound = av().get(TrackId(1)).unwrap().clone();
    muxer.replace_tracks(&TrackSet::new([new.clone(), sound.clone()])).unwrap();
    muxer.write(&changed, &mut out).unwrap();
    muxer.write(&unit(&sound, UnitKind::Audio, 1024, 1024, &[3]), &mut out).unwrap();
    let (tracks, got, damage) = demux(&out, 188);
    assert_eq!(damage, Damage::default());
    assert_eq!(got.iter().map(|u| u.params.clone()).collect::<Vec<_>>(), [old.params, new.params, sound.params]);
    assert_eq!(tracks.iter().map(TrackSet::len).collect::<Vec<_>>().last(), Some(&2), "{tracks:?}");
    let tables = |sets: &[Track]| Muxer::new(&TrackSet::new(sets.to_vec()), zero()).map(|_| ());
    assert_eq!(tables(&[]), Err(TsError::Tracks(0)));
}

#[test]
fn what_is_missing_costs_its_unit_alone() {
    let tracks: Vec<_> = av().iter().cloned().collect();
    let units = stream(&tracks[0], &tracks[1], 1024, 2);
    let bytes = mux(&tracks, &units, Duration::ZERO);
    let victim = packets(&bytes).iter().enumerate().filter(|(_, p)| p.0 == 0x100 && !p.1).nth(5).unwrap().0;
    // Gone, or marked broken on the way.
    let gone = [&bytes[..victim * 188], &bytes[victim * 188 + 188..]].concat();
    let mut marked = bytes.clone();
    marked[victim * 188 + 1] |= 0x80;
    for damaged in [gone, marked] {
        let (_, got, damage) = demux(&damaged, 1316);
        assert_eq!((of(&got, 0).len(), damage.gaps), (of(&units, 0).len() - 1, 1), "{damage:?}");
        assert_eq!(of(&got, 1).len(), of(&units, 1).len(), "{damage:?}");
    }
    // Torn: it and the packet that is read as its end are lost, perhaps unseen.
    let torn = [&bytes[..victim * 188 + 50], &bytes[victim * 188 + 188..]].concat();
    let (_, got, damage) = demux(&torn, 1316);
    let whole = got.iter().filter(|unit| units.iter().any(|u| u.payload == unit.payload)).count();
    assert!(damage.resyncs == 1 && whole + 2 >= units.len(), "{whole} of {}: {damage:?}", units.len());
    // Noise before, doubled packets, and null packets between are nothing at all.
    let mut noisy = vec![0x47; 77];
    let mut null = [0xFF; 188];
    null[..4].copy_from_slice(&[0x47, 0x1F, 0xFF, 0x10]);
    for (at, packet) in bytes.as_chunks::<188>().0.iter().enumerate() {
        noisy.extend_from_slice(packet);
        if at % 5 == 0 && packet[3] & 0x10 != 0 {
            noisy.extend_from_slice(packet);
            noisy.extend_from_slice(&null);
        }
    }
    let (_, got, damage) = demux(&noisy, 1316);
    assert_same(&got, &units, 90_000);
    assert_eq!((damage.gaps, damage.units), (0, 0));
}

#[test]
fn a_silent_stream_is_not_waited_for_for_ever() {
    let tracks: Vec<_> = av().iter().cloned().collect();
    let sound: Vec<_> = stream(&tracks[0], &tracks[1], 1024, 5).into_iter().filter(|u| !u.is_video()).collect();
    let (sets, got, _) = demux(&mux(&tracks, &sound, Duration::ZERO), 188);
    assert_eq!((sets.len(), sets[0].len()), (1, 1));
    assert_eq!(got.len(), sound.len(), "what was held comes too");
    assert!(got.iter().all(|unit| unit.track == sets[0].iter().next().unwrap().id));
}

#[test]
fn a_pes_without_end_is_given_up() {
    let video = av().get(TrackId(0)).unwrap().clone();
    let mut bytes = mux(std::slice::from_ref(&video), &[unit(&video, UnitKind::Key, 0, 0, &[1; 400])], Duration::ZERO);
    let first = packets(&bytes).iter().position(|p| p.0 == 0x100).unwrap() * 188;
    // It does not say how long it is, and goes on.
    let length = first + 4 + 8 + 4;
    bytes[length..length + 2].fill(0);
    let mut packet = [1; 188];
    for i in 0..(9_usize << 20) / 184 {
        let counter = u8::try_from((3 + i) % 16).unwrap();
        packet[..4].copy_from_slice(&[0x47, 1, 0, 0x10 | counter]);
        bytes.extend_from_slice(&packet);
    }
    let (_, got, damage) = demux(&bytes, 1 << 20);
    assert!(got.is_empty() && damage.units == 1, "{damage:?}");
}

#[test]
fn chunks_follow_each_other() {
    let tracks = av();
    let (video, sound) = (tracks.get(TrackId(0)).unwrap(), tracks.get(TrackId(1)).unwrap());
    let units = stream(video, sound, 1024, 2);
    let mut writer = ChunkWriter::new(&tracks, zero()).unwrap();
    let (mut bytes, mut micros, mut independent) = (Vec::new(), 0, 0);
    let mut cut = |writer: &mut ChunkWriter| {
        let Some(chunk) = writer.cut() else { return };
        assert!((chunk.start.micros() - micros).abs() < 2, "{chunk:?} at {micros}");
        micros += chunk.duration.micros();
        independent += usize::from(chunk.independent);
        if chunk.independent {
            assert_eq!(packets(&chunk.bytes)[0].0, 0, "tables first");
        }
        bytes.extend_from_slice(&chunk.bytes);
    };
    for unit in &units {
        if unit.is_key() {
            cut(&mut writer);
            writer.begin_segment();
        } else if unit.is_video() && writer.pending_duration().seconds() > 0.19 {
            cut(&mut writer);
        }
        writer.push(unit).unwrap();
    }
    cut(&mut writer);
    assert!(writer.cut().is_none());
    assert_eq!(independent, 2);
    assert_same(&demux(&bytes, 1316).1, &units, 90_000);
}

proptest! {
    #[test]
    fn any_sizes_come_back(sizes in prop::collection::vec(1_usize..3000, 1..12), gather in 0_u64..200) {
        let tracks: Vec<_> = av().iter().cloned().collect();
        let mut units = Vec::new();
        for (i, size) in (0_i64..).zip(sizes) {
            units.push(unit(&tracks[0], if i % 4 == 0 { UnitKind::Key } else { UnitKind::Delta }, i * 3600, i * 3600, &vec![3; size * 40]));
            units.push(unit(&tracks[1], UnitKind::Audio, i * 1024, i * 1024, &vec![4; size]));
        }
        let bytes = mux(&tracks, &units, Duration::from_millis(gather));
        let (_, got, damage) = demux(&bytes, 1316);
        prop_assert_eq!(damage, Damage::default());
        assert_same(&got, &units, 90_000);
    }
}
