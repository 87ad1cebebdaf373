//! See `chancery_fuzz::merkle`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::merkle(data));
