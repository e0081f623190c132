//! Pages of made-up histories: well formed, harmless, and small whatever is in them.

use checker::history::formats::{Clock, Specification};
use checker::history::operations::Point;
use checker::history::{Key, Op, Operation, Outcome, ProcessId, Reply, Value};
use checker::linearizability::{FailedCas, describe};
use checker::verdict::{Counterexample, Evidence, Verdict};

use super::*;
use crate::report::explain::{Explanation, Material, Origin, explain};

/// The most that a page may take.
const LARGEST: usize = 2_000_000;
const HOSTILE: &str =
    "</script><script>alert(1)</script><!--<img src=x onerror=\"alert('2')\">\u{2028}&amp;]]>\u{1}";

/// A write and a read of each value, one after the other, `processes` at a time in turn.
struct Made {
    ops: Vec<Op>,
    outcomes: Vec<Outcome>,
}

impl Made {
    fn of(count: usize, key: impl Fn(usize) -> Key, value: impl Fn(usize) -> Value) -> Self {
        let op = |at: usize| match at % 2 {
            0 => Op::Write { key: key(at), value: value(at) },
            _ => Op::Read { key: key(at) },
        };
        let outcome = |at: usize| match at % 2 {
            0 => Outcome::Ok(Reply::Done),
            _ => Outcome::Ok(Reply::Value(value(at))),
        };
        Self { ops: (0..count).map(op).collect(), outcomes: (0..count).map(outcome).collect() }
    }

    /// These, over and over, until there are so many.
    fn operations(&self, count: usize, processes: usize) -> Vec<Operation<'_>> {
        let operation = |at: usize| Operation {
            process: ProcessId((at % processes) as u64),
            node: Some("n1"),
            op: &self.ops[at % self.ops.len()],
            outcome: Some(&self.outcomes[at % self.ops.len()]),
            invoked: Point { index: 2 * at, time: at as u64 * 10_000 },
            completed: Some(Point { index: 2 * at + 1, time: at as u64 * 10_000 + 9_000 }),
        };
        (0..count).map(operation).collect()
    }
}

fn evidence(operation: &Operation<'_>) -> Evidence {
    Evidence {
        start: operation.invoked.time,
        end: operation.acknowledged().map(|point| point.time),
        who: format!("process {} via n1", operation.process.0),
        what: describe(operation.op, operation.reply()),
    }
}

fn explained(material: &Material<'_, '_>, core: &[usize], summary: &str) -> Explanation {
    let evidence = core.iter().map(|&at| evidence(&material.operations[at])).collect();
    let verdict = Verdict::Violated(Counterexample { summary: summary.to_owned(), evidence });
    explain("linearizable", &verdict, material)
}

/// The page of these operations, of which some contradict each other.
fn page(operations: &[Operation<'_>], core: &[usize], summary: &str) -> (Page, String) {
    let origin = Origin { added: 0, first_line: Some(2) };
    let material = Material {
        operations,
        specification: Specification::Kv,
        failed_cas: FailedCas::Observe,
        clock: Clock::Nanoseconds,
        origin,
    };
    let explanation = explained(&material, core, summary);
    let (mut picture, shown) = picture_of_operations(&material, &[&explanation.actors]);
    let tab = shown[0];
    let finding =
        Finding { word: "VIOLATED".to_owned(), tone: Tone::Bad, note: summary.to_owned(), explanation, tab };
    let findings = vec![finding];
    picture.give_reasons(&findings);
    picture.bands.push(Band { from: 5, to: None, label: summary.to_owned(), detail: summary.to_owned() });
    picture.marks.push(Mark { at: 7, label: summary.to_owned(), kind: "phase" });
    let page = Page {
        title: summary.to_owned(),
        word: "VIOLATED".to_owned(),
        tone: Tone::Bad,
        headline: summary.to_owned(),
        facts: vec![("fact", summary.to_owned())],
        repeat: Some(summary.to_owned()),
        findings,
        timeline: Timeline::of(|| operations.iter().map(call)),
        picture,
        tables: vec![Table { title: "Faults", head: vec!["what"], rows: vec![vec![summary.to_owned()]] }],
        remarks: vec![summary.to_owned()],
    };
    let text = render(&page);
    (page, text)
}

/// An element that is open, and what stood in it.
#[derive(Default)]
struct Parsed {
    /// The names of all elements.
    elements: Vec<String>,
    /// The attributes by which a page would load or run something.
    suspicious: Vec<String>,
    scripts: Vec<String>,
}

/// A strict reader of the HTML that pages are made of: every element is closed in its order, every attribute is quoted,
/// every `<` and `&` of a text is escaped. What a browser would forgive is an error here.
fn parse(text: &str) -> Parsed {
    const VOID: [&str; 3] = ["meta", "br", "link"];
    let mut parsed = Parsed::default();
    let mut open: Vec<String> = Vec::new();
    let mut rest = text.strip_prefix("<!DOCTYPE html>").expect("a document type");
    while let Some(at) = rest.find('<') {
        assert_eq!(unescaped(&rest[..at]), None, "{}", &rest[..at]);
        rest = &rest[at + 1..];
        let end = tag_end(rest);
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "</{name}> closes what is not open");
            continue;
        }
        let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
        assert!(!name.is_empty(), "no element: <{tag}>");
        attributes(&tag[name.len()..], &mut parsed.suspicious);
        if name == "script" || name == "style" {
            let close = format!("</{name}");
            let end = rest.find(&close).expect("closed");
            if name == "script" {
                parsed.scripts.push(rest[..end].to_owned());
            }
            rest = &rest[end..];
        }
        if !VOID.contains(&name.as_str()) && !tag.ends_with('/') {
            open.push(name.clone());
        }
        parsed.elements.push(name);
    }
    assert_eq!(open, Vec::<String>::new(), "left open");
    parsed
}

/// The end of a tag: a `>` outside quotes.
fn tag_end(rest: &str) -> usize {
    let mut quoted = false;
    let end = rest.bytes().position(|byte| {
        quoted ^= byte == b'"';
        byte == b'>' && !quoted
    });
    end.expect("the tag ends")
}

fn attributes(text: &str, suspicious: &mut Vec<String>) {
    let mut rest = text.trim_start().trim_end_matches('/');
    while !rest.is_empty() {
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        assert!(!name.is_empty(), "no attribute: {rest}");
        rest = &rest[name.len()..];
        if let Some(value) = rest.strip_prefix('=') {
            let value = value.strip_prefix('"').expect("a quoted value");
            let end = value.find('"').expect("the value ends");
            assert!(!value[..end].contains('<'), "{name}={value}");
            rest = &value[end + 1..];
        }
        if ["src", "href", "style", "srcset"].contains(&name.as_str()) || name.starts_with("on") {
            suspicious.push(name);
        }
        rest = rest.trim_start();
    }
}

/// An `&` that begins no reference.
fn unescaped(text: &str) -> Option<usize> {
    let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
    text.match_indices('&')
        .map(|(at, _)| at)
        .find(|&at| known.iter().all(|name| !text[at..].starts_with(name)))
}

#[test]
fn what_a_history_says_stays_text() {
    let made = Made::of(8, |_| Key::new(HOSTILE), |at| Value::Text(format!("{at}{HOSTILE}").as_str().into()));
    let (page, text) = page(&made.operations(8, 2), &[2, 5], HOSTILE);
    let parsed = parse(&text);
    assert_eq!(parsed.scripts.len(), 2, "the data and the program, and none of the history's");
    assert!(!parsed.elements.iter().any(|name| name == "img"));
    assert_eq!(parsed.suspicious, Vec::<String>::new());
    let data: serde_json::Value = serde_json::from_str(&parsed.scripts[0]).expect("JSON");
    assert_eq!(data["tabs"][0]["label"], HOSTILE, "and nothing of it is lost");
    assert_eq!(data["bands"][0]["label"], HOSTILE);
    let words = data["tabs"][0]["items"][0][8].as_str().expect("words");
    assert!(words.contains("</script><script>alert(1)"), "{words}");
    assert_eq!(page.findings[0].tab, Some(0));
}

#[test]
fn the_page_tells_the_counterexample_without_its_script() {
    let made = Made::of(40, |_| Key::new("x"), |at| Value::Int(at as i64 / 2));
    let (_, text) = page(&made.operations(40, 4), &[10, 12, 15], "the read came too late");
    let parsed = parse(&text);
    let words = text.split("<script").next().expect("before the scripts");
    for expected in [
        "the read came too late",
        "write x = 5",
        "read x -&gt; 7",
        "process 2",
        "(lines 22, 23)",
        "<svg",
        "<noscript>",
    ] {
        assert!(words.contains(expected), "{expected}\n{words}");
    }
    assert!(parsed.elements.iter().filter(|name| *name == "table").count() >= 2);
    let addresses = text.matches("http://").count() + text.matches("https://").count();
    assert_eq!(addresses, 1, "the name of SVG, which is no address");
}

#[test]
fn a_million_operations_make_a_small_page() {
    let made = Made::of(200_000, |at| Key::new(format!("key-{}", at % 5_000)), |at| Value::Int(at as i64));
    let operations = made.operations(1_000_000, 50);
    let (page, text) = page(&operations, &[500_000, 500_002], "reason");
    assert!(text.len() < LARGEST, "{} bytes", text.len());
    parse(&text);
    let tab = &page.picture.tabs[0];
    let letters: Vec<&str> =
        tab.items.iter().map(|item| item.letter.as_str()).filter(|l| *l == "a" || *l == "b").collect();
    assert_eq!(letters, ["a"], "the second actor is on another key");
    assert_eq!(
        page.picture.tabs.iter().map(|tab| u64::from(tab.density.iter().sum::<u32>())).sum::<u64>(),
        page.picture.tabs.iter().map(|tab| tab.total).sum::<u64>()
    );
    assert!(!page.picture.others.is_empty() && page.picture.more > 0);
}

#[test]
fn long_values_and_many_clients_make_a_small_page() {
    let long = "v".repeat(20_000);
    let made =
        Made::of(20_000, |at| Key::new(format!("k{}{long}", at % 30)), |_| Value::Text(long.as_str().into()));
    let operations = made.operations(20_000, 5_000);
    let core: Vec<usize> = (0..600).map(|at| at * 30).collect();
    let (page, text) = page(&operations, &core, &long);
    assert!(text.len() < LARGEST, "{} bytes", text.len());
    assert!(page.findings[0].explanation.left_out > 0);
    parse(&text);
}
