//! Shim for `relay::fuzz::fuzz_whep_answer`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| relay::fuzz::fuzz_whep_answer(data));
