//! Shim for `relay::fuzz::fuzz_http_request`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| relay::fuzz::fuzz_http_request(data));
