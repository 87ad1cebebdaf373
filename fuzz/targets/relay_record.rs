//! See `chancery_fuzz::relay_record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::relay_record(data));
