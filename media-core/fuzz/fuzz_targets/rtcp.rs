//! Shim for `proto::rtp::fuzz::fuzz_rtcp`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::rtp::fuzz::fuzz_rtcp(data));
