//! Shim for `proto::hls::fuzz::fuzz_hls_directives`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::hls::fuzz::fuzz_hls_directives(data));
