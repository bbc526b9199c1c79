//! Entry points for the fuzzers: what callers say, and datagrams at the listener and at a connection that runs.
//!
//! Not here: transport streams (`container::fuzz`).

use super::door::{Caller, Door, Knock};
use super::link::{Link, Step, Terms};
use super::server::destination;
use super::stream_id::StreamId;
use super::url::SrtUrl;
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// More steps than any datagram causes.
const MAX_STEPS: usize = 4096;

/// A stream id, and the address of a server.
pub fn fuzz_srt_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(id) = StreamId::parse(Some(text)) {
        assert!(!id.path.as_str().is_empty(), "a wish has a path");
    }
    if let Ok(url) = text.parse::<SrtUrl>() {
        let again: SrtUrl = url.to_string().parse().expect("what is shown can be read");
        assert_eq!((again.host, again.port), (url.host, url.port));
    }
}

/// Datagrams, each behind two bytes of its length, at the door; those for a connection go to one that a caller was given before.
pub fn fuzz_srt_datagrams(data: &[u8]) {
    // The machine may panic: the fence is what is tested. Nobody needs to read of each.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = std::panic::catch_unwind(|| datagrams(data));
    std::panic::set_hook(hook);
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn datagrams(mut data: &[u8]) {
    let from = SocketAddr::from(([127, 0, 0, 1], 4000));
    let (door, mut now) = (Door::default(), Instant::now());
    let mut link = let_in(&door, &induction(), from, now);
    while let Some((length, rest)) = data.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (datagram, next) = rest.split_at(length);
        data = next;
        now += Duration::from_millis(5);
        match door.knock(datagram, from, 0) {
            Knock::Silence => {}
            Knock::Answer(answer) => assert!(answer.len() <= datagram.len().max(64), "nothing is amplified"),
            Knock::Asks(caller) => drop(accept(&caller, now)),
        }
        if destination(datagram).is_none() {
            continue;
        }
        let Some(running) = &mut link else { break };
        if running.datagram(now, datagram).is_err() || !drain(running, now) {
            link = None;
        }
    }
}

/// Lets a caller in that says `induction` and then the conclusion that belongs to it.
fn let_in(door: &Door, induction: &[u8], from: SocketAddr, now: Instant) -> Option<Link> {
    let Knock::Answer(answer) = door.knock(induction, from, 0) else { return None };
    let cookie = answer.get(COOKIE..COOKIE + 4)?;
    let Knock::Asks(caller) = door.knock(&conclusion(cookie), from, 0) else { return None };
    accept(&caller, now)
}

fn accept(caller: &Caller, now: Instant) -> Option<Link> {
    let terms = Terms { latency: Duration::from_millis(120), receive: 64, passphrase: None };
    let (_answer, mut link) = caller.accept(now, SOCKET, &terms).ok()?;
    link.push(now, Bytes::from_static(&[0x47; 188])).ok()?;
    drain(&mut link, now).then_some(link)
}

/// Does what the connection wants; false once it has ended.
fn drain(link: &mut Link, now: Instant) -> bool {
    for _ in 0..MAX_STEPS {
        match link.poll(now) {
            Ok(Some(Step::Closed)) | Err(_) => return false,
            Ok(Some(Step::Send(_) | Step::Deliver(_))) => {}
            Ok(None) => return true,
        }
    }
    panic!("a datagram causes no end of steps");
}

/// Our number of the connection that datagrams may name.
pub(super) const SOCKET: u32 = 1;
/// Where a handshake says the cookie.
const COOKIE: usize = 16 + 28;

/// A caller's first words, and its second without extensions: header, version, type, sequence number, sizes, kind, number, cookie.
fn shake(version: u32, kind: u32, shake: i32, cookie: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for word in [version, kind, 7, 1500, 8192] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(&shake.to_be_bytes());
    out.extend_from_slice(&9_u32.to_be_bytes());
    out.extend_from_slice(cookie);
    out.extend_from_slice(&[0; 16]);
    out
}

pub(super) fn induction() -> Vec<u8> {
    shake(4, 2, 1, &[0; 4])
}

/// With the handshake extension: version 1.5.1, flags, 120 ms.
pub(super) fn conclusion(cookie: &[u8]) -> Vec<u8> {
    let mut out = shake(5, 1, -1, cookie);
    out.extend_from_slice(&[0, 1, 0, 3, 0, 1, 5, 1, 0, 0, 0, 0x2F, 0, 120, 0, 120]);
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::control;
    use super::*;
    use crate::fuzz_replay::replay;

    #[test]
    fn corpora() {
        let texts: &[&[u8]] = &[
            b"publish:live/cam1:joe:secret:token=a%20b",
            b"#!::m=publish,r=/cam,u=joe,s=a:b=c,h=host,t=stream",
            b"read:cam:token=1",
            b"srt://[::1]:9000?streamid=%23!::r=cam&passphrase=0123456789&latency=300&pbkeylen=32&mode=caller",
        ];
        replay("srt_text", fuzz_srt_text, texts);
        let framed = |datagrams: &[Vec<u8>]| -> Vec<u8> {
            let length = |datagram: &Vec<u8>| u16::try_from(datagram.len()).unwrap().to_be_bytes();
            datagrams.iter().flat_map(|datagram| [&length(datagram)[..], datagram].concat()).collect()
        };
        // Two payloads with one missing between, then what reports, acknowledges, gives up and ends.
        let data = |number: u32| {
            let mut out = number.to_be_bytes().to_vec();
            out.extend_from_slice(&[0xC0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1]);
            out.extend_from_slice(&[0x47; 188]);
            out
        };
        let handshakes = framed(&[induction(), conclusion(&[0; 4]), [conclusion(&[0; 4]), vec![0, 5, 0, 0]].concat()]);
        let running = framed(&[
            data(7),
            data(9),
            control(2, &[8, 1000, 100, 64, 1, 1, 1]),
            control(3, &[7]),
            control(6, &[0]),
            control(7, &[8, 8]),
            control(1, &[0]),
            control(5, &[0]),
        ]);
        replay("srt_datagrams", fuzz_srt_datagrams, &[&handshakes, &running]);
    }
}
