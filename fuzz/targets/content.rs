//! See `chancery_fuzz::content`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::content(data));
