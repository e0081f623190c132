//! The reference of the faults as a Markdown page, from the files that implement them.
//!
//! Invariant: nothing about a single fault is written here; a fault that is added is on the page. A test compares
//! `docs/faults-reference.md` with it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use checker::params::{Kind, Param, Params, Setting};
use nemesis::fault::FaultKind;
use nemesis::faults::registry;

use super::list::{default, form};
use crate::suite;

const HEAD: &str = "# Reference of the faults

<!-- Written by `raftcheck list faults --markdown` from the files in `nemesis/src/faults/`. Change those, not this page. -->

Each is an entry of a suite's `faults: mix:`, and may have a `weight` there; in a choreography it stands in a step `fault:`.
[faults.md](faults.md) says what faults are made of and how they meet.
";

/// The selectors of nodes that a system without roles cannot resolve.
const ROLES: &str = "`target: leader`, `target: follower`";

/// The whole page.
pub(super) fn faults() -> String {
    let mut page = format!("{HEAD}\n| fault | what it does |\n|---|---|\n");
    for kind in registry() {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| [`{0}`](#{0}) | {1} |", kind.name, kind.summary);
    }
    for kind in registry() {
        let (does, proof) = kind.page_and_proof();
        let (settings, needs) = (settings(kind.settings), needs(kind));
        let _ = write!(
            page,
            "\n## {}\n\n{}\n\n{settings}**Needs** {needs}\n\n**Proof.** {}\n",
            kind.name,
            does.trim_end(),
            proof.trim_end()
        );
    }
    page
}

fn settings(settings: &[Setting]) -> String {
    if settings.is_empty() {
        return String::new();
    }
    let mut table = "| setting | value | default | |\n|---|---|---|---|\n".to_owned();
    for setting in settings {
        let value = form(setting.kind).replace('|', "\\|");
        let default = match setting.default {
            Some(value) => format!("`{value}`"),
            None => default(setting).trim_start_matches(", ").to_owned(),
        };
        let _ = writeln!(table, "| `{}` | {value} | {default} | {} |", setting.name, setting.doc);
    }
    table + "\n"
}

/// What a system or the host must have, in one sentence, and what single settings need beside that.
fn needs(kind: &FaultKind) -> String {
    let defaults = suite::defaults(kind.settings);
    let always: BTreeSet<&str> = (kind.needs)(&defaults).in_words().into_iter().collect();
    let mut text = match always.is_empty() {
        true => "nothing but the sandbox.".to_owned(),
        false => format!("{}.", always.iter().copied().collect::<Vec<_>>().join("; ")),
    };
    for setting in kind.settings {
        if matches!(setting.kind, Kind::Target) && !(kind.needs)(&defaults).roles {
            let roles = nemesis::fault::Needs { roles: true, ..Default::default() };
            let _ = write!(text, " {ROLES}: {}.", roles.in_words().join("; "));
        }
        for word in words(setting.kind) {
            let with = (kind.needs)(&changed(&defaults, setting.name, word)).in_words();
            let more: Vec<&str> = with.into_iter().filter(|need| !always.contains(need)).collect();
            if !more.is_empty() {
                let _ = write!(text, " `{}: {word}`: {}.", setting.name, more.join("; "));
            }
        }
    }
    text
}

/// The words that may stand behind a setting.
fn words(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Word(words) => words,
        Kind::List(inner) => words(*inner),
        _ => &[],
    }
}

fn changed(params: &Params, name: &str, word: &str) -> Params {
    let mut params = params.clone();
    params.0.insert(name.to_owned(), Param::Text(word.to_owned()));
    params
}
