//! Nodes as their users run them: real processes with real sockets, disks and signals, one module per subject.
//!
//! Every wait here is for something that a node reports, traces or does; nothing is measured. A node process is this
//! program itself, started again as [`node_process`], so that nothing has to be built beforehand.
//! What it lacks: a network that loses anything. Partitions and delays are in the scripts (`tests/scripts.rs`), in the
//! simulation, and in the suites of raftcheck.

mod clients;
mod cluster;
mod control;
mod members;
mod node;
mod reads;

use raftkv::node::Args;

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// The arguments of a node, as its command line would be read.
fn parse(args: impl IntoIterator<Item = String>) -> Args {
    <Cli as clap::Parser>::parse_from(std::iter::once("node".to_owned()).chain(args)).args
}

/// Not a test by itself: a node, when this program is started as one.
#[test]
fn node_process() {
    let Ok(args) = std::env::var(cluster::NODE_ARGS) else { return };
    match raftkv::node::run(parse(args.lines().map(str::to_owned))) {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("node: {error}");
            std::process::exit(1);
        }
    }
}
