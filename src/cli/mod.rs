//! The command line: what can be typed, and which file does it.

mod ask;
mod bench;
mod book;
mod check;
mod demo;
mod doctor;
mod generate;
mod list;
mod model;
mod reference;
mod run;
mod selftest;

use std::path::PathBuf;

use clap::builder::Styles;
use clap::builder::styling::{AnsiColor, Effects};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::exit::Exit;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .usage(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .literal(AnsiColor::Cyan.on_default().effects(Effects::BOLD))
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER_HELP: &str = "\
Exit codes: 0 as expected, 1 verdict differs, 2 inconclusive, 4 vacuous (too little happened), 64 bad arguments or \
suite, 70 harness failure, 77 this host cannot run it, 99 only a threshold was missed, 130 interrupted.";

/// Breaks real processes of a replicated store and checks what its clients saw.
#[derive(Parser)]
#[command(name = "raftcheck", version, styles = STYLES, after_help = AFTER_HELP, max_term_width = 120)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer a question about Raft by running it on real processes
    Ask(ask::Args),
    /// Run suites and judge them
    Run(run::Args),
    /// Judge a recorded run again, or a history that another tool recorded
    Check(check::Args),
    /// Write a history whose verdict is known
    Generate(generate::Args),
    /// Show in 15 seconds what raftcheck finds: one rule of Raft switched off, then on
    Demo(demo::Args),
    /// List systems, workloads, faults, checks and rules
    List(list::Args),
    /// Try every mechanism on this host and say how to fix what is missing
    Doctor(doctor::Args),
    /// Run the whole catalogue of questions as a test of raftcheck itself
    Selftest(selftest::Args),
    /// Write the answer book from the catalogue and its results
    Book(book::Args),
    /// Measure raftcheck itself on this host
    Bench(bench::Args),
    /// Print the JSON schema of suite files
    Schema,
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Run one node of the bundled Raft KV
    Node(raftkv::node::Args),
    /// Edit the files of a stopped node
    #[command(hide = true)]
    NodeEdit(raftkv::offline::Args),
    /// Carry out the plan of a run directory inside a sandbox
    #[command(hide = true)]
    Inside(crate::inside::Args),
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON document at the end.
    Json,
    /// One JSON object per event, as they happen.
    Jsonl,
}

/// The settings that `run` and `check` share.
#[derive(Clone, Debug, clap::Args)]
pub struct Output {
    /// How to print results
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Also write a JUnit report
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// Parses the arguments and carries the command out.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked = !error.use_stderr();
            // A closed pipe is no reason to fail.
            let _ = error.print();
            return if asked { Exit::AsExpected } else { Exit::Usage };
        }
    };
    if !matches!(cli.command, Command::Node(_) | Command::NodeEdit(_)) {
        log();
    }
    match cli.command {
        Command::Ask(args) => ask::main(&args),
        Command::Run(args) => run::main(&args),
        Command::Check(args) => check::main(&args),
        Command::Generate(args) => generate::main(&args),
        Command::Demo(args) => demo::main(&args),
        Command::List(args) => list::main(&args),
        Command::Doctor(args) => doctor::main(&args),
        Command::Selftest(args) => selftest::main(&args),
        Command::Book(args) => book::main(&args),
        Command::Bench(args) => bench::main(&args),
        Command::Schema => list::schema(),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "raftcheck", &mut std::io::stdout());
            Exit::AsExpected
        }
        Command::Node(args) => node(raftkv::node::run(args)),
        Command::NodeEdit(args) => node(raftkv::offline::run(&args)),
        Command::Inside(args) => crate::inside::main(&args),
    }
}

/// Sends what raftcheck has to say of itself to standard error: warnings, or what RAFTCHECK_LOG asks for.
fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("RAFTCHECK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

fn node<E: std::fmt::Display>(result: Result<(), E>) -> Exit {
    match result {
        Ok(()) => Exit::AsExpected,
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Harness
        }
    }
}

/// Writes the JUnit report, if one was asked for.
fn junit(output: &Output, all: &[crate::judge::Judged]) -> Exit {
    let Some(path) = &output.junit else { return Exit::AsExpected };
    match crate::report::write_junit(path, all) {
        Ok(()) => Exit::AsExpected,
        Err(error) => {
            eprintln!("error: the JUnit report could not be written: {error}");
            Exit::Harness
        }
    }
}
