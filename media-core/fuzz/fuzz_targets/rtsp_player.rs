//! Shim for `proto::rtsp::fuzz::fuzz_rtsp_player`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::rtsp::fuzz::fuzz_rtsp_player(data));
