//! A budget is looked at wherever time passes: while a text is read, and while transactions are judged.
//!
//! No clock is used. The budgets here end at their k-th look, for every k or for some, so that what is said then does not
//! depend on the machine.

use std::sync::atomic::{AtomicUsize, Ordering};

use checker::history::formats::{self, Format, ReadError, Reading};
use checker::transactions::{self, Consistency, Transactions};
use checker::verdict::{Budget, Cause, Verdict};

/// Does some work with a budget that is over from the look after `looks` on. Returns how often it was looked at, too.
fn within<R>(looks: usize, memory_bytes: usize, work: impl FnOnce(&Budget<'_>) -> R) -> (R, usize) {
    let count = AtomicUsize::new(0);
    let expired = || count.fetch_add(1, Ordering::Relaxed) >= looks;
    let done = work(&Budget { expired: &expired, memory_bytes });
    (done, count.into_inner())
}

const ENDLESS: usize = usize::MAX;

/// Writes of one process, one after the other, a map a line.
fn writes(count: usize) -> String {
    let write = |n: usize| {
        format!(
            "{{:type :invoke, :f :write, :value {n}, :process 0, :time {}}}\n\
             {{:type :ok, :f :write, :value {n}, :process 0, :time {}}}\n",
            n * 10,
            n * 10 + 5
        )
    };
    (0..count).map(write).collect()
}

fn read(text: &str, budget: &Budget<'_>) -> Result<usize, ReadError> {
    let recorded = formats::read_from(Format::JepsenEdn, &mut text.as_bytes(), &Reading::default(), budget)?;
    Ok(recorded.recording.len())
}

fn reached(error: &ReadError) -> &str {
    match error {
        ReadError::Spent(Cause::Time { reached } | Cause::Memory { reached }) => reached,
        other => panic!("{other}"),
    }
}

#[test]
fn reading_ends_with_the_time() {
    let text = writes(40_000);
    let (whole, blocks) = within(ENDLESS, ENDLESS, |budget| read(&text, budget));
    assert_eq!(whole.unwrap(), 40_000);
    // A quarter of a megabyte is read between two looks.
    assert!(blocks >= text.len() / (1 << 18), "{blocks} looks at {} bytes", text.len());
    for looks in 0..blocks {
        let (cut, _) = within(looks, ENDLESS, |budget| read(&text, budget));
        let error = cut.expect_err("the time is over");
        assert!(matches!(error, ReadError::Spent(Cause::Time { .. })), "{error:?}");
        let told = reached(&error);
        assert!(told.ends_with("MB of the text were read"), "{told}");
        assert_eq!(told.starts_with("0.0 MB"), looks == 0, "after {looks} looks: {told}");
    }
}

#[test]
fn reading_ends_with_the_memory() {
    let text = writes(40_000);
    let (cut, _) = within(ENDLESS, 1 << 20, |budget| read(&text, budget));
    let error = cut.expect_err("40,000 operations take more");
    assert!(matches!(error, ReadError::Spent(Cause::Memory { .. })), "{error:?}");
    assert!(reached(&error).ends_with("are held"), "{}", reached(&error));
    // An operation is held in 40 bytes beside what it wrote.
    let (whole, _) = within(ENDLESS, 40_000 * 200, |budget| read(&text, budget));
    assert_eq!(whole.unwrap(), 40_000);
}

#[test]
fn every_format_looks_before_it_reads() {
    let logged = "INFO  jepsen.util - 2\t:invoke\t:write\t4\n";
    let own = "{\"format\":\"raftcheck-history\",\"version\":1}\n";
    for (format, text) in [
        (Format::Raftcheck, own),
        (Format::JepsenText, "2\t:invoke\t:write\t4\n"),
        (Format::PorcupineEtcd, logged),
        (Format::KnossosEdn, "[]"),
        (Format::PorcupineKv, "{:process 9, :type :invoke, :f :get, :key \"0\"}\n"),
    ] {
        let from = |budget: &Budget<'_>| {
            formats::read_from(format, &mut text.as_bytes(), &Reading::default(), budget)
        };
        let (cut, _) = within(0, ENDLESS, from);
        assert!(matches!(cut, Err(ReadError::Spent(Cause::Time { .. }))), "{format:?}: {cut:?}");
        let (whole, _) = within(ENDLESS, ENDLESS, from);
        assert!(whole.is_ok(), "{format:?}: {whole:?}");
    }
}

/// Transactions one after the other, each of which appends to a list and reads it.
fn serial(count: usize, list: usize) -> String {
    let mut lists: Vec<Vec<usize>> = vec![Vec::new(); count / list + 1];
    let one = |n: usize| {
        let key = n / list;
        lists[key].push(n);
        let seen = lists[key].iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
        format!(
            "{{:type :invoke, :f :txn, :value [[:append {key} {n}] [:r {key} nil]], :process 0, :time {n}}}\n\
             {{:type :ok, :f :txn, :value [[:append {key} {n}] [:r {key} [{seen}]]], :process 0, :time {n}}}\n"
        )
    };
    (0..count).map(one).collect()
}

fn judged(transactions: &Transactions, looks: usize, memory_bytes: usize) -> (Verdict, usize) {
    within(looks, memory_bytes, |budget| {
        transactions::check(transactions, Consistency::StrictSerializable, budget)
    })
}

#[test]
fn transactions_without_a_cycle_are_judged_within_their_time() {
    let text = serial(20_000, 40);
    let (cut, _) = within(0, ENDLESS, |budget| transactions::read_from(&mut text.as_bytes(), budget));
    assert!(matches!(cut, Err(ReadError::Spent(Cause::Time { .. }))), "{cut:?}");
    let transactions = transactions::read(text.as_bytes()).unwrap().transactions;
    let (verdict, all) = judged(&transactions, ENDLESS, ENDLESS);
    assert!(matches!(verdict, Verdict::Holds(_)), "{verdict:?}");
    // Beside one look at the beginning of each step there are those within it.
    assert!(all > 50, "{all} looks");
    for looks in 0..all {
        let (verdict, _) = judged(&transactions, looks, ENDLESS);
        let Verdict::Inconclusive(Cause::Time { reached }) = verdict else {
            panic!("after {looks} of {all} looks: {verdict:?}")
        };
        assert!(reached.ends_with("was not finished"), "{reached}");
    }
}

#[test]
fn dependencies_that_do_not_fit_decide_nothing() {
    let transactions = transactions::read(serial(2_000, 40).as_bytes()).unwrap().transactions;
    let (verdict, _) = judged(&transactions, ENDLESS, 10_000);
    assert!(matches!(verdict, Verdict::Inconclusive(Cause::Memory { .. })), "{verdict:?}");
    let (verdict, _) = judged(&transactions, ENDLESS, transactions.bytes());
    assert!(matches!(verdict, Verdict::Holds(_)), "{verdict:?}");
}

#[test]
fn what_was_found_before_the_time_was_over_counts() {
    let mut text = serial(20_000, 40);
    text.push_str("{:type :invoke, :f :txn, :value [[:r 0 nil]], :process 0}\n");
    text.push_str("{:type :ok, :f :txn, :value [[:r 0 [777777]]], :process 0}\n");
    let transactions = transactions::read(text.as_bytes()).unwrap().transactions;
    let (verdict, all) = judged(&transactions, ENDLESS, ENDLESS);
    assert!(matches!(verdict, Verdict::Violated(_)), "{verdict:?}");
    // It is known before the search for cycles begins.
    let (verdict, _) = judged(&transactions, all - 1, ENDLESS);
    assert!(matches!(verdict, Verdict::Violated(_)), "{verdict:?}");
    let (verdict, _) = judged(&transactions, 0, ENDLESS);
    assert!(matches!(verdict, Verdict::Inconclusive(_)), "{verdict:?}");
}
