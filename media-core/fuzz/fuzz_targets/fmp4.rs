//! Shim for `container::fuzz::fuzz_fmp4`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| container::fuzz::fuzz_fmp4(data));
