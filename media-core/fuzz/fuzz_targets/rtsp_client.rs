//! Shim for `proto::rtsp::fuzz::fuzz_rtsp_client`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::rtsp::fuzz::fuzz_rtsp_client(data));
