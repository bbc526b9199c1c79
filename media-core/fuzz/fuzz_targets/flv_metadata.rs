//! Shim for `container::fuzz::fuzz_flv_metadata`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| container::fuzz::fuzz_flv_metadata(data));
