//! Shim for `codec::fuzz::fuzz_aac`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| codec::fuzz::fuzz_aac(data));
