//! Entry points for the fuzzers, built and replayed in ordinary tests.

use crate::flv::{self, Demuxer, Event, FileReader, Muxer, Signalling, Tag};
use crate::fmp4;
use crate::mpegts;
use bytes::Bytes;
use media::{AccessUnit, Codec, LengthPrefixed, Track, TrackSet, UnitKind};

/// An FLV file, or bare tags: what comes out is well framed, and goes through the muxer and back unchanged.
pub fn fuzz_flv(data: &[u8]) {
    let mut reader = FileReader::new();
    if !data.starts_with(b"FLV") {
        reader.push(&flv::file_header(true, true));
    }
    reader.push(data);
    let mut demuxer = Demuxer::new();
    let mut reader_of_one = Muxer::new(Signalling::Enhanced);
    let mut second = Demuxer::new();
    while let Ok(Some(Tag { kind, timestamp, body })) = reader.next_tag() {
        let Ok(events) = demuxer.push(kind, timestamp, &body) else { continue };
        for event in events {
            match event {
                Event::Track(track) => {
                    let tracks = TrackSet::new([track]);
                    for message in reader_of_one.announce(&tracks) {
                        let heard = heard(&mut second, &message);
                        assert!(heard.is_empty(), "headers hold no unit");
                    }
                }
                Event::Unit(unit) => {
                    check_framing(&unit);
                    let heard: Vec<_> = reader_of_one.write(&unit).flat_map(|m| heard(&mut second, &m)).collect();
                    assert!(heard.len() <= 1, "a unit makes one unit");
                    for again in heard {
                        assert_eq!((again.kind, &again.payload), (unit.kind, &unit.payload), "the same unit");
                        assert_eq!(again.params, unit.params, "with the same parameters");
                    }
                }
                Event::Metadata(data) => {
                    let again = flv::Metadata::parse(&data.script_data());
                    assert_eq!(again, Ok(Some(data)), "what we write reads back the same");
                }
                Event::Skipped(_) => {}
            }
        }
    }
    assert!(demuxer.skipped_tracks().len() <= 8, "bounded");
}

/// Script data, from a tag or from an RTMP data message.
pub fn fuzz_flv_metadata(data: &[u8]) {
    if let Ok(Some(metadata)) = flv::Metadata::parse(data) {
        let again = flv::Metadata::parse(&metadata.script_data());
        assert_eq!(again, Ok(Some(metadata)), "what we write reads back the same");
    }
}

/// A fragmented MP4 file: what comes out is well framed, in order, and goes through the writer and back.
pub fn fuzz_fmp4(data: &[u8]) {
    let Ok((tracks, units)) = fmp4::read(&Bytes::copy_from_slice(data)) else { return };
    assert!(units.iter().map(|unit| unit.payload.len()).sum::<usize>() <= 2 * data.len(), "no more than there was");
    for unit in &units {
        check_framing(unit);
    }
    for track in &tracks {
        rewrite(track, units.iter().filter(|unit| unit.track == track.id && unit.params == track.params));
    }
}

fn rewrite<'a>(track: &Track, units: impl Iterator<Item = &'a AccessUnit>) {
    let units: Vec<_> = units.collect();
    let Some(first) = units.first() else { return };
    let Ok(mut writer) = fmp4::FragmentWriter::new(&TrackSet::new([track.clone()]), first.dts) else { return };
    if units.iter().any(|unit| writer.push(unit).is_err()) {
        return;
    }
    let Ok(Some(fragment)) = writer.cut() else { return };
    let file: Bytes = [&writer.init()[..], &fragment.bytes].concat().into();
    let (_, again) = fmp4::read(&file).expect("what we write reads back");
    assert!(again.iter().map(|u| &u.payload).eq(units.iter().map(|u| &u.payload)), "the same payloads");
    assert!(again.iter().map(|u| u.dts).is_sorted_by(|a, b| a < b), "decode times rise");
}

/// A transport stream: the same units in whatever pieces it comes, well framed; and they go through the muxer and back.
pub fn fuzz_mpegts(data: &[u8]) {
    let (tracks, units) = demux_ts(data, data.len().max(1));
    let (_, pieces) = demux_ts(data, 97);
    assert!(payloads(&units).eq(payloads(&pieces)), "pieces make no difference");
    for unit in &units {
        check_framing(unit);
    }
    for track in &tracks {
        let same = |unit: &&AccessUnit| unit.track == track.id && unit.params == track.params;
        // A decoder, and a demuxer, begins with a key picture.
        remux(track, units.iter().filter(same).skip_while(|unit| unit.is_video() && !unit.is_key()));
    }
}

fn remux<'a>(track: &Track, units: impl Iterator<Item = &'a AccessUnit>) {
    let units: Vec<_> = units.collect();
    let Some(first) = units.first() else { return };
    let Ok(mut muxer) = mpegts::Muxer::new(&TrackSet::new([track.clone()]), first.dts) else { return };
    let (mut out, mut written) = (Vec::new(), Vec::new());
    for unit in units {
        if muxer.write(unit, &mut out).is_ok() {
            written.push(unit.clone());
        }
    }
    muxer.flush(&mut out);
    let (_, again) = demux_ts(&out, out.len().max(1));
    assert!(payloads(&written).eq(payloads(&again)), "what we write reads back");
}

fn payloads(units: &[AccessUnit]) -> impl Iterator<Item = (UnitKind, &Bytes)> {
    units.iter().map(|unit| (unit.kind, &unit.payload))
}

/// Every track that was announced, and every unit.
fn demux_ts(data: &[u8], piece: usize) -> (Vec<Track>, Vec<AccessUnit>) {
    let mut demuxer = mpegts::Demuxer::new();
    let (mut tracks, mut units) = (Vec::new(), Vec::new());
    let mut events: Vec<_> = data.chunks(piece).flat_map(|piece| demuxer.push(piece)).collect();
    events.extend(demuxer.end());
    for event in events {
        match event {
            mpegts::Event::Tracks(set) => {
                for track in &set {
                    if !tracks.contains(track) {
                        tracks.push(track.clone());
                    }
                }
            }
            mpegts::Event::Unit(unit) => units.push(unit),
            mpegts::Event::Skipped(_) => {}
        }
    }
    (tracks, units)
}

fn heard(demuxer: &mut Demuxer, message: &flv::Message) -> Vec<AccessUnit> {
    let events = demuxer.push(message.kind, message.timestamp, &message.body()).expect("what we write reads back");
    let unit = |event| match event {
        Event::Unit(unit) => Some(unit),
        _ => None,
    };
    events.filter_map(unit).collect()
}

fn check_framing(unit: &AccessUnit) {
    assert!(!unit.payload.is_empty(), "a unit holds something");
    if matches!(unit.params.codec(), Codec::H264 | Codec::H265) {
        assert!(LengthPrefixed::parse(&unit.payload).is_ok(), "canonical framing");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz_replay::replay;
    use crate::testing::{av, newer_codecs, unit};
    use media::{ClockRate, MediaTime, TrackId};
    use proptest::prelude::*;

    fn flv_seed() -> Vec<u8> {
        let tracks = av();
        let mut muxer = Muxer::new(Signalling::Legacy);
        let mut out = Vec::new();
        let (video, audio) = (tracks.get(TrackId(0)).unwrap(), tracks.get(TrackId(1)).unwrap());
        muxer.announce(&tracks).iter().for_each(|message| message.write_tag(&mut out));
        for (track, kind) in [(video, UnitKind::Key), (audio, UnitKind::Audio), (video, UnitKind::Delta)] {
            muxer.write(&unit(track, kind, 0, 0, &[1, 2, 3])).for_each(|message| message.write_tag(&mut out));
        }
        for (track, key, delta) in newer_codecs() {
            let mut muxer = Muxer::new(Signalling::Enhanced);
            muxer.announce(&TrackSet::new([track.clone()])).iter().for_each(|message| message.write_tag(&mut out));
            for (kind, payload) in [(UnitKind::Key, key), (UnitKind::Delta, delta)] {
                let unit = AccessUnit { payload, ..unit(&track, kind, 0, 0, &[]) };
                muxer.write(&unit).for_each(|message| message.write_tag(&mut out));
            }
        }
        for body in [&b"\x90vp08\x01"[..], b"\x96\x23hvc1\x01\0\0\x01\x07avc1\0\0\0\x01\x09"] {
            out.extend(flv::tag(flv::TagKind::Video, 0, body).unwrap());
        }
        for body in [&b"\x90OpusOpusHead\x01\x02\0\0\x80\xBB\0\0\0\0\0"[..], b"\x97\x02\0\0\x05\x01Opus\xfc"] {
            out.extend(flv::tag(flv::TagKind::Audio, 0, body).unwrap());
        }
        out
    }

    fn fmp4_seed() -> Vec<u8> {
        let tracks = av();
        let mut writer = fmp4::FragmentWriter::new(&tracks, MediaTime::new(0, ClockRate::MILLI)).unwrap();
        let mut out = writer.init().to_vec();
        for i in 0..3 {
            writer.push(&unit(tracks.get(TrackId(0)).unwrap(), UnitKind::Key, i * 3000, i * 3000, &[1, 2, 3])).unwrap();
            writer.push(&unit(tracks.get(TrackId(1)).unwrap(), UnitKind::Audio, i * 1024, i * 1024, &[4])).unwrap();
            out.extend_from_slice(&writer.cut().unwrap().unwrap().bytes);
        }
        out
    }

    /// One file for each codec that is neither H.264 nor sound.
    fn newer_fmp4_seeds() -> Vec<Vec<u8>> {
        let file = |(track, key, delta): (Track, Bytes, Bytes)| {
            let tracks = TrackSet::new([track.clone()]);
            let mut writer = fmp4::FragmentWriter::new(&tracks, MediaTime::new(0, ClockRate::MILLI)).unwrap();
            for (kind, at, payload) in [(UnitKind::Key, 0, key), (UnitKind::Delta, 3000, delta)] {
                writer.push(&AccessUnit { payload, ..unit(&track, kind, at, at, &[]) }).unwrap();
            }
            let init = writer.init().to_vec();
            [init, writer.cut().unwrap().unwrap().bytes.to_vec()].concat()
        };
        newer_codecs().into_iter().map(file).collect()
    }

    /// Pictures with sound in each of its codecs; and a stranger's.
    fn ts_seeds() -> Vec<Vec<u8>> {
        let (video, aac) = (av().get(TrackId(0)).unwrap().clone(), av().get(TrackId(1)).unwrap().clone());
        let ours = [aac, crate::testing::opus()].map(|sound| {
            let mut muxer =
                mpegts::Muxer::new(&TrackSet::new([video.clone(), sound.clone()]), MediaTime::new(0, ClockRate::MILLI))
                    .unwrap();
            let mut out = Vec::new();
            for i in 0..4 {
                let kind = if i == 0 { UnitKind::Key } else { UnitKind::Delta };
                muxer.write(&unit(&video, kind, i * 3000, i * 3000, &[7; 200]), &mut out).unwrap();
                muxer.write(&unit(&sound, UnitKind::Audio, i * 1024, i * 1024, &[0xFC, 1, 2]), &mut out).unwrap();
            }
            out
        });
        let mut muxer_of_another = |(track, key, delta): (Track, Bytes, Bytes)| -> Option<Vec<u8>> {
            let tracks = TrackSet::new([track.clone()]);
            let mut muxer = mpegts::Muxer::new(&tracks, MediaTime::new(0, ClockRate::MILLI)).ok()?;
            let mut out = Vec::new();
            for (kind, at, payload) in [(UnitKind::Key, 0, key), (UnitKind::Delta, 3000, delta)] {
                muxer.write(&AccessUnit { payload, ..unit(&track, kind, at, at, &[]) }, &mut out).unwrap();
            }
            Some(out)
        };
        let newer = newer_codecs().into_iter().filter_map(&mut muxer_of_another);
        let theirs = include_bytes!("../tests/ffmpeg-ts.bin").to_vec();
        ours.into_iter().chain(newer).chain([theirs]).collect()
    }

    #[test]
    fn corpora() {
        let streams = ts_seeds();
        replay("mpegts", fuzz_mpegts, &streams.iter().map(Vec::as_slice).collect::<Vec<_>>());
        replay("flv", fuzz_flv, &[&flv_seed()]);
        let files = [vec![fmp4_seed()], newer_fmp4_seeds()].concat();
        replay("fmp4", fuzz_fmp4, &files.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let known = flv::Metadata::from_tracks(&av()).script_data();
        let odd: &[u8] = b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x03\0\x0cvideocodecid\x02\0\x04hvc1\0\x03fps\0\x7f\xf8\0\0\0\0\0\0\0\0\x09";
        replay("flv_metadata", fuzz_flv_metadata, &[&known, odd, b"\x02\0\x0aonCuePoint\x05"]);
    }

    /// Real input with a few bytes changed reaches further than noise does.
    fn damaged(seed: &[u8], damage: &[(usize, u8)]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for &(at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn noise_is_survived(data in prop::collection::vec(any::<u8>(), 0..300)) {
            fuzz_flv(&data);
            fuzz_flv_metadata(&data);
            fuzz_fmp4(&data);
            fuzz_mpegts(&data);
        }

        #[test]
        fn damage_is_survived(damage in prop::collection::vec((any::<usize>(), any::<u8>()), 1..12)) {
            fuzz_flv(&damaged(&flv_seed(), &damage));
            fuzz_fmp4(&damaged(&fmp4_seed(), &damage));
            ts_seeds().iter().for_each(|seed| fuzz_mpegts(&damaged(seed, &damage)));
            newer_fmp4_seeds().iter().for_each(|seed| fuzz_fmp4(&damaged(seed, &damage)));
        }
    }
}
