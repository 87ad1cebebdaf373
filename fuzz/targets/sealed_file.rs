//! See `chancery_fuzz::sealed_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::sealed_file(data));
