//! See `chancery_fuzz::heal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::heal(data));
