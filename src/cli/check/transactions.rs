//! A history of transactions, from its bytes to a verdict.

use std::fmt::Write as _;
use std::io::Read;
use std::time::Duration;

use checker::history::formats::{Clock, ReadError};
use checker::transactions::{self, Fate, Recorded};
use checker::verdict::{Budget, Verdict};
use serde_json::json;

use super::history::{Company, Cost, unreadable};
use super::options::Options;
use super::picture;
use super::show::{self, Shown};
use crate::exit::Exit;

/// Judges the history in `text`.
pub(super) fn check(
    name: String,
    text: &mut (dyn Read + Send),
    (cost, company): (&Cost<'_>, Company),
    options: &Options,
) -> Result<Shown, String> {
    let why = "single operations, and these are transactions";
    let left_out = options.first_for_operations().map(|option| company.left_out(&name, option, why));
    let left_out = left_out.transpose()?;
    let level = options.level().name();
    let recorded = match transactions::read_from(text, &cost.budget) {
        Ok(recorded) => recorded,
        Err(ReadError::Spent(cause)) => return Ok(show::unread(&name, level, cause, cost, options)),
        Err(error) => return Err(unreadable(&name, &error)),
    };
    let memory_bytes = cost.budget.memory_bytes.saturating_sub(recorded.transactions.bytes());
    let budget = Budget { memory_bytes, ..cost.budget };
    let verdict = transactions::check(&recorded.transactions, options.level(), &budget);
    let mut shown = shown(&name, &recorded, (&verdict, left_out), options, cost.begun.elapsed());
    shown.human.push_str(&picture::of_transactions(
        &name,
        level,
        &recorded,
        &verdict,
        shown.exit,
        &options.showing,
    )?);
    Ok(shown)
}

fn shown(
    name: &str,
    recorded: &Recorded,
    (verdict, left_out): (&Verdict, Option<String>),
    options: &Options,
    took: Duration,
) -> Shown {
    let all = &recorded.transactions;
    let count = |fate| all.list.iter().filter(|transaction| transaction.fate == fate).count();
    let (ok, failed, unknown) = (count(Fate::Committed), count(Fate::Aborted), count(Fate::Unknown));
    let level = options.level().name();
    let mut remarks: Vec<String> = options.advice(verdict).into_iter().chain(left_out).collect();
    let exit = match verdict {
        Verdict::Violated(_) => Exit::Differs,
        Verdict::Inconclusive(_) => Exit::Inconclusive,
        Verdict::Holds(_) if ok == 0 => {
            remarks
                .push("no transaction committed, so this history could not have shown anything".to_owned());
            Exit::Vacuous
        }
        Verdict::Holds(_) => Exit::AsExpected,
    };
    let mut human = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        human,
        "{}: model list-append, --consistency {level}\n{} transactions on {} lists: {ok} committed, {failed} aborted, {unknown} \
         unknown; judged in {:.3} s",
        show::style().bold(name),
        all.list.len(),
        all.keys.len(),
        took.as_secs_f64()
    );
    human.push_str(&show::verdict(level, verdict, recorded.clock));
    for remark in &remarks {
        let _ = writeln!(human, "note: {remark}");
    }
    let value = json!({
        "file": name,
        "model": "list-append",
        "times": match recorded.clock { Clock::Nanoseconds => "nanoseconds", Clock::Lines => "lines" },
        "keys": all.keys.len(),
        "calls": { "ok": ok, "failed": failed, "unknown": unknown },
        "property": level,
        "result": verdict,
        "took_ms": took.as_millis() as u64,
        "remarks": remarks,
        "exit": exit.code(),
    });
    Shown { human, value, exit }
}
