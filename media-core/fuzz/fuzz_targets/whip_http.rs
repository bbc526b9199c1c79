//! Shim for `proto::fuzz::fuzz_whip_http`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::fuzz::fuzz_whip_http(data));
