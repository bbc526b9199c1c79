//! Shim for `proto::rtmp::fuzz::fuzz_rtmp_client`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::rtmp::fuzz::fuzz_rtmp_client(data));
