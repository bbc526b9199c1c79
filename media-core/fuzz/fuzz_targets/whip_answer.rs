//! Shim for `relay::fuzz::fuzz_whip_answer`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| relay::fuzz::fuzz_whip_answer(data));
