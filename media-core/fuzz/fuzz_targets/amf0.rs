//! Shim for `media::fuzz::fuzz_amf0`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| media::fuzz::fuzz_amf0(data));
