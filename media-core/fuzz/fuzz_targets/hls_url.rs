//! Shim for `proto::hls::fuzz::fuzz_hls_url`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::hls::fuzz::fuzz_hls_url(data));
