//! Shim for `proto::rtmp::fuzz::fuzz_rtmp_server`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::rtmp::fuzz::fuzz_rtmp_server(data));
