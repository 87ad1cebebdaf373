//! See `chancery_fuzz::group_order`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::group_order(data));
