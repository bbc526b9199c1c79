//! Shim for `relay::fuzz::fuzz_srt_text`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| relay::fuzz::fuzz_srt_text(data));
