//! The reference of the rules in `docs/raftkv.md` is what the program says of them. `UPDATE=1` rewrites it.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use raftkv::raft::rules::Rules;

const BEGIN: &str = "<!-- rules: begin -->\n";
const END: &str = "<!-- rules: end -->\n";

fn reference() -> String {
    let (mut text, mut group) = (String::new(), "");
    for rule in Rules::describe() {
        if rule.group != group {
            group = rule.group;
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "\n### `{group}`\n\n| rule | values | what it governs; what the others break |\n|---|---|---|\n"
            );
        }
        let value = |value: &&str| match *value == rule.default {
            true => format!("**{value}**"),
            false => (*value).to_owned(),
        };
        let mut values: Vec<String> = rule.values.iter().map(value).collect();
        if !rule.values.contains(&rule.default.as_str()) {
            values.push(format!("**{}**", rule.default));
        }
        let _ = writeln!(
            text,
            "| `{}` | {} | {} Otherwise: {}. |",
            rule.name,
            values.join(", "),
            rule.governs,
            rule.breaks
        );
    }
    text.push('\n');
    text
}

#[test]
fn the_reference_of_the_rules_is_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/raftkv.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the reference begins with its mark");
    let (found, after) = rest.split_once(END).expect("the reference ends with its mark");
    let expected = reference();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
    } else {
        assert!(
            found == expected,
            "docs/raftkv.md is out of date: run `UPDATE=1 cargo test -p raftkv --test docs`"
        );
    }
}
