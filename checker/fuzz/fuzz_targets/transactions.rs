//! See `checker::fuzz::transactions`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checker::fuzz::transactions(bytes));
