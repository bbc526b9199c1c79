//! Shim for `hub::fuzz::fuzz_timeline`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| hub::fuzz::fuzz_timeline(data));
