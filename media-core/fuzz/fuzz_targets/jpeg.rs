//! Shim for `codec::fuzz::fuzz_jpeg`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| codec::fuzz::fuzz_jpeg(data));
