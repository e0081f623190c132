//! See `checker::fuzz::porcupine`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checker::fuzz::porcupine(bytes));
