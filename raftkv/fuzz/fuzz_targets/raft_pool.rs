//! See `raftkv::fuzz::raft_pool`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| raftkv::fuzz::raft_pool(bytes));
