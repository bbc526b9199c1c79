//! Shim for `device::fuzz::fuzz_camera`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| device::fuzz::fuzz_camera(data));
