//! Shim for `proto::rtp::fuzz::fuzz_latm_config`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::rtp::fuzz::fuzz_latm_config(data));
