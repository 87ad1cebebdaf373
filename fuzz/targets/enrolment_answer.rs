//! See `chancery_fuzz::enrolment_answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::enrolment_answer(data));
