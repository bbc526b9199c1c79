//! Shim for `container::fuzz::fuzz_flv`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| container::fuzz::fuzz_flv(data));
