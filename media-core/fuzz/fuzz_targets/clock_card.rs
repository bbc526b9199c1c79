//! Shim for `device::fuzz::fuzz_clock_card`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| device::fuzz::fuzz_clock_card(data));
