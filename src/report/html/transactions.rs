//! The picture of transactions: one tab, a row for each process.

use checker::history::formats::Clock;
use checker::transactions::{Fate, Transactions, describe};

use super::escape::{clip, cost};
use super::items;
use super::keys::into_lanes;
use super::page::{Item, Picture, Shape, Tab};
use crate::report::explain::Actor;

/// Bars that are drawn.
const BARS: usize = 2_500;
/// Bytes of text that all bars together may bring.
const TEXT: usize = 1_000_000;
/// Characters of a text on a bar and behind it.
const SHORT: usize = 32;
const LONG: usize = 320;

/// The picture of the transactions around these actors, and the tab that shows them.
pub fn picture(transactions: &Transactions, core: &[Actor], clock: Clock) -> (Picture, Option<usize>) {
    let list = &transactions.list;
    let found: Vec<(usize, &str)> =
        core.iter().filter_map(|actor| Some((find(transactions, actor)?, actor.letter.as_str()))).collect();
    let positions: Vec<usize> = found.iter().map(|(at, _)| *at).collect();
    let mut picked = items::pick(list.len(), |at| list[at].times, &positions, BARS);
    let mut items: Vec<Item> = picked
        .iter()
        .map(|&at| {
            let letter = found.iter().find(|(core, _)| *core == at).map_or("", |(_, letter)| letter);
            let words = describe(transactions, &list[at]);
            Item {
                start: list[at].times.0,
                end: list[at].times.1,
                shape: match list[at].fate {
                    Fate::Committed => Shape::Ok,
                    Fate::Aborted => Shape::Failed,
                    Fate::Unknown => Shape::Unknown,
                },
                label: clip(&words, SHORT),
                letter: letter.to_owned(),
                words: clip(&words, LONG),
                who: format!("process {}", list[at].process.0),
                ..Item::default()
            }
        })
        .collect();
    // Long transactions cost what others could have had.
    let mut left = TEXT;
    let mut keep = Vec::with_capacity(picked.len());
    for item in &items {
        let bytes = 80 + cost(&item.label) + cost(&item.words) + cost(&item.who);
        keep.push(!item.letter.is_empty() || left >= bytes);
        left = left.saturating_sub(bytes);
    }
    let mut kept = keep.iter();
    items.retain(|_| kept.next() == Some(&true));
    let mut kept = keep.iter();
    picked.retain(|_| kept.next() == Some(&true));
    let lanes = into_lanes(&mut items, |at| list[picked[at]].process.0);
    let whole = |positions: &mut dyn Iterator<Item = usize>| {
        positions.fold((u64::MAX, 0), |(from, to): (u64, u64), at| {
            let (start, end) = list[at].times;
            (from.min(start), to.max(end.unwrap_or(start)))
        })
    };
    let span = whole(&mut (0..list.len()));
    let tab = Tab {
        label: "transactions".to_owned(),
        unit: "transactions",
        note: String::new(),
        reason: String::new(),
        violated: !found.is_empty(),
        lanes,
        drawn: whole(&mut picked.iter().copied()),
        items,
        total: list.len() as u64,
        density: items::density(list.iter().map(|transaction| transaction.times.0), span),
        span: (span.0.min(span.1), span.1),
    };
    let shown = tab.violated.then_some(0);
    let picture = Picture { tabs: vec![tab], lines: clock == Clock::Lines, ..Picture::default() };
    (picture, shown)
}

fn find(transactions: &Transactions, actor: &Actor) -> Option<usize> {
    let process: u64 = actor.who.strip_prefix("process ")?.parse().ok()?;
    let same = |t: &checker::transactions::Transaction| {
        t.process.0 == process && t.times == (actor.start, actor.end)
    };
    transactions.list.iter().position(|t| same(t) && describe(transactions, t) == actor.what)
}
