//! The stores that raftcheck can run, one file or folder each.
//!
//! To add one: implement [`System`] and [`crate::client::Client`], and add a line to [`registry`].

pub mod etcd;
mod http;
mod orders;
pub mod raftkv;
mod route;
#[cfg(test)]
mod wire_test;

use std::sync::Arc;

use checker::params::{Params, Setting};

use crate::system::System;

/// A store that a suite file can name under `system: { use: ... }`.
#[derive(Clone, Copy, Debug)]
pub struct SystemKind {
    /// Its name.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub summary: &'static str,
    /// What a suite may set beside the number of nodes.
    pub settings: &'static [Setting],
    /// A suite's `system:` entry, as YAML.
    pub example: &'static str,
    /// Makes it, or says what is wrong with the options. Called before the sandbox is entered.
    pub build: fn(&SystemOptions) -> Result<Arc<dyn System>, String>,
}

/// What a suite file says of the system.
#[derive(Clone, Debug, Default)]
pub struct SystemOptions {
    /// The values of the system's settings.
    pub params: Params,
    /// Protocol rules in the order in which they were given; `preset` is one of them.
    pub rules: Vec<(String, String)>,
}

/// All of them, in the order in which they are listed.
pub fn registry() -> &'static [SystemKind] {
    &[raftkv::KIND, etcd::KIND]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_builds_from_its_defaults() {
        for kind in registry() {
            let system = (kind.build)(&SystemOptions::default()).unwrap();
            assert_eq!(system.name(), kind.name);
            assert!(kind.example.contains(kind.name));
        }
    }
}
