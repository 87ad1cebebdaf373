//! See `chancery_fuzz::group_snapshot_welcome`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::group_snapshot_welcome(data));
