//! See `raftkv::fuzz::wal_reader`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| raftkv::fuzz::wal_reader(bytes));
