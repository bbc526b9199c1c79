//! Shim for `proto::whip::fuzz::fuzz_whip_offer`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::whip::fuzz::fuzz_whip_offer(data));
