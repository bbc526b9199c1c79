//! Shim for `hub::fuzz::fuzz_path_name`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| hub::fuzz::fuzz_path_name(data));
