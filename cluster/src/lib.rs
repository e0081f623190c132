//! Real node processes in a private network, and the levers on them.
//!
//! Invariant: everything that this crate creates (process, namespace, interface, mount) lives inside the sandbox of
//! the run and dies with it. Knows nothing of suites, faults or verdicts.

pub mod bridge;
pub mod client;
pub mod clock;
pub mod cluster;
mod data;
pub mod disk;
pub mod edit;
pub mod hosts;
pub mod levers;
pub mod limits;
mod logs;
pub mod messages;
mod netlink;
pub mod network;
pub mod order;
pub mod process;
mod procfs;
pub mod sandbox;
pub mod start;
pub mod switch;
pub mod system;
pub mod systems;
pub mod view;
