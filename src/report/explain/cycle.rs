//! The circle of dependencies of transactions, as arrows.
//!
//! The sentence of such a counterexample names one dependency after the other, from each transaction to the next. It is
//! taken apart only if the parts fit the transactions one by one; otherwise the sentence stands alone.

use checker::verdict::Counterexample;

/// A dependency of one transaction on another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// The transaction that comes first.
    pub from: String,
    /// The one that must come behind it.
    pub to: String,
    /// `ww`, `wr`, `rw`, `process` or `realtime`.
    pub kind: &'static str,
    /// Why, in words.
    pub why: String,
}

/// The arrows of a counterexample that is a circle, and none otherwise.
pub(super) fn arrows(counterexample: &Counterexample) -> Vec<Arrow> {
    const CLOSES: &str = ", which closes a circle";
    let summary = counterexample.summary.as_str();
    let count = counterexample.evidence.len();
    let Some(reasons) = summary.rfind(CLOSES).map(|end| &summary[..end]) else { return Vec::new() };
    let Some((_, reasons)) = reasons.split_once(": ") else { return Vec::new() };
    let reasons: Vec<&str> = reasons.split("; ").collect();
    if reasons.len() != count {
        return Vec::new();
    }
    let arrow = |(at, why): (usize, &&str)| {
        let (from, to) = (format!("T{}", at + 1), format!("T{}", (at + 1) % count + 1));
        Some(Arrow { kind: kind(why, &from, &to)?, from, to, why: (*why).to_owned() })
    };
    reasons.iter().enumerate().map(arrow).collect::<Option<Vec<_>>>().unwrap_or_default()
}

fn kind(why: &str, from: &str, to: &str) -> Option<&'static str> {
    let begins = |words: &str| why.starts_with(words);
    let ends = |words: &str| why.ends_with(words);
    if begins(&format!("{to} appended to ")) && ends(&format!(" behind {from}")) {
        Some("ww")
    } else if begins(&format!("{to} read what {from} appended to ")) {
        Some("wr")
    } else if begins(&format!("{from} read ")) && ends(&format!(" before {to} appended to it")) {
        Some("rw")
    } else if why == format!("one process ran {from} before {to}") {
        Some("process")
    } else if why == format!("{from} completed before {to} was invoked") {
        Some("realtime")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use checker::verdict::Evidence;

    use super::*;

    fn circle(summary: &str) -> Vec<Arrow> {
        let evidence = |who: &str| Evidence { start: 0, end: None, who: who.to_owned(), what: String::new() };
        let evidence = vec![evidence("T1 process 0"), evidence("T2 process 1")];
        arrows(&Counterexample { summary: summary.to_owned(), evidence })
    }

    #[test]
    fn a_circle_becomes_arrows_and_anything_else_none() {
        let found = circle(
            "G-single: T1 read x before T2 appended to it; T1 read what T2 appended to y, which closes a circle \
             (also found: G2)",
        );
        let short: Vec<_> = found.iter().map(|a| (a.from.as_str(), a.kind, a.to.as_str())).collect();
        assert_eq!(short, [("T1", "rw", "T2"), ("T2", "wr", "T1")]);
        // A list whose name looks like the sentence.
        assert!(circle("G2: T1 read x; y before T2 appended to it; T2 completed before T1 was invoked, which closes a circle").is_empty());
        assert!(circle("internal: it read x as [1] although its own steps before say [1 2]").is_empty());
    }
}
