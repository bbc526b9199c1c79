//! Shim for `codec::fuzz::fuzz_h264`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| codec::fuzz::fuzz_h264(data));
