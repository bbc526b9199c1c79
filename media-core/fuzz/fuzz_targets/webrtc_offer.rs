//! Shim for `relay::fuzz::fuzz_webrtc_offer`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| relay::fuzz::fuzz_webrtc_offer(data));
