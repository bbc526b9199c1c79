//! Shim for `proto::whip::fuzz::fuzz_sdpfrag`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::whip::fuzz::fuzz_sdpfrag(data));
