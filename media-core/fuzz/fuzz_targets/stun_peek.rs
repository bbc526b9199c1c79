//! Shim for `proto::whip::fuzz::fuzz_stun_peek`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::whip::fuzz::fuzz_stun_peek(data));
