//! What no run of a suite could ever fulfil.
//!
//! Invariant: only what is impossible under the most generous reading is refused: every call is acknowledged at once,
//! every fault is installed at the earliest time, warm-up and quiesce count. Deliberately absent: what is merely
//! unlikely.

use nemesis::schedule::FAULTS_MAX;

use super::decode::{Bound, Faults, Given, Rate, Timed};
use super::diagnostics::{Diagnostic, Diagnostics};
use super::model::Comparison;
use super::scalars::duration_text;
use super::vocabulary::{Ceiling, Vocabulary};

/// What could be read of a suite, as far as its parts have to fit together.
pub(super) struct Draft<'d> {
    pub(super) clients: Option<usize>,
    pub(super) rate: Option<&'d Rate>,
    pub(super) op_timeout: Option<&'d Timed>,
    pub(super) warm_up: Option<&'d Timed>,
    pub(super) duration: Option<&'d Timed>,
    pub(super) quiesce: Option<&'d Timed>,
    pub(super) faults: &'d Faults,
    pub(super) bounds: &'d [Bound],
    pub(super) vocabulary: &'d Vocabulary,
}

/// Reports all that can never be.
pub(super) fn judge(draft: &Draft<'_>, out: &mut Diagnostics) {
    quiesce_covers_calls(draft, out);
    faults_fit(draft, out);
    for bound in draft.bounds.iter().filter(|bound| bound.threshold.aggregate == "count") {
        let measure = draft.vocabulary.measure(&bound.threshold.measure);
        let reachable = match measure.map(|measure| measure.ceiling) {
            Some(Ceiling::Calls) => calls(draft),
            Some(Ceiling::Faults) => faults(draft),
            Some(Ceiling::Open) | None => None,
        };
        if let Some(reachable) = reachable {
            within(bound, &reachable, out);
        }
    }
    for (index, bound) in draft.bounds.iter().enumerate() {
        contradiction(bound, &draft.bounds[..index], out);
    }
}

/// The most that a count can be, and why.
struct Reachable {
    most: u64,
    because: String,
}

fn calls(draft: &Draft<'_>) -> Option<Reachable> {
    let rate = draft.rate?.per_second?;
    let clients = draft.clients? as u64;
    let total_ns = draft.warm_up?.ns + draft.duration?.ns + draft.quiesce?.ns;
    // One call per client may be under way beyond what the rate gives for the time.
    let most = (rate * total_ns as f64 / 1e9).ceil() as u64 + clients;
    let because =
        format!("{clients} clients make at most {most} calls at {rate}/s in {}", duration_text(total_ns));
    Some(Reachable { most, because })
}

fn faults(draft: &Draft<'_>) -> Option<Reachable> {
    if draft.faults.given == Given::No {
        return Some(Reachable { most: 0, because: "the suite has no `faults`".to_owned() });
    }
    let ((shortest_ns, _), _) = draft.faults.every.as_ref()?;
    let duration_ns = draft.duration?.ns;
    // The first comes one interval after the beginning, and none at the very end.
    let most = duration_ns.saturating_sub(1) / shortest_ns;
    let (every, total) = (duration_text(*shortest_ns), duration_text(duration_ns));
    Some(Reachable {
        most,
        because: format!("at most {most} faults fit into {total} with {every} between them"),
    })
}

fn within(bound: &Bound, reachable: &Reachable, out: &mut Diagnostics) {
    let threshold = &bound.threshold;
    if least(threshold.comparison, threshold.value).is_some_and(|least| least > reachable.most as f64) {
        let message = format!("no run can fulfil `{}` of `{}`", threshold.text, threshold.measure);
        out.push(Diagnostic::new(bound.place.clone(), message).label(&reachable.because));
    }
}

/// The least whole number that passes, if there is one.
fn least(comparison: Comparison, value: f64) -> Option<f64> {
    match comparison {
        Comparison::AtLeast | Comparison::Exactly => Some(value),
        Comparison::Above => Some(value + 1.0),
        Comparison::AtMost | Comparison::Below => None,
    }
}

/// Two bounds on the same number that exclude each other, or one that excludes everything.
fn contradiction(bound: &Bound, earlier: &[Bound], out: &mut Diagnostics) {
    let this = &bound.threshold;
    if this.comparison == Comparison::Below && this.value == 0.0 {
        let message = format!("no run can fulfil `{}` of `{}`", this.text, this.measure);
        out.push(Diagnostic::new(bound.place.clone(), message).label("nothing measured lies below 0"));
        return;
    }
    for other in earlier {
        let that = &other.threshold;
        let same = that.measure == this.measure && that.aggregate == this.aggregate;
        if same && exclude(this.comparison, this.value, that.comparison, that.value) {
            let message =
                format!("`{}` and `{}` of `{}` exclude each other", that.text, this.text, this.measure);
            let diagnostic = Diagnostic::new(bound.place.clone(), message).label("this excludes ...");
            out.push(diagnostic.also(other.place.clone(), "... this"));
        }
    }
}

/// Whether no number passes both.
fn exclude(a: Comparison, a_value: f64, b: Comparison, b_value: f64) -> bool {
    let interval = |comparison, value| match comparison {
        Comparison::AtLeast => (value, false, f64::INFINITY, false),
        Comparison::Above => (value, true, f64::INFINITY, false),
        Comparison::AtMost => (f64::NEG_INFINITY, false, value, false),
        Comparison::Below => (f64::NEG_INFINITY, false, value, true),
        Comparison::Exactly => (value, false, value, false),
    };
    let below = |(_, _, high, high_open): (f64, bool, f64, bool),
                 (low, low_open, ..): (f64, bool, f64, bool)| {
        high < low || (high == low && (high_open || low_open))
    };
    let (a, b) = (interval(a, a_value), interval(b, b_value));
    below(a, b) || below(b, a)
}

/// A call that began during the last fault has to end before the final reads.
fn quiesce_covers_calls(draft: &Draft<'_>, out: &mut Diagnostics) {
    let (Some(quiesce), Some(op_timeout)) = (draft.quiesce, draft.op_timeout) else { return };
    if quiesce.ns >= op_timeout.ns {
        return;
    }
    let (short, long) = (duration_text(quiesce.ns), duration_text(op_timeout.ns));
    let message = format!("`quiesce` ({short}) is shorter than `op-timeout` ({long})");
    let diagnostic = Diagnostic::new(quiesce.place.clone(), message);
    let label = "a call made during the last fault may still be open at the final reads";
    out.push(diagnostic.label(label).help(format!("make `quiesce` at least {long}")));
}

/// The first fault comes one interval after the beginning, and a plan holds so many.
fn faults_fit(draft: &Draft<'_>, out: &mut Diagnostics) {
    let (Some(((shortest_ns, _), place)), Some(duration)) = (&draft.faults.every, draft.duration) else {
        return;
    };
    if duration.ns / shortest_ns > FAULTS_MAX {
        let message = format!("more than {FAULTS_MAX} faults could fall into the duration");
        out.push(Diagnostic::new(place.clone(), message).label("make this longer"));
    }
    if *shortest_ns >= duration.ns {
        let (every, total) = (duration_text(*shortest_ns), duration_text(duration.ns));
        let message =
            format!("the first fault comes after {every} at the earliest, and the suite ends after {total}");
        out.push(Diagnostic::new(place.clone(), message).label("no fault would ever be injected"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Comparison::{Above, AtLeast, AtMost, Below, Exactly};

    /// Compared with trying numbers.
    #[test]
    fn bounds_exclude_each_other_iff_no_number_passes_both() {
        let comparisons = [AtLeast, Above, AtMost, Below, Exactly];
        for a in comparisons {
            for b in comparisons {
                for (x, y) in (0..4).flat_map(|x| (0..4).map(move |y| (f64::from(x), f64::from(y)))) {
                    let both = (-4..20).map(|n| f64::from(n) / 4.0).any(|n| a.holds(n, x) && b.holds(n, y));
                    assert_eq!(exclude(a, x, b, y), !both, "{a:?} {x}, {b:?} {y}");
                }
            }
        }
    }
}
