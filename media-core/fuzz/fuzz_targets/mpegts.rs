//! Shim for `container::fuzz::fuzz_mpegts`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| container::fuzz::fuzz_mpegts(data));
