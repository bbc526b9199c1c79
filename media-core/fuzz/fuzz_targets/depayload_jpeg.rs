//! Shim for `proto::rtp::fuzz::fuzz_depayload_jpeg`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::rtp::fuzz::fuzz_depayload_jpeg(data));
