//! See `chancery_fuzz::directory_sealed`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::directory_sealed(data));
