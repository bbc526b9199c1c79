//! What cameras put into packets of H.264, and what is to become of it. The packets are those of the tests of
//! [Retina](https://github.com/scottlamb/retina) 0.4.21, whose authors met them in the field; Copyright (C) The Retina Authors, licensed
//! MIT or Apache-2.0 like this project.

use super::{Depayloaded, H264Depayloader};
use bytes::Bytes;
use media::H264Entrance;

/// Timestamp, marker and payload of each.
type Packets = &'static [(u32, bool, &'static [u8])];
/// Time and NAL units of each, parameter sets left out, a bar between them.
type Pictures = &'static [(u32, &'static [u8])];

const SPS: &[u8] = b"\x67\x64\x00\x33\xac\x15\x14\xa0\xa0\x2f\xf9\x50";
const PPS: &[u8] = b"\x68\xee\x3c\xb0";

/// Three NAL units as they lie in a byte stream.
const BYTE_STREAM: &[u8] =
    b"\x67\x64\x00\x33\xac\x15\x14\xa0\xa0\x3d\xa1\x00\x00\x04\xf6\x00\x00\x63\x38\x04\x00\x00\x00\x01\x68\xee\x3c\xb0\x00\x00\x01\x65idr sli\x00\x00ce\x00";

const CAMERAS: &[(&str, Packets, Pictures)] = &[
    (
        "all packet types",
        &[
            (0, false, SPS),
            (0, false, PPS),
            (0, false, b"\x06plain"),
            (0, false, b"\x18\x00\x09\x06stap-a 1\x00\x09\x06stap-a 2"),
            (0, false, b"\x7c\x81fu-a start, "),
            (0, false, b"\x7c\x01fu-a middle, "),
            (0, true, b"\x7c\x41fu-a end"),
        ],
        &[(0, b"\x06plain|\x06stap-a 1|\x06stap-a 2|\x61fu-a start, fu-a middle, fu-a end")],
    ),
    (
        "a reserved bit is set",
        &[
            (0, false, SPS),
            (0, false, PPS),
            (0, false, b"\x7c\xa1start, "),
            (0, false, b"\x7c\x21middle, "),
            (0, true, b"\x7c\x61end"),
        ],
        &[(0, b"\x61start, middle, end")],
    ),
    (
        "Reolink: a mark behind the parameter sets, which have another time than their picture",
        &[(0, true, SPS), (0, false, PPS), (1, true, b"\x65slice")],
        &[(1, b"\x65slice")],
    ),
    (
        "Reolink: parameter sets with the time of the picture before",
        &[
            (0, false, SPS),
            (0, false, PPS),
            (0, true, b"\x61slice"),
            (0, false, SPS),
            (0, false, PPS),
            (1, true, b"\x65slice"),
        ],
        &[(0, b"\x61slice"), (1, b"\x65slice")],
    ),
    (
        "marks everywhere",
        &[(0, true, SPS), (0, true, PPS), (0, true, b"\x06\xe5\x01\xa7\x80"), (0, true, b"\x65slice")],
        &[(0, b"\x65slice")],
    ),
    ("a byte stream in one packet", &[(0, true, BYTE_STREAM)], &[(0, b"\x65idr sli\x00\x00ce")]),
    (
        "a byte stream in fragments, cut inside a start code",
        &[
            (0, false, b"\x7c\x87\x64\x00\x33\xac\x15\x14\xa0\xa0\x3d\xa1\x00\x00\x04\xf6\x00\x00\x63\x38\x04\x00\x00"),
            (0, false, b"\x7c\x07\x00\x01\x68\xee\x3c\xb0\x00"),
            (0, true, b"\x7c\x47\x00\x01\x65idr sli\x00\x00ce\x00"),
        ],
        &[(0, b"\x65idr sli\x00\x00ce")],
    ),
    (
        "the last fragment says another type",
        &[
            (0, false, SPS),
            (0, false, PPS),
            (0, false, b"\x3c\x81start of non-idr"),
            (0, true, b"\x3c\x47a wild sps appeared"),
        ],
        &[(0, b"\x21start of non-idra wild sps appeared")],
    ),
    (
        "one fragment is all",
        &[(0, false, SPS), (0, false, PPS), (0, true, b"\x7c\xc1small nal")],
        &[(0, b"\x61small nal")],
    ),
    (
        "a fragment is empty",
        &[
            (0, false, SPS),
            (0, false, PPS),
            (0, false, b"\x7c\x81start, "),
            (0, false, b"\x7c\x01"),
            (0, true, b"\x7c\x41end"),
        ],
        &[(0, b"\x61start, end")],
    ),
    (
        "the end of a fragment never comes",
        &[(0, true, SPS), (0, true, PPS), (0, false, b"\x7c\x86start, "), (1, true, b"\x61plain")],
        &[(1, b"\x61plain")],
    ),
    (
        "a byte behind the sequence parameter set",
        &[
            (0, false, b"\x67\x64\x00\x33\xac\x15\x14\xa0\xa0\x3d\xa1\x00\x00\x04\xf6\x00\x00\x63\x38\x04\x04"),
            (0, false, PPS),
            (0, true, b"\x65idr slice"),
        ],
        &[(0, b"\x65idr slice")],
    ),
];

#[test]
fn recorded_packets() {
    let mut wrong = Vec::new();
    for (camera, packets, want) in CAMERAS {
        let (mut depayloader, mut entrance) = (H264Depayloader::from_the_beginning(), H264Entrance::new());
        let mut got = Vec::new();
        for (timestamp, marker, payload) in *packets {
            depayloader.push(*timestamp, *marker, &Bytes::from_static(payload), false);
            while let Some(gathered) = depayloader.poll() {
                let Depayloaded::Unit { timestamp, parts } = gathered else { continue };
                match entrance.unit(parts.iter().map(|nal| &nal[..])) {
                    Ok(Some(unit)) => {
                        let unit = media::LengthPrefixed::parse(&unit.payload).unwrap();
                        got.push((timestamp, unit.collect::<Vec<_>>().join(&b'|')));
                    }
                    Ok(None) => {}
                    Err(error) => wrong.push(format!("{camera}: {error}")),
                }
            }
        }
        let want: Vec<_> = want.iter().map(|(timestamp, nals)| (*timestamp, nals.to_vec())).collect();
        if got != want {
            wrong.push(format!(
                "{camera}: {:?}",
                got.iter().map(|(t, n)| (t, n.escape_ascii().to_string())).collect::<Vec<_>>()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
