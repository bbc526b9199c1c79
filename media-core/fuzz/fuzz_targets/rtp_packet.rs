//! Shim for `proto::rtp::fuzz::fuzz_rtp_packet`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::rtp::fuzz::fuzz_rtp_packet(data));
