//! See `chancery_fuzz::directory_key_update`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::directory_key_update(data));
