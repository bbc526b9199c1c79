//! Shim for `proto::multipart::fuzz::fuzz_multipart`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::multipart::fuzz::fuzz_multipart(data));
