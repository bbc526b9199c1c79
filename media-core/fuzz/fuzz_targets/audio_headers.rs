//! Shim for `media::fuzz::fuzz_audio_headers`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| media::fuzz::fuzz_audio_headers(data));
