//! Shim for `proto::whip::fuzz::fuzz_link_header`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::whip::fuzz::fuzz_link_header(data));
