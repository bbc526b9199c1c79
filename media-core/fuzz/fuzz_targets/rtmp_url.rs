//! Shim for `proto::fuzz::fuzz_rtmp_url`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::fuzz::fuzz_rtmp_url(data));
