//! The `raftcheck` command as a library: suite file -> plan -> run directory -> verdict -> report.
//!
//! `docs/architecture.md` tells where things are and what is deliberately absent.

pub mod catalogue;
pub mod cli;
pub mod director;
pub mod events;
pub mod exit;
pub mod inside;
pub mod interrupt;
pub mod judge;
pub mod plan;
pub mod recorder;
pub mod report;
pub mod rundir;
pub mod script;
pub mod session;
pub mod suite;
