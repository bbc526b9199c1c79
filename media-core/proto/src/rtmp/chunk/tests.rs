//! Chunk headers by table, and round trips at any chunk size and in any pieces.

use super::super::error::ErrorKind;
use super::*;
use crate::output::Output;
use proptest::prelude::*;

/// Chunk stream, type, message stream, timestamp and body: what a test compares.
type Got = (u8, u32, u32, Vec<u8>);

fn read(bytes: &[u8], piece: usize) -> (Vec<Got>, Option<ErrorKind>) {
    let mut reader = ChunkReader::new(0);
    let mut got = Vec::new();
    for mut piece in bytes.chunks(piece.max(1)) {
        loop {
            match reader.read(&mut piece) {
                Ok(Some(m)) => got.push((m.kind, m.stream, m.timestamp, m.body.to_vec())),
                Ok(None) => break,
                Err(e) => return (got, Some(e.kind)),
            }
        }
    }
    assert!(got.len() < 2 || reader.reserved() <= 64 * 1024, "what is finished is given back");
    (got, None)
}

/// `bytes` must read as `want`, whole and byte by byte.
fn check(name: &str, bytes: &[&[u8]], want: &[(u8, u32, u32, &[u8])], error: Option<ErrorKind>) {
    let bytes = bytes.concat();
    let want: Vec<Got> = want.iter().map(|&(k, s, t, b)| (k, s, t, b.to_vec())).collect();
    for piece in [1, 2, 3, bytes.len()] {
        assert_eq!(read(&bytes, piece), (want.clone(), error.clone()), "{name} in pieces of {piece}");
    }
}

/// A type 0 header on chunk stream 4.
fn full(time: [u8; 3], length: u8, kind: u8, stream: u8) -> Vec<u8> {
    let [a, b, c] = time;
    vec![0x04, a, b, c, 0, 0, length, kind, stream, 0, 0, 0]
}

#[test]
fn headers() {
    let first = full([0, 0, 10], 2, 8, 1);
    check("type 0", &[&first, b"ab"], &[(8, 1, 10, b"ab")], None);
    check("type 1", &[&first, b"ab", &[0x44, 0, 0, 5, 0, 0, 1, 9], b"v"], &[(8, 1, 10, b"ab"), (9, 1, 15, b"v")], None);
    check("type 2", &[&first, b"ab", &[0x84, 0, 0, 5], b"cd"], &[(8, 1, 10, b"ab"), (8, 1, 15, b"cd")], None);
    check(
        "type 3 repeats the delta",
        &[&first, b"ab", &[0x84, 0, 0, 5], b"cd", &[0xC4], b"ef"],
        &[(8, 1, 10, b"ab"), (8, 1, 15, b"cd"), (8, 1, 20, b"ef")],
        None,
    );
    check("type 3 behind type 0", &[&first, b"ab", &[0xC4], b"ef"], &[(8, 1, 10, b"ab"), (8, 1, 20, b"ef")], None);
    check("no payload", &[&full([0, 0, 1], 0, 8, 1), &first, b"ab"], &[(8, 1, 1, b""), (8, 1, 10, b"ab")], None);
    check("two-byte id", &[&[0x00, 6], &first[1..], b"ab"], &[(8, 1, 10, b"ab")], None);
    check("three-byte id", &[&[0x01, 6, 1], &first[1..], b"ab"], &[(8, 1, 10, b"ab")], None);
    check("librtmp's first control message", &[&[0x42, 0, 0, 0, 0, 0, 6, 4], &[0; 6]], &[(4, 0, 0, &[0; 6])], None);
    let no_header = |format, chunk_stream| Some(ErrorKind::NoHeader { format, chunk_stream });
    check("type 2 first", &[&[0x84, 0, 0, 5]], &[], no_header(2, 4));
    check("type 3 first", &[&[0xC0, 1]], &[], no_header(3, 65));
    check(
        "a header inside a message gives the message up",
        &[&full([0, 0, 1], 200, 8, 1), &[0; 128], &first, b"ab"],
        &[(8, 1, 10, b"ab")],
        None,
    );
    check(
        "time wraps",
        &[&full([255, 255, 255], 1, 8, 1), &[255; 4], b"a", &[0x84, 0, 0, 2], b"b"],
        &[(8, 1, u32::MAX, b"a"), (8, 1, 1, b"b")],
        None,
    );
}

#[test]
fn interleaved() {
    let (long, short) = ([7; 200], [9; 3]);
    let audio = [0x05, 0, 0, 1, 0, 0, 3, 8, 1, 0, 0, 0];
    check(
        "two chunk streams",
        &[&full([0, 0, 1], 200, 9, 1), &long[..128], &audio, &short, &[0xC4], &long[128..]],
        &[(8, 1, 1, &short), (9, 1, 1, &long)],
        None,
    );
}

#[test]
fn extended_timestamps() {
    let time = [0x01, 0x02, 0x03, 0x04];
    let stamp = u32::from_be_bytes(time);
    let header = full([255, 255, 255], 200, 9, 1);
    let body: Vec<u8> = (0..200_u8).collect();
    let want: &[(u8, u32, u32, &[u8])] = &[(9, 1, stamp, &body)];
    check("repeated in type 3", &[&header, &time, &body[..128], &[0xC4], &time, &body[128..]], want, None);
    check("not repeated", &[&header, &time, &body[..128], &[0xC4], &body[128..]], want, None);

    let mut alike = body.clone();
    alike[128..131].copy_from_slice(&time[..3]);
    check(
        "not repeated, and the payload begins like it",
        &[&header, &time, &alike[..128], &[0xC4], &alike[128..]],
        &[(9, 1, stamp, &alike)],
        None,
    );

    // A delta beyond 24 bits: some repeat the delta, some the time it led to.
    let first = full([0, 0, 10], 1, 9, 1);
    let delta = [0x84_u8, 255, 255, 255];
    let led_to = (stamp + 10).to_be_bytes();
    let start = [&full([0, 0, 10], 200, 9, 1)[..], &body[..128], &[0xC4], &body[128..]].concat();
    let want: &[(u8, u32, u32, &[u8])] = &[(9, 1, 10, &body), (9, 1, stamp + 10, &body)];
    check("delta repeated", &[&start, &delta, &time, &body[..128], &[0xC4], &time, &body[128..]], want, None);
    check("time repeated", &[&start, &delta, &time, &body[..128], &[0xC4], &led_to, &body[128..]], want, None);
    check("neither", &[&start, &delta, &time, &body[..128], &[0xC4], &body[128..]], want, None);

    let next = stamp + 40;
    let long_first = [&full([255, 255, 255], 2, 9, 1)[..], &time, b"ab"].concat();
    check(
        "a new message of type 3 with a new time",
        &[&long_first, &[0xC4], &next.to_be_bytes(), b"cd"],
        &[(9, 1, stamp, b"ab"), (9, 1, next, b"cd")],
        None,
    );
    check(
        "chunks of one byte without repetition",
        &[&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 1], &full([255; 3], 4, 9, 1), &time, b"a\xC4b\xC4c\xC4d"],
        &[(9, 1, stamp, b"abcd")],
        None,
    );
    check(
        "type 0 without",
        &[&first, b"a", &full([0, 0, 9], 1, 9, 1), b"b"],
        &[(9, 1, 10, b"a"), (9, 1, 9, b"b")],
        None,
    );
}

#[test]
fn control() {
    let set = |size: u32| [&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0][..], &size.to_be_bytes()].concat();
    let body = [5; 200];
    check("larger chunks", &[&set(200), &full([0, 0, 1], 200, 9, 1), &body], &[(9, 1, 1, &body)], None);
    check("any size", &[&set(0x7FFF_FFFF), &full([0, 0, 1], 200, 9, 1), &body], &[(9, 1, 1, &body)], None);
    check("size 0", &[&set(0)], &[], Some(ErrorKind::ChunkSize(0)));
    check("high bit", &[&set(1 << 31)], &[], Some(ErrorKind::ChunkSize(1 << 31)));
    let short = [2, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 9];
    check("too short", &[&short], &[], Some(ErrorKind::Control { kind: 1, length: 2 }));
    let abort = [2, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 4];
    let long = full([0, 0, 1], 200, 9, 1);
    check(
        "abort",
        &[&long, &body[..128], &abort, &long, &body[..128], &[0xC4], &body[128..]],
        &[(9, 1, 1, &body)],
        None,
    );
}

#[test]
fn bounds() {
    let mut streams = Vec::new();
    for id in 0..=64_u8 {
        streams.extend([0x00, id, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0]);
    }
    assert_eq!(read(&streams, 1000).1, Some(ErrorKind::ChunkStreams(64)));

    let mut reader = ChunkReader::new(0);
    reader.set_max_message(1000);
    let long = [4, 0, 0, 0, 0, 3, 0xE9, 8, 1, 0, 0, 0];
    let error = reader.read(&mut &long[..]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::MessageTooLong { length: 1001, limit: 1000 });
    assert_eq!(error.offset, 0);

    // A header alone takes no more than its first share; unfinished messages all together stay under their bound.
    let mut reader = ChunkReader::new(0);
    assert_eq!(reader.read(&mut &[4, 0, 0, 0, 255, 255, 255, 8, 1, 0, 0, 0][..]), Ok(None));
    assert!(reader.reserved() <= 64 * 1024);
    let mut bytes = vec![2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 1, 0, 0];
    for id in 0..4_u8 {
        bytes.extend([0x00, id, 0, 0, 0, 255, 255, 255, 8, 1, 0, 0, 0]);
        bytes.resize(bytes.len() + 65_536, 1);
        bytes.extend([0xC0, id, 1]);
        // The rest of this second chunk, so that a header can follow.
        bytes.resize(bytes.len() + 65_535, 1);
    }
    let (mut reader, mut input) = (ChunkReader::new(0), &bytes[..]);
    let error = std::iter::repeat_with(|| reader.read(&mut input)).find_map(Result::err);
    assert_eq!(error.map(|e| e.kind), Some(ErrorKind::Unfinished(1 << 25)));
}

#[test]
fn the_writer_compresses_where_it_is_safe() {
    let (mut writer, mut out) = (ChunkWriter::new(), Output::default());
    let mut write = |timestamp, body: &'static [u8]| {
        writer.write(&mut out, 4, 8, 1, timestamp, &[], &Bytes::from_static(body));
        std::mem::take(&mut out).to_vec()
    };
    let cases: [(u32, &'static [u8], &[u8]); 8] = [
        (0, b"ab", &[0x04, 0, 0, 0, 0, 0, 2, 8, 1, 0, 0, 0]),
        (0, b"ab", &[0x84, 0, 0, 0]),
        (20, b"ab", &[0x84, 0, 0, 20]),
        (40, b"ab", &[0xC4]),
        (60, b"c", &[0x44, 0, 0, 20, 0, 0, 1, 8]),
        (50, b"c", &[0x04, 0, 0, 50, 0, 0, 1, 8, 1, 0, 0, 0]),
        (0x0100_0032, b"c", &[0x04, 255, 255, 255, 0, 0, 1, 8, 1, 0, 0, 0, 1, 0, 0, 0x32]),
        (0x0100_0033, b"c", &[0x84, 0, 0, 1]),
    ];
    for (timestamp, body, header) in cases {
        assert_eq!(write(timestamp, body), [header, body].concat(), "at {timestamp}");
    }
}

proptest! {
    #[test]
    fn round_trip(
        chunk_size in prop_oneof![1_u32..300, 1000_u32..100_000],
        messages in prop::collection::vec(
            (2_u32..7, 3_u8..=22, 0_u32..3, any::<u32>(), 0_usize..400, 0_usize..3000), 0..20),
        steady in any::<bool>(),
        cuts in prop::collection::vec(1_usize..500, 1..40),
    ) {
        let (mut writer, mut out) = (ChunkWriter::new(), Output::default());
        writer.set_chunk_size(&mut out, chunk_size);
        let mut want = Vec::new();
        for (n, (on, kind, stream, time, head, payload)) in messages.into_iter().enumerate() {
            // Every id form, and times that rise by little or jump about, also beyond 24 bits.
            let on = [2, 63, 64, 319, 320, 65_599, 5][usize::try_from(on).unwrap()];
            let time = if steady { 0xFF_FF00 + n as u32 * 40 } else { time };
            let body: Vec<u8> = (0..head + payload).map(|i| (i * 7 + n) as u8).collect();
            writer.write(&mut out, on, kind, stream, time, &body[..head], &Bytes::copy_from_slice(&body[head..]));
            want.push((kind, stream, time, body));
        }
        let bytes = out.to_vec();
        let mut reader = ChunkReader::new(0);
        let mut got = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (mut piece, left) = rest.split_at((*cut).min(rest.len()));
            rest = left;
            while let Some(m) = reader.read(&mut piece).unwrap() {
                got.push((m.kind, m.stream, m.timestamp, m.body.to_vec()));
            }
        }
        prop_assert_eq!(got, want);
        prop_assert_eq!(reader.offset(), bytes.len() as u64);
        prop_assert_eq!(reader.reserved(), 0);
    }
}
