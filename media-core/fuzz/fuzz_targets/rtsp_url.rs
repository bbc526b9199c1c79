//! Shim for `proto::rtsp::fuzz::fuzz_rtsp_url`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::rtsp::fuzz::fuzz_rtsp_url(data));
