//! Shim for `relay::fuzz::fuzz_webrtc_tcp`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| relay::fuzz::fuzz_webrtc_tcp(data));
