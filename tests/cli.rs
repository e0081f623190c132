//! What can be typed: help, lists, the schema, and every kind of mistake. Nothing here starts a node.

mod support;

use support::{Done, Place, finish, raftcheck};

fn typed(arguments: &[&str]) -> Done {
    finish(&mut raftcheck(arguments))
}

/// The exit code of bad arguments and bad suites, which scripts tell apart from a verdict.
const USAGE: i32 = 64;

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let help = typed(&["--help"]).exits(0);
    let commands = ["run", "check", "demo", "list", "doctor", "bench", "schema", "completions", "node"];
    for command in commands {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{command} is missing\n{help}");
        let page = typed(&[command, "--help"]).exits(0);
        assert!(page.stdout.contains(&format!("raftcheck {command}")), "{page}");
    }
    for word in ["Exit codes:", "64", "70", "77", "99", "130"] {
        assert!(help.stdout.contains(word), "{word} is missing\n{help}");
    }
    let hidden = ["inside", "node-edit"];
    assert!(hidden.iter().all(|hidden| !help.stdout.contains(&format!("\n  {hidden} "))), "{help}");
    typed(&["--version"]).exits(0).prints(concat!("raftcheck ", env!("CARGO_PKG_VERSION")));
}

/// The names in a list: the first word of each indented line.
fn names(topic: &str) -> Vec<String> {
    let list = typed(&["list", topic]).exits(0);
    let lines = list.stdout.lines().filter(|line| line.starts_with("  "));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn every_list_has_entries_and_every_entry_a_page() {
    let all = typed(&["list"]).exits(0);
    for topic in ["systems", "workloads", "faults", "checks", "measures", "rules"] {
        let names = names(topic);
        assert!(names.len() >= 2, "{topic}: {names:?}");
        assert!(names.iter().all(|name| all.stdout.contains(name.as_str())), "{names:?}\n{all}");
        for name in names.iter().take(3) {
            let page = typed(&["list", topic, name]).exits(0);
            assert!(page.stdout.starts_with(&format!("{name}: ")), "{page}");
            assert!(page.stdout.lines().count() >= 3, "{page}");
        }
    }
    for fault in ["partition", "kill", "stop", "pause", "clock", "truncate-log", "lose-vote"] {
        assert!(names("faults").iter().any(|name| name == fault), "{fault}");
    }
    typed(&["list", "faults", "partion"]).exits(USAGE).complains("did you mean `partition`?");
    typed(&["list", "fautls"]).exits(USAGE).complains("faults");
}

/// `UPDATE=1` rewrites the page.
#[test]
fn the_reference_of_the_faults_is_what_the_program_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/faults-reference.md");
    let said = typed(&["list", "faults", "--markdown"]).exits(0).stdout;
    for fault in names("faults") {
        assert!(said.contains(&format!("\n## {fault}\n")), "{fault} is missing");
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, said).unwrap();
    } else {
        let page = std::fs::read_to_string(path).unwrap();
        let advice = "docs/faults-reference.md is out of date: run `UPDATE=1 cargo test --workspace --test cli reference_of_the_faults`";
        assert!(page == said, "{advice}");
    }
    typed(&["list", "rules", "--markdown"]).exits(USAGE).complains("--markdown is for the faults");
}

#[test]
fn the_example_on_a_page_is_accepted_in_a_suite() {
    for fault in names("faults") {
        let page = typed(&["list", "faults", &fault]).exits(0);
        let example: Vec<&str> = page.stdout.lines().filter(|line| line.starts_with("- ")).collect();
        assert!(!example.is_empty(), "{page}");
        let mix: String = example.iter().map(|line| format!("    {line}\n")).collect();
        let place = Place::new();
        let head = head(5).replace("nodes: 5", "nodes: 5, spares: 1");
        let text = format!("{head}faults:\n  every: 1s..2s\n  mix:\n{mix}expect: safe\n");
        // An unknown rule is the only mistake left, so nothing is started.
        let done = finish(&mut place.command(&text, &["--set", "no_such_rule=1"])).exits(USAGE);
        assert!(done.stderr.contains("1 error, nothing was run"), "{fault}: {done}");
    }
}

fn head(nodes: u8) -> String {
    format!(
        "version: 1\nname: typed\nsystem: {{ use: raftkv, nodes: {nodes} }}\n\
         workload: {{ kind: register, clients: 5, rate: 100/s, op-timeout: 500ms }}\nduration: 30s\n\
         quiesce: 5s\nchecks: [linearizable]\n"
    )
}

#[test]
fn the_schema_is_json_and_knows_the_vocabulary() {
    let done = typed(&["schema"]).exits(0);
    let schema: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert!(schema["$schema"].as_str().is_some_and(|name| name.contains("json-schema")), "{done}");
    for word in ["truncate-log", "read_mode", "linearizable", "unavailability", "append"] {
        assert!(done.stdout.contains(word), "{word} is missing");
    }
}

#[test]
fn completions_are_for_the_shell_that_was_asked_for() {
    typed(&["completions", "bash"]).exits(0).prints("complete -F _raftcheck");
    typed(&["completions", "zsh"]).exits(0).prints("#compdef raftcheck");
    typed(&["completions", "fish"]).exits(0).prints("complete -c raftcheck");
    typed(&["completions", "cobol"]).exits(USAGE).complains("bash");
}

#[test]
fn mistakes_in_arguments_are_usage_errors() {
    typed(&[]).exits(USAGE).complains("Usage: raftcheck");
    typed(&["fly"]).exits(USAGE).complains("unrecognized subcommand 'fly'");
    typed(&["run"]).exits(USAGE).complains("<FILE|DIR>");
    typed(&["run", "x.yaml", "--fly"]).exits(USAGE).complains("unexpected argument '--fly'");
    typed(&["run", "x.yaml", "--seed", "many"]).exits(USAGE).complains("--seed");
    typed(&["run", "x.yaml", "--runs", "0"]).exits(USAGE).complains("--runs");
    typed(&["run", "x.yaml", "--format", "xml"]).exits(USAGE).complains("jsonl");
    typed(&["check"]).exits(USAGE).complains("Usage: raftcheck check");
}

#[test]
fn every_error_of_every_suite_is_told_at_once_with_its_place_and_nothing_is_started() {
    let place = Place::new();
    let one = "version: 1\nname: one\nsystem: { use: raftkv, nodes: 3 }\n\
               workload: { kind: regster, clients: 6, rate: 200/s, op-timeout: 500 }\nduration: 3s\nfaults:\n  \
               every: 300ms..500ms\n  mix:\n    - partion: { shape: majority, for: 300ms }\n\
               quiesce: 5s\nchecks: [linearisable]\ncolour: red\nexpect: safe\n";
    let other = head(3) + "thresholds: { ops_ok: [count>=1000000] }\nexpect: { violates: [linearizabl] }\n";
    let (one, other) = (place.write("one.yaml", one), place.write("other.yaml", other));
    let mut command = raftcheck(&["run"]);
    command.arg(&one).arg(&other).arg("--out").arg(place.out());
    let done = finish(&mut command).exits(USAGE);
    let expected = [
        ("one.yaml:4:19", "did you mean `register`?"),
        ("one.yaml:4:65", "a duration needs a unit"),
        ("one.yaml:9:7", "did you mean `partition`?"),
        ("one.yaml:11:10", "did you mean `linearizable`?"),
        ("one.yaml:12:1", "the suite has no key `colour`"),
        ("one.yaml: 5 errors, nothing was run", ""),
        ("other.yaml:8:24", "no run can fulfil `count>=1000000` of `ops_ok`"),
        ("other.yaml:9:22", "did you mean `linearizable`?"),
        ("other.yaml: 2 errors, nothing was run", ""),
    ];
    for (at, what) in expected {
        assert!(done.stderr.contains(at) && done.stderr.contains(what), "{at} {what}\n{done}");
    }
    assert!(done.stderr.contains("^^^^^^^"), "{done}");
    assert!(!place.out().exists(), "a run directory was made");
}

#[test]
fn a_good_suite_beside_a_bad_one_is_not_run() {
    let place = Place::new();
    let good = place.write("good.yaml", head(3) + "expect: safe\n");
    let bad = place.write("bad.yaml", "version: 1\n\tname: x\n");
    let mut command = raftcheck(&["run"]);
    command.arg(&good).arg(&bad).arg("--out").arg(place.out());
    finish(&mut command).exits(USAGE).complains("bad.yaml: 1 error, nothing was run");
    assert!(!place.out().exists(), "a run directory was made");
}

#[test]
fn suites_of_strange_bytes_are_refused() {
    let place = Place::new();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bombs = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n\
                 c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: [*c, *c, *c, *c, *c, *c, *c, *c, *c]\n";
    let texts: [&[u8]; 8] = [
        b"",
        b"\xff\xfe\x00",
        b"\0",
        b"just words",
        b"- a\n- list\n",
        b"version: 1\nversion: 1\n",
        deep.as_bytes(),
        bombs.as_bytes(),
    ];
    for text in texts {
        let file = place.write("strange.yaml", text);
        let done = finish(raftcheck(&["run"]).arg(&file).arg("--out").arg(place.out())).exits(USAGE);
        assert!(done.stderr.contains("strange.yaml"), "{done}");
    }
}

#[test]
fn paths_that_lead_nowhere_are_named() {
    let place = Place::new();
    let nowhere = place.path().join("nowhere");
    let empty = place.path().join("empty");
    std::fs::create_dir(&empty).expect("create");
    let given = |command: &str, path: &std::path::Path| finish(raftcheck(&[command]).arg(path)).exits(USAGE);
    given("run", &nowhere).complains("nowhere");
    given("run", &empty).complains("holds no suite: no file in it ends in .yaml");
    given("check", &nowhere).complains("nowhere");
    given("check", &empty).complains("is not a run directory: it has no plan.json");
}

#[test]
fn rules_on_the_command_line_are_checked_like_those_of_a_suite() {
    let place = Place::new();
    let text = head(3) + "expect: safe\n";
    let set = |value: &str| finish(&mut place.command(&text, &["--set", value])).exits(USAGE);
    set("read_mod=local").complains("did you mean `read_mode`?");
    set("read_mode=lokal").complains("did you mean `local`?");
    set("read_mode").complains("read_mode");
    assert!(!place.out().exists(), "a run directory was made");
}

#[test]
fn a_place_that_cannot_hold_runs_is_a_failure_of_the_harness() {
    let place = Place::new();
    let file = place.write("file", "not a directory");
    let suite = place.write("suite.yaml", head(3) + "expect: safe\n");
    let done = finish(raftcheck(&["run"]).arg(suite).arg("--out").arg(&file)).exits(70);
    done.complains(&file.display().to_string());
}

#[test]
fn a_closed_pipe_ends_a_list_quietly() {
    let mut command = std::process::Command::new("sh");
    let program = env!("CARGO_BIN_EXE_raftcheck");
    let done = finish(command.args(["-c", &format!("'{program}' list | head -n 1")])).exits(0);
    assert_eq!(done.stderr, "", "{done}");
}

#[test]
fn a_dry_run_reads_suites_and_starts_nothing() {
    let suite = concat!(env!("CARGO_MANIFEST_DIR"), "/suites/questions/voted-for-lost.yaml");
    let place = Place::new();
    let out = place.path().join("runs");
    let out = out.to_str().expect("a plain path");
    let done = typed(&["run", "--dry-run", "--out", out, suite]).exits(0);
    assert!(done.stdout.lines().count() >= 2 && done.stdout.contains(": voted-for-lost "), "{done}");
    typed(&["run", "--dry-run", "--cell", "no-such", "--out", out, suite]).exits(USAGE);
    typed(&["run", "--dry-run", "--keep-running", suite]).exits(USAGE);
    assert!(!std::path::Path::new(out).exists());
}
