//! Shim for `engine::fuzz::fuzz_server_address`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| engine::fuzz::fuzz_server_address(data));
