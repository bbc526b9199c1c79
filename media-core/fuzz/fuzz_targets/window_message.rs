//! Shim for `engine::fuzz::fuzz_window_message`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| engine::fuzz::fuzz_window_message(data));
